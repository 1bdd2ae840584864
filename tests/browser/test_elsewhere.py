"""A run whose trainer or server lives in another process, shown and steered by the same dashboard."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys

from training import SETUP

ROOT = ".nbm"

SCRIPT = """
import nbmonitor, torch
from torch import nn
torch.set_num_threads(1)
model = nn.Linear(64, 10)
opt = torch.optim.SGD(model.parameters(), lr=0.1)
with nbmonitor.init("far-away", class_names=list("abcdefghij")) as run:
    run.control(optimizer=opt)
    for epoch in run.epochs(100_000):
        for _ in run.track(range(50)):
            x, y = torch.rand(16, 1, 8, 8), torch.randint(0, 10, (16,))
            logits = model(x.flatten(1))
            loss = nn.functional.cross_entropy(logits, y)
            opt.zero_grad(); loss.backward(); opt.step()
            run.log(loss=loss)
            run.log_batch(x, logits=logits, targets=y)
            torch.rand(200, 200) @ torch.rand(200, 200)
print("ended", run.state)
"""

# A server that is nobody's trainer, on a port and with a token that outlive it.
SERVER = """
import sys, threading
from nbmonitor.broker import Broker
from nbmonitor.rpc.server import Server
from nbmonitor.store import MemoryStore
server = Server(Broker(MemoryStore()), port=int(sys.argv[1]), token_file=sys.argv[2])
print(server.start().address, flush=True)
threading.Event().wait()
"""


def environment(lab):
    """Where the kernel looks for servers."""
    folders = {"XDG_RUNTIME_DIR": "xdg-runtime", "XDG_STATE_HOME": "xdg-state"}
    return os.environ | {name: str(lab.tmp / folder) for name, folder in folders.items()}


@contextlib.contextmanager
def python(code, *arguments, **env):
    """Another process, which ends with the block."""
    command = [sys.executable, "-u", "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | env)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def steer(tab):
    tab.wait_data(ROOT, "state", "running", timeout=30)
    tab.wait_number(ROOT, "step", 20)
    tab.wait_number(ROOT, "painted", 5)
    tab.wait_number(f"{ROOT} .nbm-chart[data-chart=loss]", "points", 5)
    tab.page.locator(f"{ROOT} [data-action=pause]").first.click()
    tab.wait_data(ROOT, "state", "paused")
    field = tab.page.locator(f"{ROOT} [data-input=lr]").first
    field.fill("0.05")
    field.press("Enter")
    line = tab.page.locator(
        f"{ROOT} li[data-mark=ok]", has_text=re.compile("learning rate", re.IGNORECASE)
    ).first
    line.wait_for(timeout=15_000)
    assert re.search(r"0\.1\D+0\.05", line.inner_text())
    tab.page.locator(f"{ROOT} [data-action=stop]").first.click()
    tab.page.locator(f"{ROOT} [data-action=stop-yes]").first.click()
    tab.wait_data(ROOT, "state", "stopped")


def test_a_subprocess_of_the_kernel_reports_into_the_panel(lab):
    start = (
        "import subprocess, sys, pathlib\n"
        f"pathlib.Path('train.py').write_text({SCRIPT!r})\n"
        "child = subprocess.Popen([sys.executable, 'train.py'], stdout=subprocess.PIPE, text=True)"
    )
    with lab.open(
        ["%load_ext nbmonitor", "%nbmonitor", start, "print(child.wait(30), child.stdout.read())"]
    ) as tab:
        for cell in (0, 1, 2):
            tab.run_cell(cell)
        tab.scroll_to(1)
        steer(tab)
        tab.run_cell(3)
        assert "0 ended stopped" in tab.text(3)


def test_attached_to_a_trainer_that_serves_itself(lab):
    with python(SCRIPT, **environment(lab)) as trainer:
        address = re.search(r"attach (\S+)", trainer.stdout.readline())[1]
        with lab.open(["%load_ext nbmonitor", f"%nbmonitor attach {address}"]) as tab:
            tab.run_all()
            tab.scroll_to(1)
            steer(tab)
        assert trainer.wait(20) == 0
        assert "ended stopped" in trainer.stdout.read()


def test_a_server_that_dies_is_said_and_comes_back_by_itself(lab, tmp_path):
    token = tmp_path / "token"
    token.write_text("0123456789abcdef" * 4 + "\n")
    token.chmod(0o600)
    with contextlib.ExitStack() as first:
        server = first.enter_context(python(SERVER, 0, token))
        address = server.stdout.readline().strip()
        here = {"NBMONITOR_ADDRESS": address, "NBMONITOR_TOKEN_FILE": str(token)}
        cells = ["%load_ext nbmonitor", f"%nbmonitor attach {address} token_file={token}"]
        with python(SCRIPT, **here), lab.open(cells) as tab:
            tab.run_all()
            tab.scroll_to(1)
            tab.wait_data(ROOT, "state", "running", timeout=30)
            tab.wait_number(ROOT, "painted", 5)
            tab.wait_data(ROOT, "link", "connected")
            tip = tab.page.locator(f"{ROOT} .nbm-tip")
            assert f"Attached to {address}" in tip.text_content()
            first.close()

            tab.wait_data(ROOT, "link", "disconnected")
            step = int(tab.page.locator(ROOT).get_attribute("data-step"))
            notice = tab.page.locator(f"{ROOT} .nbm-notice")
            words = rf"^No connection to the server at {address}: trying again\. Since \d\d:\d\d \(\d+ s\)\.$"
            notice.filter(has_text=re.compile(words)).wait_for()
            pause = tab.page.locator(f"{ROOT} [data-action=pause]")
            assert pause.get_attribute("aria-disabled") == "true"
            why = tab.page.locator(f"{ROOT} .nbm-why")
            assert why.inner_text() == "No connection: the buttons work again when it is back."
            seconds = [int(re.search(r"\((\d+) s\)", notice.inner_text())[1])]
            while len(seconds) < 3:  # it counts by itself: nothing arrives
                tab.page.wait_for_timeout(300)
                seconds = sorted({*seconds, int(re.search(r"\((\d+) s\)", notice.inner_text())[1])})

            with python(SERVER, address.rpartition(":")[2], token) as again:
                assert again.stdout.readline().strip() == address
                tab.wait_data(ROOT, "link", "connected", timeout=20)
                tab.wait_number(ROOT, "step", step + 20)
                notice.wait_for(state="hidden")
                assert "1 reconnect" in tip.text_content()
                pause.click()
                tab.wait_data(ROOT, "state", "paused")


def test_a_cell_in_a_thread_is_steered_like_any_other(lab):
    cell = "%%nbmonitor\nfor i in run.track(range(10**9)):\n    run.log(loss=1.0 / (i + 1))\n    torch.rand(150, 150) @ torch.rand(150, 150)\nprint('left the loop')"
    with lab.open([SETUP, "%nbmonitor", cell, "print('free')"]) as tab:
        for k in range(4):
            tab.run_cell(k)
        assert tab.text(3) == "free\n"
        tab.scroll_to(1)
        tab.wait_data(ROOT, "state", "running")
        tab.page.locator(f"{ROOT} [data-action=stop]").first.click()
        tab.page.locator(f"{ROOT} [data-action=stop-yes]").first.click()
        tab.wait_text(2, "left the loop")


def test_the_wheel_and_who_did_what_between_two_notebooks(lab):
    cell = "%%nbmonitor\nfor i in run.track(range(10**9)):\n    run.log(loss=1.0 / (i + 1))\n    torch.rand(300, 300) @ torch.rand(300, 300)"
    with lab.open([SETUP, "%nbmonitor", cell]) as home:
        for k in range(3):
            home.run_cell(k)
        home.scroll_to(1)
        home.wait_data(ROOT, "state", "running")
        address = re.search(r"attach (\S+)", home.text(0))[1]
        with lab.open(["%load_ext nbmonitor", f"%nbmonitor attach {address}"]) as away:
            away.run_all()
            away.scroll_to(1)
            away.wait_data(ROOT, "state", "running", timeout=30)

            def says(tab, words):
                tab.page.locator(f"{ROOT} .nbm-wheel", has_text=re.compile(words)).wait_for()

            def button(tab, action):
                return tab.page.locator(f"{ROOT} [data-action={action}]")

            button(home, "audit").click()
            button(away, "wheel-take").click()
            says(away, r"You have the wheel since \d\d:\d\d")
            says(home, r"@.* has the wheel since \d\d:\d\d")
            button(home, "pause").and_(home.page.locator("[aria-disabled=true]")).wait_for()
            took = home.page.locator(
                f"{ROOT} .nbm-audit li[data-mark=ok]", has_text="Took the wheel"
            )
            took.wait_for()
            assert "@" in took.locator(".nbm-by").inner_text()
            home.page.locator(f"{ROOT} .nbm-audit li", has_text="Attached").first.wait_for()

            button(home, "wheel-take").click()  # not locked: taken from them
            says(away, r"the run's notebook has the wheel since \d\d:\d\d")
            button(away, "stop").and_(away.page.locator("[aria-disabled=true]")).wait_for()
            button(home, "wheel-lock").click()
            says(away, "locked")
            assert not button(away, "wheel-take").is_visible()
            button(home, "wheel-give").click()
            field = home.page.locator(f"{ROOT} [data-input=wheel-to]")
            name = home.page.locator(f"{ROOT} .nbm-wheel option").first.get_attribute("value")
            field.fill(name)
            field.press("Enter")
            says(away, "You have the wheel")
            button(away, "pause").click()
            away.wait_data(ROOT, "state", "paused")
            home.wait_data(ROOT, "state", "paused")
            button(away, "wheel-release").click()
            button(home, "stop").and_(home.page.locator(":not([aria-disabled])")).wait_for()


def test_the_runs_of_a_server_are_listed_and_one_is_chosen(lab):
    first = "a = nbmonitor.init('first')\nfor i in a.track(range(30)):\n    a.log(loss=1 / (i + 1))\na.finish()"
    second = "%%nbmonitor\nb = nbmonitor.init('second')\nfor i in b.track(range(10**9)):\n    b.log(loss=1.0 / (i + 1))\n    sum(range(100_000))"
    with lab.open(["%load_ext nbmonitor\nimport nbmonitor", first, second]) as home:
        home.run_cell(0)
        address = re.search(r"attach (\S+)", home.text(0))[1]
        home.run_cell(1)
        home.run_cell(2)
        with lab.open(["%load_ext nbmonitor", f"%nbmonitor attach {address}"]) as away:
            away.run_all()
            away.scroll_to(1)
            away.wait_data(ROOT, "state", "running", timeout=30)
            choice = away.page.locator(f"{ROOT} [data-input=run]")
            name = away.page.locator(f"{ROOT} .nbm-name")
            listed = choice.locator("option").all_text_contents()
            assert listed[0] == "Always the newest"
            assert re.fullmatch(
                r"second · Running · step [\d,]+ · begun \d\d:\d\d, \d+ s ago", listed[1]
            )
            assert listed[2].startswith("first · Completed · step 30 · begun ")
            assert (name.inner_text(), choice.input_value()) == ("second", "")
            chosen = choice.locator("option").nth(2).get_attribute("value")
            choice.select_option(chosen)
            away.wait_data(ROOT, "state", "completed")
            assert name.inner_text() == "first"
            choice.blur()
            away.save()
            away.reload()
            away.scroll_to(1)
            away.wait_data(ROOT, "state", "completed", timeout=30)
            assert choice.input_value() == chosen, "the kernel knows what was chosen"
            choice.select_option("")
            away.wait_data(ROOT, "state", "running")
            assert name.inner_text() == "second"
