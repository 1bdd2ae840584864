from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace

import pytest

from nbmonitor.configuration import flatten
from nbmonitor.process import Process


def script(code, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NBMONITOR_")}
    return subprocess.run(  # noqa: PLW1510 - the test looks at the return code
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**clean, **env},
    )


@dataclasses.dataclass
class Optimizer:
    lr: float = 0.1


def test_a_configuration_of_any_shape_is_flattened():
    nested = {"opt": Optimizer(), "data": Namespace(name="digits", size={"w": 32}), 7: None}
    assert flatten(nested) == {
        "opt/lr": "0.1",
        "data/name": "digits",
        "data/size/w": "32",
        "7": "None",
    }
    assert flatten(None) == {}
    assert flatten("sgd") == {"config": "sgd"}
    assert len(flatten({"x": "y" * 10_000})["x"]) == 2_000


def test_a_plain_script_serves_and_says_how_to_attach():
    out = script("import nbmonitor\nrun = nbmonitor.init('solo')\nrun.log(loss=1.0)\nrun.finish()")
    assert out.returncode == 0, out.stderr
    (line,) = out.stdout.splitlines()
    assert re.search(r"%nbmonitor attach 127\.0\.0\.1:\d+$", line)


def test_a_name_that_is_no_text_becomes_one():
    out = script(
        "import nbmonitor, pathlib\nfor name in (7, b'x', pathlib.Path('a')):\n"
        "    with nbmonitor.init(name) as run: run.log(loss=1.0)\n"
        "print([r.name for r in nbmonitor.runs()])"
    )
    assert out.stdout.splitlines()[-1] == """['a', "b'x'", '7']"""
    assert out.stderr == ""


def test_a_script_that_wants_no_server_gets_none():
    out = script(
        "import nbmonitor\nrun = nbmonitor.init('solo', serve=False)\nrun.log(loss=1.0)\nrun.finish()\nprint(nbmonitor.runs()[0].state)"
    )
    assert out.stdout.split() == ["completed"], out.stderr


RANKS = """
import json, os, sys
import nbmonitor
from nbmonitor.process import process
from nbmonitor.events import Command, CommandKind
run = nbmonitor.init("ddp")
for _ in run.track(range(3)):
    run.log(loss=1.0)
records = [process.broker.send(Command(run.run_id, k)) for k in (CommandKind.PAUSE, CommandKind.STOP)]
said = {
    "states": [str(r.state) for r in records],
    "why": records[0].error,
    "serves": process.server is not None,
    "points": len(run.history("loss")[1]),
}
with open(os.path.join(sys.argv[1], os.environ["RANK"]), "w") as file:
    json.dump(said, file)
run.finish()
"""


@pytest.mark.slow
def test_of_two_ranks_none_is_steered_and_only_the_first_serves(tmp_path):
    file = tmp_path / "train.py"
    file.write_text(RANKS)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(file),
    ]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NBMONITOR_")}
    subprocess.run(
        [*command, str(tmp_path)], check=True, timeout=90, env=clean, capture_output=True
    )
    for rank in (0, 1):
        said = json.loads((tmp_path / str(rank)).read_text())
        assert said["states"] == ["rejected", "rejected"]
        assert said["why"].startswith("this run has 2 ranks")
        assert said["serves"] is (rank == 0)
        assert said["points"] == 3


def test_switched_off_by_the_environment_everything_is_a_no_op():
    code = (
        "import nbmonitor\nrun = nbmonitor.init('off')\n"
        "for _ in run.epochs(2):\n  for x in run.track(range(3)): run.log(loss=1.0)\n"
        "run.finish()\nprint(len(nbmonitor.runs()), run.state)"
    )
    out = script(code, NBMONITOR_DISABLED="1")
    assert out.returncode == 0, out.stderr
    assert out.stdout.split() == ["0", "completed"]


def test_bad_arguments_say_what_was_meant():
    out = script("import nbmonitor\nnbmonitor.init('x', overhead=3)")
    assert "SettingError: Setting overhead has the value 3" in out.stderr
    out = script("import nbmonitor\nnbmonitor.log(loss=1)")
    assert "RunError: There is no active run" in out.stderr
    out = script("import nbmonitor\nnbmonitor.attach('nowhere')")
    assert "AttachError: " in out.stderr
    assert "on this machine" in out.stderr
    out = script("import nbmonitor\nnbmonitor.attach('no where:x')")
    assert "Expected HOST:PORT" in out.stderr


def test_a_server_that_is_away_costs_telemetry_never_the_run():
    code = (
        "import nbmonitor, time\nt = time.time()\nrun = nbmonitor.init('x', address='127.0.0.1:9')\n"
        "for i in run.track(range(100)): run.log(loss=float(i))\nrun.finish()\nprint('done', time.time() - t < 20)"
    )
    out = script(code)
    assert out.returncode == 0, out.stderr
    assert out.stdout.split() == ["done", "True"]


LEAVING = """
import atexit, sys
import nbmonitor
run = nbmonitor.init("x", address=sys.argv[1])
for i in run.track(range(9)):
    run.log(loss=float(i))
atexit.register(print, "leaving", flush=True)  # before ours, which were registered before
"""


def test_ctrl_c_while_a_trainer_hands_over_at_exit_is_a_sentence_and_no_traceback():
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NBMONITOR_")}
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        process = subprocess.Popen(
            [sys.executable, "-c", LEAVING, f"127.0.0.1:{silent.getsockname()[1]}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean,
        )
        try:
            assert process.stdout.readline() == "leaving\n"
            time.sleep(0.5)
            assert process.poll() is None, "it hands over"
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
            process.communicate()
    assert time.monotonic() - began < 3, "nothing more is waited for"
    assert process.returncode == 0
    (line,) = err.splitlines()
    assert line.startswith("nbmonitor: not everything was handed over: ")


class Road:
    """A publisher that is interrupted while it closes."""

    address, problem = "127.0.0.1:9", ""

    def __init__(self, *, interrupted, said=False):
        self.interrupted, self.said, self.asked = interrupted, said, []

    def close(self, timeout):
        self.asked.append(timeout)
        if self.interrupted and timeout:
            raise KeyboardInterrupt

    def flush(self, timeout):
        return self.said


@pytest.mark.parametrize("hurried", [False, True])
def test_an_interrupted_end_of_a_process_ends_the_rest_without_waiting(capsys, hurried):
    process = Process()
    roads = [Road(interrupted=False, said=True), Road(interrupted=True), Road(interrupted=False)]
    process._publishers = list(roads)
    if hurried:
        process.close(hurried=True)
    else:
        with pytest.raises(KeyboardInterrupt):
            process.close()
    waited = [[0.0], [0.0], [0.0]] if hurried else [[5.0], [5.0, 0.0], [0.0]]
    assert [r.asked for r in roads] == waited
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2, "what was handed over is not told of"
    assert "Ctrl-C was pressed before the server at 127.0.0.1:9 had all of it." in said[0]
    process.close()


def test_what_a_server_did_not_confirm_in_time_is_told(capsys):
    process = Process()
    process._publishers = [Road(interrupted=False)]
    process.close()
    assert "did not confirm all of it within 5 s" in capsys.readouterr().err


def test_a_script_that_raises_ends_failed():
    code = (
        "import nbmonitor, atexit\nfrom nbmonitor.process import process\n"
        "broker = []\n"
        "run = nbmonitor.init('x', serve=False)\n"
        "broker = process.broker\n"
        "import nbmonitor.store.memory as m\n"
        "m.MemoryStore.close = lambda self: print([(str(r.state), r.message) for r in self.runs()])\n"
        "for i in run.track(range(9)):\n    run.log(loss=1.0)\n    if i == 4: raise ValueError('boom')"
    )
    out = script(code)
    assert "('failed', 'ValueError: boom')" in out.stdout, out.stdout + out.stderr


def test_a_port_in_use_is_warned_of_and_costs_no_training():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = "import nbmonitor\nrun = nbmonitor.init('x')\nrun.log(loss=1.0)\nrun.finish()\nprint(run.state)"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("NBMONITOR_")}
        out = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**clean, "NBMONITOR_PORT": str(port)},
        )
        assert f"Port {port} of 127.0.0.1 is in use" in out.stderr
        assert "A free port is used instead" in out.stderr
        assert out.stdout.splitlines()[-1] == "completed"
        refused = script(f"import nbmonitor\nnbmonitor.serve(port={port})")
        assert "ServerError" in refused.stderr
