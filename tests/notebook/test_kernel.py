"""The road into ipykernel: with a kernel of paper, and with a real one that is busy with a cell."""

from __future__ import annotations

import asyncio
import contextlib
import textwrap
import time
import weakref
from types import SimpleNamespace

import pytest

from nbmonitor.notebook import kernel as road
from nbmonitor.notebook.takeover import possible

jupyter_client = pytest.importorskip("jupyter_client")


class Session:
    def __init__(self):
        self.sent = []

    def send(self, stream, kind, content, parent, ident):
        self.sent.append((kind, content))


class Kernel:
    """What the control channel needs of a kernel, and no more."""

    def __init__(self):
        self.session = Session()
        self.debugged = []
        self.control_handlers = {"debug_request": self.debug}

    async def debug(self, stream, ident, message):
        self.debugged.append(message["content"]["command"])


class Panel:
    def __init__(self):
        self.got = []

    def post(self, request, road="control"):
        self.got.append((request, road))
        return {"id": request["id"], "ok": True}

    def comm_ids(self):
        return {"c1"}


@pytest.fixture
def panel():
    made = Panel()
    road.register("d1", made)
    yield made
    road.unregister("d1")


@pytest.fixture
def kernel():
    made = Kernel()
    yield made
    road.uninstall(made)


def test_both_kinds_of_message_reach_the_dashboard(kernel, panel):
    assert road.install(SimpleNamespace(kernel=kernel)) is True
    request = {"id": "r1", "client": "a", "dashboard": "d1", "op": "ping"}
    kernel.control_handlers["nbmonitor_request"](None, b"", {"content": request})
    debug = {"seq": 7, "type": "request", "command": "nbmonitor", "arguments": request}
    asyncio.run(kernel.control_handlers["debug_request"](None, b"", {"content": debug}))
    assert panel.got == [(request, "control")] * 2
    (kind, reply), (debug_kind, debug_reply) = kernel.session.sent
    assert (kind, reply) == ("nbmonitor_reply", {"id": "r1", "ok": True})
    assert debug_kind == "debug_reply"
    assert (debug_reply["success"], debug_reply["request_seq"], debug_reply["body"]) == (
        True,
        7,
        reply,
    )
    facts = road.liveness(kernel)
    assert (facts["control"], facts["takeover"], facts["requests"]) == (True, False, 2)


def test_other_debug_requests_go_where_they_went(kernel, panel):
    road.install(kernel)
    message = {"content": {"command": "initialize"}}
    asyncio.run(kernel.control_handlers["debug_request"](None, b"", message))
    assert kernel.debugged == ["initialize"]
    assert panel.got == []


def test_install_and_uninstall_are_idempotent_and_leave_no_trace(kernel):
    before = dict(kernel.control_handlers)
    road.install(kernel)
    during = dict(kernel.control_handlers)
    road.install(kernel)
    assert kernel.control_handlers == during
    road.uninstall(kernel)
    road.uninstall(kernel)
    assert kernel.control_handlers == before
    assert road.liveness(kernel)["control"] is False
    road.install(kernel)
    kernel.control_handlers["debug_request"] = other = object()  # somebody else came after us
    road.uninstall(kernel)
    assert kernel.control_handlers == {"debug_request": other}


def test_a_shell_without_a_kernel_has_no_roads():
    shell = SimpleNamespace()
    assert road.install(shell) is False
    road.uninstall(shell)
    assert road.liveness(shell) == {
        "kernel": False,
        "control": False,
        "takeover": False,
        "requests": 0,
    }


def test_requests_find_their_dashboard(panel):
    other = Panel()
    assert road.dispatch({"id": "1", "op": "ping"})["ok"] is True  # the only one
    road.register("d2", other)
    assert road.dispatch({"id": "2", "dashboard": "d2"})["ok"] is True
    assert [r["id"] for r, _ in other.got] == ["2"]
    assert road.dispatch({"id": "3"}) == {
        "id": "3",
        "ok": False,
        "reason": "several dashboards: name one",
    }
    assert road.own_comms() == {"c1"}
    road.unregister("d2")
    gone = road.dispatch({"id": "4", "dashboard": "d2"})
    assert gone == {"id": "4", "ok": False, "reason": "that dashboard is not there any more"}
    refused = {"id": "", "ok": False, "reason": "a request must be an object"}
    assert road.dispatch("nonsense") == refused


def test_a_dashboard_that_fails_does_not_harm_the_control_thread():
    class Broken(Panel):
        def post(self, request, road="control"):
            raise RuntimeError("broken")

    broken = Broken()
    road.register("b", broken)
    assert road.dispatch({"id": "1", "dashboard": "b"})["reason"] == "could not be taken: broken"
    road.unregister("b")


def test_dashboards_are_not_kept_alive():
    panel = Panel()
    road.register("w", panel)
    gone = weakref.ref(panel)
    del panel
    assert gone() is None
    assert road.dispatch({"id": "1", "dashboard": "w"})["ok"] is False


def test_the_repair_gives_back_the_chosen_way():
    comm = SimpleNamespace(_reply_subshell_for=lambda data, default: "main")
    road.repair(comm)
    assert comm._reply_subshell_for({}, "sub") == "sub"
    plain = SimpleNamespace()
    road.repair(plain)
    assert vars(plain) == {}


def test_the_takeover_needs_every_name(kernel):
    assert possible(kernel) is False


# --- a real kernel ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client():
    manager = jupyter_client.KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        client.context.destroy(linger=0)  # here, not in whatever thread collects the garbage
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def run(client, code, wait=True):
    told = {}
    kept = []

    def hook(message):
        kept.append(message)

    if not wait:
        return client.execute(textwrap.dedent(code))
    reply = client.execute_interactive(textwrap.dedent(code), timeout=60, output_hook=hook)
    assert reply["content"]["status"] == "ok", reply["content"]
    told["text"] = "".join(m["content"]["text"] for m in kept if m["msg_type"] == "stream")
    return told["text"]


def control(client, kind, content, timeout=5.0):
    message = client.session.msg(kind, content)
    client.control_channel.send(message)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            reply = client.control_channel.get_msg(timeout=0.5)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply
    raise AssertionError(f"no answer to {kind} within {timeout} s")


def shell(client, kind, content, metadata=None):
    message = client.session.msg(kind, content, metadata=metadata)
    client.shell_channel.send(message)
    return message["header"]["msg_id"]


@pytest.mark.slow
def test_a_busy_kernel_answers_both_messages_and_the_handshake(client):
    said = run(
        client,
        """
        import threading, time
        from nbmonitor.broker import Broker
        from nbmonitor.events import CommandState, RunInfo
        from nbmonitor.store import MemoryStore
        from nbmonitor.notebook import dashboard, kernel
        dashboard._read = lambda name: "export default {}"
        got = []
        def deliver(command):
            got.append((command.kind.value, threading.current_thread().name))
            return CommandState.DELIVERED
        broker = Broker(MemoryStore())
        run = broker.open(RunInfo("r", "busy", controls={"pause": {}}), deliver)
        shell = get_ipython()
        print(kernel.install(shell), kernel.install(shell), kernel.liveness(shell)["takeover"])
        panel = dashboard.Dashboard(broker)
        print(panel.dashboard, *sorted(panel.comm_ids()))
        """,
    )
    opened, named = said.splitlines()
    assert opened == "True True True"
    name, *comms = named.split()
    cell = run(
        client,
        "end = time.time() + 60\nwhile not got and time.time() < end: time.sleep(.05)\nelapsed = 60 - (end - time.time())",
        wait=False,
    )
    time.sleep(0.5)
    page = {"client": "page", "dashboard": name}
    hello = page | {
        "id": "h",
        "op": "hello",
        "axis": "step",
        "want": [],
        "fps": 60,
        "visible": True,
    }
    reply = control(client, "nbmonitor_request", hello)
    assert (reply["msg_type"], reply["content"]) == ("nbmonitor_reply", {"id": "h", "ok": True})

    info = shell(client, "comm_info_request", {"target_name": "jupyter.widget"})
    answered = client.get_shell_msg(timeout=5)
    assert answered["parent_header"]["msg_id"] == info
    assert set(comms) <= set(answered["content"]["comms"])

    shell(
        client,
        "comm_open",
        {"comm_id": "restore", "target_name": "jupyter.widget.control", "data": {}},
        {"version": "1.0.0"},
    )
    shell(client, "comm_msg", {"comm_id": "restore", "data": {"method": "request_states"}})
    states, key = None, None
    end = time.monotonic() + 10
    while time.monotonic() < end and not (states and key):
        message = client.get_iopub_msg(timeout=10)
        data = message["content"].get("data", {}) if message["msg_type"] == "comm_msg" else {}
        if data.get("method") == "update_states":
            states = data["states"]
        if data.get("content", {}).get("key"):
            key = data["content"]
    assert set(comms) <= set(states)
    assert (key["n"], key["run"]["id"]) == (1, "r")

    ask = page | {"id": "p", "op": "command", "run": "r", "kind": "pause", "params": {}}
    debug = {"seq": 1, "type": "request", "command": "nbmonitor", "arguments": ask}
    reply = control(client, "debug_request", debug)
    assert reply["msg_type"] == "debug_reply"
    assert reply["content"]["body"] == {"id": "p", "ok": True}
    done = client.get_shell_msg(timeout=10)
    assert done["parent_header"]["msg_id"] == cell

    said = run(
        client,
        """
        print(got, elapsed < 30)
        panel.close()
        kernel.uninstall(shell); kernel.uninstall(shell)
        print(kernel.liveness(shell)["control"], "nbmonitor_request" in shell.kernel.control_handlers)
        print([t.name for t in threading.enumerate() if t.name.startswith("nbmonitor-")])
        """,
    )
    assert said.splitlines() == ["[('pause', 'nbmonitor-dashboard')] True", "False False", "[]"]
    reply = control(client, "debug_request", {"seq": 2, "type": "request", "command": "debugInfo"})
    assert reply["msg_type"] == "debug_reply"  # the debugger's own road is whole
    assert run(client, "print(1 + 1)") == "2\n"
