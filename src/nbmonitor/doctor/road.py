"""The server that is reported to or looked at: whether it answers, how far away it is, what its clock says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nbmonitor import api
from nbmonitor.doctor.report import Finding
from nbmonitor.errors import NbMonitorError
from nbmonitor.process import process
from nbmonitor.rpc.metrics import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmonitor.doctor.report import Check, Scene

SKEW = 2.0  # seconds beyond which two clocks are told apart
FAR = 0.5  # seconds of a round trip beyond which a panel lags


def _reach(scene: Scene) -> Iterator[Finding]:
    address = scene.settings.address
    own = process.server
    if not address:
        text = "No server is set to report to (NBMONITOR_ADDRESS)."
        yield Finding("server", "skip", text)
        return
    if own is not None and address == own.address:
        yield Finding("server", "ok", f"{address} is the server of this process.")
        return
    token_file = scene.settings.token_file or None
    try:
        client = api.attach(address, token_file=token_file, timeout=scene.timeout)
    except NbMonitorError as error:
        yield Finding("server", "fail", str(error))
        return
    try:
        before = time.time()
        there, took = client.ask_server(scene.timeout)
        runs = len(client.runs())
    except NbMonitorError as error:
        yield Finding("server", "fail", str(error))
        return
    finally:
        client.close()
    text = (
        f"{address} answers in {took * 1000:.0f} ms: nbmonitor {there.version}, up "
        f"{max(there.now - there.started_at, 0.0):.0f} s, {runs} run{'' if runs == 1 else 's'}."
    )
    if took > FAR:
        yield Finding("server", "warn", text, "the road is slow: pictures will be few and small")
    else:
        yield Finding("server", "ok", text)
    skew = there.now - (before + took / 2)
    if abs(skew) > SKEW + took:
        ahead = "ahead of" if skew > 0 else "behind"
        text = f"The server's clock is {abs(skew):.0f} s {ahead} this one; ages and times are shown off by that."
        yield Finding("clock skew", "warn", text, "set both clocks by NTP")
    else:
        yield Finding("clock skew", "ok", "The server's clock and this one agree.")


def _served(_scene: Scene) -> Iterator[Finding]:
    server = process.server
    if server is None:
        return
    yield Finding("calls", "ok", told(server.metrics.snapshot()))


CHECKS: tuple[Check, ...] = (_reach, _served)
