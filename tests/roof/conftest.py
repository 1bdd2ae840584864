from __future__ import annotations

import os

import pytest
from jupyter_client.manager import KernelManager


class Kernel:
    """A real ipykernel, driven over ZMQ."""

    def __init__(self):
        self.manager = KernelManager(kernel_name="python3")  # the one of this interpreter
        env = {k: v for k, v in os.environ.items() if not k.startswith("NBMONITOR_")}
        self.manager.start_kernel(env=env)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.late = {}

    def start(self, code):
        """Send a cell; returns its message id."""
        return self.client.execute(code)

    def finish(self, msg_id, timeout=60):
        """Wait until that cell is idle; returns (text of streams, errors, rich outputs) under ITS parent."""
        text, errors, rich = "", [], []
        while True:
            msg = self.client.get_iopub_msg(timeout=timeout)
            parent = msg["parent_header"].get("msg_id")
            if parent != msg_id:
                if (
                    msg["msg_type"] == "stream"
                ):  # another cell's, printed later by a thread of its own
                    self.late[parent] = self.late.get(parent, "") + msg["content"]["text"]
                continue
            kind, content = msg["msg_type"], msg["content"]
            if kind == "stream":
                text += content["text"]
            elif kind == "error":
                errors.append(f"{content['ename']}: {content['evalue']}")
            elif kind in ("display_data", "execute_result"):
                rich.append(content["data"])
            elif kind == "status" and content["execution_state"] == "idle":
                return text, errors, rich

    def run(self, code, timeout=60):
        return self.finish(self.start(code), timeout)

    def say(self, code):
        """Run a cell that must not fail; returns what it printed."""
        text, errors, _ = self.run(code)
        assert not errors, errors
        return text.strip()

    def close(self):
        self.client.stop_channels()
        self.client.context.destroy(linger=0)  # here, not in whatever thread collects the garbage
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def kernel():
    k = Kernel()
    yield k
    k.close()


@pytest.fixture
def second_kernel():
    k = Kernel()
    yield k
    k.close()
