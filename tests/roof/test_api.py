from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from argparse import Namespace

import pytest

from nbmonitor.api import flatten


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


def test_a_script_that_wants_no_server_gets_none():
    out = script(
        "import nbmonitor\nrun = nbmonitor.init('solo', serve=False)\nrun.log(loss=1.0)\nrun.finish()\nprint(nbmonitor.runs()[0].state)"
    )
    assert out.stdout.split() == ["completed"], out.stderr


@pytest.mark.parametrize("rank", [0, 1])
def test_of_several_ranks_none_is_steered_and_only_the_first_serves(rank):
    code = (
        "import nbmonitor\n"
        "from nbmonitor.api import process\n"
        "from nbmonitor.events import Command, CommandKind\n"
        "run = nbmonitor.init('ddp')\n"
        "for _ in run.track(range(3)): run.log(loss=1.0)\n"
        "record = process.broker.send(Command(run.run_id, CommandKind.PAUSE))\n"
        "print(record.state, '|', record.error, '|', process.server is not None, len(run.history('loss')[1]))\n"
        "run.finish()"
    )
    out = script(code, RANK=str(rank), WORLD_SIZE="2")
    assert out.returncode == 0, out.stderr
    last = out.stdout.splitlines()[-1]
    assert last.startswith("rejected | this run has 2 ranks")
    assert last.endswith(f"| {rank == 0} 3")


def test_switched_off_by_the_environment_everything_is_a_no_op():
    code = (
        "import nbmonitor\nrun = nbmonitor.init('off')\n"
        "for _ in run.epochs(2):\n  for x in run.track(range(3)): run.log(loss=1.0)\n"
        "run.finish()\nprint(len(nbmonitor.runs()), run.step_count if hasattr(run, 'step_count') else '')"
    )
    out = script(code, NBMONITOR_DISABLED="1")
    assert out.returncode == 0, out.stderr
    assert out.stdout.split()[0] == "0"


def test_bad_arguments_say_what_was_meant():
    out = script("import nbmonitor\nnbmonitor.init('x', overhead=3)")
    assert "SettingError: overhead is 3" in out.stderr
    out = script("import nbmonitor\nnbmonitor.log(loss=1)")
    assert "RunError: There is no active run" in out.stderr
    out = script("import nbmonitor\nnbmonitor.attach('nowhere')")
    assert "host:port was expected" in out.stderr


def test_a_server_that_is_away_costs_telemetry_never_the_run():
    code = (
        "import nbmonitor, time\nt = time.time()\nrun = nbmonitor.init('x', address='127.0.0.1:9')\n"
        "for i in run.track(range(100)): run.log(loss=float(i))\nrun.finish()\nprint('done', time.time() - t < 20)"
    )
    out = script(code)
    assert out.returncode == 0, out.stderr
    assert out.stdout.split() == ["done", "True"]


def test_a_script_that_raises_ends_failed():
    code = (
        "import nbmonitor, atexit\nfrom nbmonitor.api import process\n"
        "broker = []\n"
        "run = nbmonitor.init('x', serve=False)\n"
        "broker = process.broker\n"
        "import nbmonitor.store.memory as m\n"
        "m.MemoryStore.close = lambda self: print([(str(r.state), r.message) for r in self.runs()])\n"
        "for i in run.track(range(9)):\n    run.log(loss=1.0)\n    if i == 4: raise ValueError('boom')"
    )
    out = script(code)
    assert "('failed', 'ValueError: boom')" in out.stdout, out.stdout + out.stderr
