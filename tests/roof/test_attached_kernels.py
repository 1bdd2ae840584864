"""`%nbmonitor attach` in real kernels: one trainer, several notebooks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

TRAIN = """
import sys, time
import nbmonitor
run = nbmonitor.init("digits-cnn")
print("up", flush=True)
for i in run.track(range(100_000)):
    run.log(loss=1.0 / (i + 1))
    time.sleep(0.01)
print("over", flush=True)
"""


class Trainer:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", TRAIN], stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.address = re.search(r"on (127\.0\.0\.1:\d+)", line)[1]
        assert self.process.stdout.readline() == "up\n"

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def state(tmp_path, monkeypatch):
    for name in [n for n in os.environ if n.startswith("NBMONITOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def trainer(state):
    made = Trainer()
    yield made
    made.close()


def say(kernel, code):
    text, errors, rich = kernel.run(code)
    assert not errors, errors
    return text.strip(), rich


def until(kernel, expression, wanted, seconds=15):
    end = time.monotonic() + seconds
    while (seen := kernel.say(f"print({expression})")) != wanted:
        assert time.monotonic() < end, f"{expression} is {seen!r}, not {wanted!r}"
        time.sleep(0.1)


SOURCES = "__import__('nbmonitor.extension').extension._loaded.sources"


def test_a_run_elsewhere_is_shown_described_and_attached_again(trainer, kernel):
    kernel.say("%load_ext nbmonitor")
    _, rich = say(kernel, "%nbmonitor attach digits-cnn")
    assert "nbm-snapshot" in rich[0]["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in rich[1]
    _, again = say(kernel, "%nbmonitor attach digits-cnn")
    view = "application/vnd.jupyter.widget-view+json"
    assert again[1][view]["model_id"] == rich[1][view]["model_id"], "another view of the same"
    say(kernel, f"%nbmonitor attach {trainer.address}")
    until(kernel, f"{SOURCES}['digits-cnn'].facts().rtt is not None", "True")
    status = kernel.say("%nbmonitor status").splitlines()
    lines = [line for line in status if line.startswith("attached")]
    assert len(lines) == 2
    assert re.fullmatch(
        r"attached +digits-cnn: connected, round trip \d+ ms, last event \d+\.\d s ago, 0 reconnects, "
        r"[\d,]+ dropped on purpose",
        lines[0],
    )
    trainer.close()
    until(kernel, f"{SOURCES}['digits-cnn'].road", "disconnected")
    assert "disconnected" in kernel.say("%nbmonitor status")
    text, _ = say(kernel, "%nbmonitor attach digits-cnn")
    assert text.startswith("nbmonitor: ")
    assert "digits-cnn" in text or "No nbmonitor server" in text
    kernel.say("%unload_ext nbmonitor")
    assert kernel.say(
        "import threading\nprint([t.name for t in threading.enumerate() if 'nbmonitor' in t.name])"
    ) == ("[]")


def test_a_trainer_that_is_started_again_is_attached_by_the_same_cell(trainer, kernel):
    kernel.say("%load_ext nbmonitor")
    say(kernel, "%nbmonitor attach digits-cnn")
    trainer.close()
    until(kernel, f"{SOURCES}['digits-cnn'].road", "disconnected")
    second = Trainer()
    try:
        end = time.monotonic() + 10  # the run is announced by a thread of its own
        while len(say(kernel, "%nbmonitor attach digits-cnn")[1]) != 2:
            assert time.monotonic() < end, say(kernel, "%nbmonitor attach digits-cnn")[0]
        until(kernel, f"{SOURCES}['digits-cnn'].road", "connected")
        until(kernel, f"[str(r.state) for r in {SOURCES}['digits-cnn'].runs()]", "['running']")
    finally:
        second.close()


def test_two_notebooks_watch_one_run_and_a_restarted_kernel_attaches_again(
    trainer, kernel, second_kernel
):
    for each in (kernel, second_kernel):
        each.say("%load_ext nbmonitor")
        say(each, "%nbmonitor attach digits-cnn")
    kernel.manager.restart_kernel(now=True)
    kernel.client.wait_for_ready(timeout=60)
    kernel.say("%load_ext nbmonitor")
    say(kernel, "%nbmonitor attach digits-cnn")
    stop = (
        "from nbmonitor.events import Command, CommandKind\n"
        f"source = {SOURCES}['digits-cnn']\n"
        "print(source.send(Command(source.chosen, CommandKind.STOP)).error)"
    )
    assert kernel.say(stop) == ""
    assert trainer.process.wait(20) == 0
    assert "over" in trainer.process.stdout.read()


def test_loading_and_attaching_again_and_again_leaves_nothing(trainer, kernel):
    def cycles(count):
        kernel.say(
            f"for _ in range({count}):\n"
            "    %load_ext nbmonitor\n"
            "    %nbmonitor attach digits-cnn\n"
            "    %unload_ext nbmonitor"
        )
        return kernel.say(
            "import os, threading\n"
            "print(len(os.listdir('/proc/self/fd')), [t.name for t in threading.enumerate() if 'nbmonitor' in t.name])"
        ).split(" ", 1)

    files, ours = cycles(2)
    assert ours == "[]"
    cycles(10)
    # ipykernel closes a thread's pipe to its output some ten seconds after the thread's end (IOPubThread._event_pipe_gc).
    end = time.monotonic() + 25
    while int((seen := cycles(0))[0]) > int(files) + 3 and time.monotonic() < end:
        time.sleep(0.5)
    assert seen[1] == "[]"
    assert int(seen[0]) <= int(files) + 3


def test_words_that_attach_nothing_end_in_one_line(state, kernel):
    kernel.say("%load_ext nbmonitor")
    for words, says in (
        ("nowhere-at-all", "no run 'nowhere-at-all'"),
        ("ssh://-oProxyCommand=x", "is no address"),
        ("127.0.0.1:1 token_file=/nowhere", "cannot be read"),
        ("127.0.0.1:1 tls_ca=", "Expected options among"),
    ):
        text, _ = say(kernel, f"%nbmonitor attach {words}")
        assert text.startswith("nbmonitor: "), text
        assert says in text
    own = kernel.say("import os; print(os.environ['NBMONITOR_ADDRESS'])")
    _, rich = say(kernel, f"%nbmonitor attach {own}")
    assert len(rich) == 2, "its own panel"
