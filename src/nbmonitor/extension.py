"""Roof: ``%load_ext nbmonitor``, ``%nbmonitor``, ``%%nbmonitor``."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class
from traitlets import Bool, Float, Int, Unicode
from traitlets.config.configurable import Configurable

from nbmonitor import api, settings
from nbmonitor.cell import CellThread
from nbmonitor.errors import NbMonitorError, SettingError
from nbmonitor.notebook import kernel
from nbmonitor.notebook.dashboard import Dashboard
from nbmonitor.process import process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

    from nbmonitor.interfaces import Source

HELP = """\
%nbmonitor                      the live dashboard of this kernel's newest run
%nbmonitor attach HOST:PORT     the same for a trainer elsewhere  [token_file=FILE]
%nbmonitor runs                 the runs of this kernel
%nbmonitor status               address, controls, what is alive
%nbmonitor stop                 ask the active run to stop at its next step
%nbmonitor doctor               every setting, what is wrong, and the remedy
%%nbmonitor                     run this cell in a thread, so that others can run beside it"""


class NBMonitor(Configurable):
    """Settings by ``%config NBMonitor.x = ...``; they count when the extension is loaded (again) or a run begins."""

    host = Unicode(None, allow_none=True, help="Interface of the server: a loopback address.").tag(
        config=True
    )
    port = Int(None, allow_none=True, help="Port of the server; 0 takes a free one.").tag(
        config=True
    )
    address = Unicode(None, allow_none=True, help="Server that runs report to.").tag(config=True)
    token_file = Unicode(None, allow_none=True, help="File with the token for that server.").tag(
        config=True
    )
    store = Unicode(None, allow_none=True, help="URL of the history: memory:").tag(config=True)
    audit = Unicode(None, allow_none=True, help="File of the audit log, or off.").tag(config=True)
    disabled = Bool(None, allow_none=True, help="Turn runs into no-ops.").tag(config=True)
    takeover = Bool(
        None,
        allow_none=True,
        help="Answer a reload in the middle of a running cell (private ipykernel paths).",
    ).tag(config=True)
    overhead = Float(None, allow_none=True, help="Share of a step that training may feel.").tag(
        config=True
    )
    worker_cpu = Float(None, allow_none=True, help="Cores that our own threads may take.").tag(
        config=True
    )
    otel = Bool(None, allow_none=True, help="Offer the server's figures to OpenTelemetry.").tag(
        config=True
    )


class Extension:
    """The extension while it is loaded into one shell. Constructor starts nothing; see :meth:`open`."""

    def __init__(self, ip: InteractiveShell) -> None:
        self.ip = ip
        self.options = NBMonitor(parent=ip)
        self.dashboards: dict[str, Dashboard] = {}
        self.sources: dict[str, Source] = {}
        self.cells: list[CellThread] = []
        self._activity: dict[str, int] = {}
        self._environ: dict[str, str | None] = {}

    def open(self) -> None:
        """Start the server, take up the kernel's control channel, and say so in one line."""
        configured = settings.load(config=self.options_set())
        server = process.open_server(configured)
        process.in_kernel = True
        kernel.install(self.ip, takeover=configured.takeover)
        exported = {
            "NBMONITOR_ADDRESS": server.address,
            "NBMONITOR_TOKEN_FILE": str(process.token_file),
        }
        for name, value in exported.items():  # `!python train.py` reports to this notebook
            if name not in os.environ:
                self._environ[name] = os.environ.get(name)
                os.environ[name] = value
        configurables: list[Any] = self.ip.configurables
        configurables.append(self.options)
        self.ip.events.register("pre_run_cell", self._before_cell)
        self.ip.events.register("post_run_cell", self._after_cell)
        print(
            f"nbmonitor: serving this kernel on {server.address} · token in {process.token_file} · "
            f"from elsewhere: %nbmonitor attach {server.address}"
        )

    def close(self) -> None:
        """Undo :meth:`open`."""
        self.ip.events.unregister("pre_run_cell", self._before_cell)
        self.ip.events.unregister("post_run_cell", self._after_cell)
        configurables: list[Any] = self.ip.configurables
        configurables[:] = [c for c in configurables if c is not self.options]
        for dashboard in self.dashboards.values():
            dashboard.close()
        for source in self.sources.values():
            source.close()
        self.dashboards.clear()
        self.sources.clear()
        kernel.uninstall(self.ip)
        for name in self._environ:
            os.environ.pop(name, None)
        process.in_kernel = False
        process.close()

    def options_set(self) -> Mapping[str, Any]:
        """Values that were set by ``%config``."""
        return {n: v for n, v in self.options.trait_values(config=True).items() if v is not None}

    # --- what the magics do ------------------------------------------------------------------

    def show(self) -> None:
        """Show the dashboard of this kernel's runs: one model, one more view of it at each call."""
        self._show("", process.open_broker(settings.load(config=self.options_set())))

    def attach(self, address: str, token_file: str | None = None) -> None:
        """Show a run whose server is elsewhere."""
        server = process.server
        if server is not None and address == server.address:
            self.show()
            return
        source = self.sources.get(address)
        if source is None:
            source = self.sources[address] = api.attach(address, token_file=token_file)
        self._show(address, source)

    def _show(self, key: str, source: Source) -> None:
        dashboard = self.dashboards.get(key)
        if dashboard is None:
            dashboard = self.dashboards[key] = Dashboard(source)
        dashboard.show()

    def run_in_thread(self, body: str) -> None:
        """Run a cell's body in a thread of its own."""
        busy = next((c for c in self.cells if c.alive), None)
        if busy is not None:
            raise SettingError(
                "A %%nbmonitor cell is still running: one at a time drives a run. Stop it in the panel (or wait), "
                "then run this cell again."
            )
        self.cells = [CellThread(self.ip, body, lambda: process.active)]
        self.cells[0].start()

    # --- a run that a cell drove ends with the cell -----------------------------------------

    def _before_cell(self, *_: object) -> None:
        run = process.active
        self._activity = {run.run_id: run.activity} if run is not None else {}

    def _after_cell(self, result: ExecutionResult) -> None:
        run = process.active
        if run is None or any(c.alive for c in self.cells):
            return
        if run.activity == self._activity.get(run.run_id, 0):
            return
        run.abandon(result.error_in_exec or result.error_before_exec)


_loaded: Extension | None = None


@magics_class
class NBMonitorMagics(Magics):
    """The line and cell magic."""

    @line_cell_magic
    def nbmonitor(self, line: str, cell: str | None = None) -> None:
        """Show the dashboard, attach to a trainer elsewhere, or run a cell in a thread."""
        extension = _require()
        try:
            if cell is not None:
                extension.run_in_thread(cell)
            else:
                _dispatch(extension, shlex.split(line))
        except NbMonitorError as error:
            print(f"nbmonitor: {error}")


def _dispatch(extension: Extension, words: list[str]) -> None:
    match words:
        case []:
            extension.show()
        case ["attach", address, *rest]:
            options = dict(w.partition("=")[::2] for w in rest)
            if set(options) - {"token_file"}:
                raise SettingError(
                    f"%nbmonitor attach knows the option token_file=FILE alone, not {rest}."
                )
            extension.attach(address, options.get("token_file"))
        case ["runs"]:
            runs = api.runs()
            lines = [f"{r.state:<13} step {r.step:>9,}  {r.name}  ({r.run_id})" for r in runs]
            print("\n".join(lines) or "No run yet: nbmonitor.init('name') begins one.")
        case ["status"]:
            print(_status(extension))
        case ["stop"]:
            _stop()
        case ["doctor"]:
            from nbmonitor import doctor

            print(doctor.examine(extension.options_set(), shell=extension.ip).text())
        case _:
            print(HELP)


def _status(extension: Extension) -> str:
    server, active, roads = process.server, process.active, kernel.liveness(extension.ip)
    attached = [k for k in extension.dashboards if k]
    alive = "open" if roads.get("control") else "not open (no ipykernel here)"
    asked = f"{roads.get('requests', 0)} requests so far"
    if roads.get("last") is not None:
        asked += f", the last {roads['last']:.0f} s ago"
    reload = "answered" if roads.get("takeover") else "answered when the cell ends"
    lines = [
        f"server           {server.address if server else 'not running'}",
        f"token file       {process.token_file}",
        f"active run       {f'{active.name} ({active.state})' if active else 'none'}",
        f"panels           {len(extension.dashboards)}"
        + "".join(f", attached to {k}" for k in attached),
        f"control channel  {alive}; {asked}",
        f"reload mid-cell  {reload}",
    ]
    return "\n".join(lines)


def _stop() -> None:
    from nbmonitor.events import Command, CommandKind

    run, broker = process.active, process.broker
    if run is None or broker is None:
        raise SettingError("There is no active run in this kernel to stop.")
    broker.send(Command(run.run_id, CommandKind.STOP))


def _require() -> Extension:
    if _loaded is None:
        raise SettingError("The extension is not loaded. Run `%load_ext nbmonitor` first.")
    return _loaded


def configured() -> Mapping[str, Any]:
    """Values set by ``%config NBMonitor.x``; empty when the extension is not loaded."""
    return _loaded.options_set() if _loaded is not None else {}


def load(ip: InteractiveShell) -> None:
    """``%load_ext nbmonitor``; a second time does nothing."""
    global _loaded  # noqa: PLW0603 - one kernel, one extension
    if _loaded is not None:
        return
    extension = Extension(ip)
    extension.open()
    ip.register_magics(NBMonitorMagics)
    _loaded = extension


def unload(ip: InteractiveShell) -> None:
    """``%unload_ext nbmonitor``: ends what runs and puts the kernel back as it was."""
    global _loaded
    if _loaded is None:
        return
    extension, _loaded = _loaded, None
    extension.close()
    for kind in ("line", "cell"):
        ip.magics_manager.magics[kind].pop("nbmonitor", None)
