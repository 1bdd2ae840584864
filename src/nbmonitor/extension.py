"""Roof: ``%load_ext nbmonitor``, ``%nbmonitor``, ``%%nbmonitor``."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class
from traitlets import Bool, Float, Int, Unicode
from traitlets.config.configurable import Configurable

from nbmonitor import address as addresses
from nbmonitor import api, attaching, settings
from nbmonitor.cell import CellThread
from nbmonitor.errors import NbMonitorError, SettingError
from nbmonitor.events import LinkState
from nbmonitor.notebook import kernel
from nbmonitor.notebook.dashboard import Dashboard
from nbmonitor.process import process
from nbmonitor.rpc.metrics import told
from nbmonitor.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

    from nbmonitor.interfaces import Source
    from nbmonitor.rpc.client import Client

HELP = """\
%nbmonitor                      the live dashboard of this kernel's newest run
%nbmonitor attach WHERE         the same for a trainer elsewhere: ssh://[USER@]HOST[/RUN], HOST:PORT, unix:/PATH,
                                or the name of a run on this machine
                                [token_file=FILE] [tls=1] [tls_ca=FILE] [tls_cert=FILE tls_key=FILE]
                                [tls_fingerprint=SHA256]
%nbmonitor runs                 the runs of this kernel
%nbmonitor status               address, controls, what is alive
%nbmonitor stop                 ask the active run to stop at its next step
%nbmonitor doctor               every setting, what is wrong, and the remedy
%%nbmonitor                     run this cell in a thread, so that others can run beside it"""


_TRAITS = {bool: Bool, int: Int, float: Float, str: Unicode}

NBMonitor = type(
    "NBMonitor",
    (Configurable,),
    {
        "__doc__": "Settings by ``%config NBMonitor.x = ...``; they count when the extension is loaded (again) or a "
        "run begins.",
        **{
            d.name: _TRAITS[type(d.default)](None, allow_none=True, help=d.help).tag(config=True)
            for d in settings.described()
            if not d.secret  # it would be saved with the notebook
        },
    },
)


class Extension:
    """The extension while it is loaded into one shell. Constructor starts nothing; see :meth:`open`."""

    def __init__(self, ip: InteractiveShell) -> None:
        self.ip = ip
        self.options = NBMonitor(parent=ip)
        self.dashboards: dict[
            tuple[str, str], Dashboard
        ] = {}  # by address and run, "" for the newest
        self.sources: dict[str, Client] = {}
        self._options: dict[str, Mapping[str, str]] = {}  # with which each was attached
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

    def attach(self, where: str, options: Mapping[str, str]) -> None:
        """Show a run whose server is elsewhere; again, another view of what is attached."""
        address = addresses.parse(where)
        if address.kind == "name":
            found, run = attaching.named(address.run)
            if found.pid == os.getpid():
                self._show("", process.open_broker(settings.load()), run)
                return
        elif process.server is not None and str(address) == process.server.address:
            self.show()
            return
        key = str(address)
        source = self.sources.get(key)
        same = self._options.get(key) == options
        if source is None or not same or source.road is not LinkState.CONNECTED:
            fresh = api.attach(where, **_keywords(options))  # it may be another server by now
            self._let_go(key)
            source, self._options[key] = fresh, options
            self.sources[key] = fresh
        runs = source.runs()
        if len(runs) > 1:
            print(attaching.table(runs, source.chosen or runs[0].run_id))
        elif not runs:
            print(f"{key} has no run yet: the panel shows the first one when it begins.")
        self._show(key, source, source.chosen)

    def _show(self, key: str, source: Source, run: str = "") -> None:
        dashboard = self.dashboards.get((key, run))
        if dashboard is None:
            dashboard = self.dashboards[key, run] = Dashboard(source, run or None)
        dashboard.show()

    def _let_go(self, key: str) -> None:
        for each in [k for k in self.dashboards if k[0] == key]:
            self.dashboards.pop(each).close()
        source = self.sources.pop(key, None)
        if source is not None:
            source.close()

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
                if line.strip():
                    raise SettingError(
                        f"`%%nbmonitor` runs its cell in a thread and takes no words; {line.strip()!r} was given. "
                        f"Expected them in a line of their own: `%nbmonitor {line.strip()}`."
                    )
                extension.run_in_thread(cell)
            else:
                _dispatch(extension, _words(line))
        except NbMonitorError as error:
            print(f"nbmonitor: {error}")


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise SettingError(
            f"`%nbmonitor {line}` cannot be read ({error}). Expected quotes around a name with a space, quote or "
            "backslash in it; the id of a run, which `%nbmonitor runs` and `nbmonitor runs` show, needs none."
        ) from error


def _dispatch(extension: Extension, words: list[str]) -> None:
    match words:
        case []:
            extension.show()
        case ["attach", address, *rest]:
            extension.attach(address, dict(w.partition("=")[::2] for w in rest))
        case ["attach"]:
            raise SettingError(
                "`%nbmonitor attach` needs to know where: ssh://[USER@]HOST[/RUN], HOST:PORT, unix:/PATH, or the name "
                "of a run on this machine. `!nbmonitor runs` lists the runs here."
            )
        case ["runs"]:
            lines = map(attaching.line, api.runs())
            print("\n".join(lines) or "No run yet: nbmonitor.init('name') begins one.")
        case ["status"]:
            print(_status(extension))
        case ["stop"]:
            _stop()
        case ["doctor"]:
            from nbmonitor import doctor

            print(doctor.examine(extension.options_set(), shell=extension.ip).text())
        case ["help" | "-h" | "--help", *_]:
            print(HELP)
        case [word, *_]:
            raise SettingError(f"There is no `%nbmonitor {word}`. There are:\n{HELP}")


def _status(extension: Extension) -> str:
    server, active, roads = process.server, process.active, kernel.liveness(extension.ip)
    alive = "open" if roads.get("control") else "not open (no ipykernel here)"
    asked = f"{roads.get('requests', 0)} requests so far"
    if roads.get("last") is not None:
        asked += f", the last {roads['last']:.0f} s ago"
    reload = "answered" if roads.get("takeover") else "answered when the cell ends"
    lines = [
        f"server           {server.address if server else 'not running'}",
        f"token file       {process.token_file}",
        f"active run       {f'{one_line(active.name)} ({active.state})' if active else 'none'}",
        f"panels           {len(extension.dashboards)}",
        f"calls            {told(server.metrics.snapshot()) if server else 'none'}",
        f"control channel  {alive}; {asked}",
        f"reload mid-cell  {reload}",
    ]
    lines += [f"attached         {_road(key, source)}" for key, source in extension.sources.items()]
    return "\n".join(lines)


def _road(key: str, source: Client) -> str:
    """What is true about the road to a server."""
    facts = source.facts()
    said = [f"{key}: {facts.road}"]
    if facts.rtt is not None:
        said.append(f"round trip {facts.rtt * 1000:.0f} ms")
    if facts.age is not None:
        said.append(f"last event {facts.age:.1f} s ago")
    said.append(f"{facts.reconnects} reconnects")
    said.append(f"{facts.dropped:,} dropped on purpose")
    if facts.problem:
        said.append(facts.problem)
    return ", ".join(said)


_TLS = ("tls_ca", "tls_cert", "tls_key", "tls_fingerprint")
_OPTIONS = ("token_file", "tls", *_TLS)


def _keywords(options: Mapping[str, str]) -> dict[str, Any]:
    """Options of ``%nbmonitor attach`` as arguments of :func:`nbmonitor.attach`."""
    if set(options) - set(_OPTIONS) or not all(options.values()):
        raise SettingError(
            f"%nbmonitor attach was given {' '.join(options)!r}. Expected options among "
            f"{', '.join(f'{o}=' for o in _OPTIONS)}, each with a value."
        )
    out: dict[str, Any] = {"token_file": options["token_file"]} if "token_file" in options else {}
    asked: dict[str, Any] = {k.removeprefix("tls_"): v for k, v in options.items() if k in _TLS}
    if asked:
        from nbmonitor.rpc.trust.tls import Tls

        out["tls"] = Tls(**asked)
    elif "tls" in options:
        out["tls"] = settings.load({"tls": options["tls"]}, environ={}).tls
    return out


def _stop() -> None:
    from nbmonitor.events import Command, CommandKind, CommandState

    run, broker = process.active, process.broker
    if run is None or broker is None:
        raise SettingError("There is no active run in this kernel to stop.")
    record = broker.send(Command(run.run_id, CommandKind.STOP))
    if record.state is CommandState.REJECTED:
        raise SettingError(f"{one_line(run.name)} was not asked to stop: {record.error}.")
    print(f"{one_line(run.name)} was asked to stop: it does at its next step.")


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
