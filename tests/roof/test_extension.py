from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.slow

LOOP = """
import nbmonitor
run = nbmonitor.init("r")
def loop(n=5):
    for i in run.track(range(n)):
        run.log(loss=1.0 / (i + 1))
        yield i
"""


def wait_for(kernel, expression, wanted, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = kernel.say(f"print({expression})")
        if seen == wanted:
            return
        time.sleep(0.1)
    pytest.fail(f"{expression} is {seen!r}, not {wanted!r}")


def test_loading_says_one_line_and_a_second_time_nothing(kernel):
    line = kernel.say("%load_ext nbmonitor")
    assert len(line.splitlines()) == 1
    assert "127.0.0.1:" in line
    assert "%nbmonitor attach" in line
    assert kernel.say(
        "%load_ext nbmonitor\nimport nbmonitor\nnbmonitor.load_ipython_extension(get_ipython())"
    ) in (
        "",
        "The nbmonitor extension is already loaded. To reload it, use:\n  %reload_ext nbmonitor",
    )
    mode = kernel.say(
        "import os, stat\nprint(oct(os.stat(os.environ['NBMONITOR_TOKEN_FILE']).st_mode & 0o777))"
    )
    assert mode == "0o600"


def test_unloading_puts_everything_back(kernel):
    before = "import threading, os\nprint(sorted(t.name for t in threading.enumerate() if 'nbmonitor' in t.name))"
    kernel.say("%load_ext nbmonitor")
    kernel.say(
        "import nbmonitor\nrun = nbmonitor.init('x')\nfor _ in run.track(range(3)): run.log(loss=1.0)"
    )
    kernel.say("%unload_ext nbmonitor")
    assert kernel.say(before) == "[]"
    assert kernel.say("print('NBMONITOR_ADDRESS' in os.environ)") == "False"
    assert "`%nbmonitor` not found" in kernel.run("%nbmonitor")[0]
    assert "serving" in kernel.say("%load_ext nbmonitor")


@pytest.mark.parametrize(
    ("cell", "state"),
    [
        ("for i in loop(): pass", "completed"),
        ("for i in loop():\n    if i == 2: raise ValueError('no good')", "failed"),
        ("for i in loop():\n    if i == 2: raise KeyboardInterrupt", "interrupted"),
        ("for i in run.track(range(9)):\n    if i == 2: break", "interrupted"),
        ("for e in run.epochs(2):\n    for i in loop(): pass", "completed"),
        ("x = 1", "initializing"),
    ],
)
def test_how_a_run_ends_without_anybody_calling_finish(kernel, cell, state):
    kernel.say("%load_ext nbmonitor")
    kernel.say(LOOP)
    kernel.run(cell)
    assert kernel.say("print(nbmonitor.runs()[0].state)") == state
    if state == "failed":
        assert kernel.say("print(nbmonitor.runs()[0].message)") == "ValueError: no good"


def test_a_run_that_ended_is_reopened_by_iterating_again(kernel):
    kernel.say("%load_ext nbmonitor")
    kernel.say(LOOP)
    kernel.run("for i in loop(5): pass")
    kernel.run("for i in loop(5): pass")
    assert kernel.say("print(len(nbmonitor.runs()), nbmonitor.runs()[0].state)") == "1 completed"
    assert kernel.say("print(run.history('loss')[0].tolist())") == str(list(range(10)))


def test_a_new_init_supersedes_the_run_before(kernel):
    kernel.say("%load_ext nbmonitor")
    kernel.say(LOOP)
    kernel.say("second = nbmonitor.init('second')")
    seen = kernel.say("print([(r.name, str(r.state)) for r in nbmonitor.runs()])")
    assert seen == "[('second', 'initializing'), ('r', 'interrupted')]"


def test_a_subprocess_reports_to_this_notebook(kernel):
    kernel.say("%load_ext nbmonitor")
    kernel.say(
        "import subprocess, sys, textwrap\n"
        "code = textwrap.dedent('''\n"
        "    import nbmonitor\n"
        "    with nbmonitor.init('child') as run:\n"
        "        for i in run.track(range(20)): run.log(loss=float(i))\n"
        "''')\n"
        "out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)\n"
        "assert out.returncode == 0, out.stderr\n"
        "import nbmonitor"
    )
    wait_for(
        kernel,
        "[(r.name, str(r.state), r.origin) for r in nbmonitor.runs()]",
        "[('child', 'completed', 'process')]",
    )
    count = (
        "nbmonitor.process.process.broker.history(nbmonitor.runs()[0].run_id, 'loss')[1].tolist()"
    )
    assert (
        kernel.say(f"import nbmonitor.process\nprint({count} == [float(i) for i in range(20)])")
        == "True"
    )


def test_a_cell_in_a_thread_keeps_its_output_and_leaves_the_kernel_free(kernel):
    kernel.say("%load_ext nbmonitor")
    kernel.say(LOOP + "import threading\ngo = threading.Event()")
    cell = kernel.start(
        "%%nbmonitor\nfor i in loop(3):\n    go.wait(20)\nprint('threaded', i)\ni * 100"
    )
    text, errors, _ = kernel.finish(cell)
    assert "Stop in the panel" in text
    assert not errors
    assert kernel.say("print(6 * 7)") == "42"  # while the thread runs
    other, _, _ = kernel.run("%%nbmonitor\npass")
    assert "still running" in other
    kernel.say("go.set()")
    wait_for(kernel, "nbmonitor.runs()[0].state", "completed")
    assert kernel.late[cell].split() == ["threaded", "2", "200"]


def test_an_exception_in_a_threaded_cell_fails_the_run(kernel):
    kernel.say("%load_ext nbmonitor")
    kernel.say(LOOP)
    kernel.run(
        "%%nbmonitor\nfor i in loop(5):\n    if i == 3: raise RuntimeError('threaded trouble')"
    )
    wait_for(kernel, "nbmonitor.runs()[0].state", "failed")
    assert kernel.say("print(nbmonitor.runs()[0].message)") == "RuntimeError: threaded trouble"


def test_await_in_a_threaded_cell_is_refused_with_the_remedy(kernel):
    kernel.say("%load_ext nbmonitor")
    text, errors, _ = kernel.run("%%nbmonitor\nimport asyncio\nawait asyncio.sleep(0)")
    assert not errors
    assert "asyncio.run" in text


def test_config_is_settable_and_shown(kernel):
    kernel.say("%load_ext nbmonitor")
    kernel.say(
        "%config NBMonitor.disabled = True\nimport nbmonitor\nrun = nbmonitor.init('off')\nrun.log(loss=1.0)"
    )
    assert kernel.say("print(len(nbmonitor.runs()))") == "0"


def test_the_panel_writes_a_snapshot_and_a_widget(kernel):
    kernel.say("%load_ext nbmonitor")
    kernel.say(LOOP)
    _, errors, rich = kernel.run("%nbmonitor")
    assert not errors
    assert len(rich) == 2
    assert "nbm-snapshot" in rich[0]["text/html"]
    assert len(rich[0]["text/html"]) < 200_000
    assert "application/vnd.jupyter.widget-view+json" in rich[1]


def test_words_that_are_no_command_get_the_list_of_commands(kernel):
    kernel.say("%load_ext nbmonitor")
    assert "%nbmonitor attach WHERE" in kernel.say("%nbmonitor nonsense")
    assert "no server of this machine listens there" in kernel.say("%nbmonitor attach 127.0.0.1:1")
    assert "%nbmonitor attach ssh://gpu-box" in kernel.say("%nbmonitor attach gpu-box:1")
    assert "Expected options among token_file=" in kernel.say(
        "%nbmonitor attach gpu-box:1 password=x"
    )


def test_an_attach_without_an_address_says_what_is_missing(kernel):
    kernel.say("%load_ext nbmonitor")
    said = kernel.say("%nbmonitor attach")
    assert "needs to know where" in said
    assert "nbmonitor runs" in said


def test_words_behind_the_cell_magic_are_not_swallowed(kernel):
    kernel.say("%load_ext nbmonitor")
    said, errors, _ = kernel.run("%%nbmonitor attach gpu-box:1\nran = True")
    assert not errors
    assert "takes no words" in said
    assert kernel.say("print('ran' in globals())") == "False"


def test_a_stop_is_answered(kernel):
    kernel.say("%load_ext nbmonitor")
    assert "no active run" in kernel.say("%nbmonitor stop")
    kernel.say(LOOP)
    kernel.say("import threading\ngo = threading.Event()")
    kernel.start("%%nbmonitor\nfor i in loop(9):\n    go.wait(20)")
    wait_for(kernel, "nbmonitor.runs()[0].state", "running")
    assert "was asked to stop" in kernel.say("%nbmonitor stop")
    kernel.say("go.set()")
    wait_for(kernel, "nbmonitor.runs()[0].state", "stopped")
    assert "the run is over" in kernel.say("%nbmonitor stop")


def test_the_remedy_for_a_server_with_tls_is_an_option_of_attach():
    from nbmonitor.errors import SettingError
    from nbmonitor.extension import _keywords
    from nbmonitor.rpc.trust.tls import Tls

    assert _keywords({"tls": "1"}) == {"tls": True}
    assert _keywords({"tls": "1", "tls_ca": "x"}) == {"tls": Tls(ca="x")}
    with pytest.raises(SettingError, match="1 or 0 was expected"):
        _keywords({"tls": "maybe"})


def test_names_in_printed_text_are_left_as_they_are(kernel):
    kernel.say("%load_ext nbmonitor")
    name = "lr=0.1 *x* __y__ [a|b] 实验"
    kernel.say(f"import nbmonitor\nrun = nbmonitor.init({name!r})")
    assert f"  {name}  (" in kernel.say("%nbmonitor runs")
    assert f"active run       {name} (" in kernel.say("%nbmonitor status")
    kernel.say("run = nbmonitor.init('bell \\x07 and\\nline')")
    assert "  bell \ufffd and line  (" in kernel.say("%nbmonitor runs")
    assert "Expected quotes" in kernel.say("%nbmonitor attach it's")
    assert 'There is no run "it\'s"' in kernel.say('%nbmonitor attach "it\'s"')


FORKS = """
import torch
from torch.utils.data import DataLoader, TensorDataset
loader = DataLoader(TensorDataset(torch.arange(64.0)), batch_size=8, num_workers=2, multiprocessing_context="fork")
run = nbmonitor.init("forks")
for epoch in run.epochs(6):
    for (x,) in run.track(loader):
        run.log(loss=x.mean())
print("batches", len(run.history("loss")[1]))
"""


def test_forked_loader_workers_live_beside_the_server_and_a_watching_client(kernel):
    kernel.say("%load_ext nbmonitor")
    kernel.say(
        "import nbmonitor, nbmonitor.api, os\n"
        "other = nbmonitor.init('other')\n"
        "for _ in other.track(range(2)): other.log(loss=1.0)\n"
        "client = nbmonitor.attach(os.environ['NBMONITOR_ADDRESS'])\n"
        "box = client.subscribe(other.run_id)"  # an open stream in the kernel's own server
    )
    assert kernel.say(FORKS).splitlines()[-1] == "batches 48"
    assert kernel.say("print([r.name for r in client.runs()][0]); client.close()") == "forks"
