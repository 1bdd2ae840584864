"""A real JupyterLab or Notebook 7 and a headless Chromium, for tests that do what a person does.

The server listens on 127.0.0.1, on a free port, with a random token; its configuration, data, settings and IPython
folders are temporary. Server and kernels are those of the interpreter that runs the tests; older ipykernels are
installed once into a cached folder and offered as kernels of their own. The browser is the system's Chromium.

    with Jupyter("lab") as jupyter, jupyter.open(["x = 1", "while True: pass"]) as tab:
        tab.run_cell(0)                       # waits until the cell has ended
        tab.run_cell(1, wait=False)           # a training loop: returns at once
        tab.wait_data(".nbmonitor", "state", "running")
        tab.page.get_by_role("button", name="Pause").click()

Leaving the block of `open` closes the tab and ends its kernel; an exception on the way out leaves screenshot, console
and server log in `artifacts/`. Playwright's synchronous interface keeps an event loop in this thread.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from playwright.sync_api import BrowserContext, Page, Playwright

SILENT = (OSError, http.client.HTTPException)  # no answer, or that of another program on the port

HERE = Path(__file__).parent
ARTIFACTS = HERE / "artifacts"
CACHE = HERE.parent.parent / ".cache" / "kernels"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUIET = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}
}
# Every cell stands in the page, so that a panel below the fold draws too; JupyterLab's default does otherwise.
EVERY_CELL = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}
WIDGET = "window.jupyterapp.shell.currentWidget"
READY = """idle => {
    const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
    const kernel = session?.session?.kernel;
    if (kernel?.connectionStatus !== 'connected') return false;
    return !idle || (session.isReady && ['idle', 'busy'].includes(kernel.status));
}"""


def chromium() -> str:
    """Path of the browser: $CHROMIUM (a name or a path), or the first that PATH has."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, filter(None, names))), None)
    if path is None:
        raise RuntimeError(
            "The browser tests need Chromium. On Debian: apt-get install -y chromium fonts-dejavu-core; "
            "elsewhere install Chromium or Chrome and set CHROMIUM to its path."
        )
    return path


def check_system() -> None:
    """Raise RuntimeError, with the remedy, where the browser or a font for its pictures is missing."""
    chromium()
    fonts = Path("/usr/share/fonts")
    if sys.platform == "linux" and not any(fonts.rglob("*.[to]tf")):
        raise RuntimeError(
            "No font, and pictures of pages would show boxes. On Debian: apt-get install -y fonts-dejavu-core"
        )


def older_kernel(version: str) -> str:
    """Name of a kernel that runs this ipykernel, the rest of the environment being the same; installed on first use."""
    name = f"ipykernel-{version}"
    spec, packages = CACHE / "share" / "kernels" / name, CACHE / name
    if not packages.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=CACHE
        ) as fresh:  # an interrupted install leaves nothing half done
            wanted = [f"ipykernel=={version}", "nest-asyncio>=1.4"]
            install = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-deps",
                "--target",
                fresh,
                *wanted,
            ]
            subprocess.run(install, check=True)
            shutil.copytree(fresh, packages)
    spec.mkdir(parents=True, exist_ok=True)
    launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    content = {
        "argv": launch,
        "display_name": name,
        "language": "python",
        "env": {"PYTHONPATH": str(packages)},
    }
    (spec / "kernel.json").write_text(json.dumps(content))
    return name


_drivers: list[Playwright] = []  # one entry for each user of the one driver


@contextlib.contextmanager
def shared_playwright() -> Iterator[Playwright]:
    """Playwright's driver: a thread can hold one only, so all servers of a thread share it."""
    _drivers.append(_drivers[0] if _drivers else sync_playwright().start())
    try:
        yield _drivers[0]
    finally:
        driver = _drivers.pop()
        if not _drivers:
            driver.stop()


def make_notebook(cells: Sequence[str], kernel: str = "python3") -> dict[str, Any]:
    """A notebook (nbformat 4.5) with these code cells."""
    code = [
        {
            "cell_type": "code",
            "id": f"cell-{i}",
            "source": source,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for i, source in enumerate(cells)
    ]
    return {
        "cells": code,
        "metadata": {"kernelspec": {"name": kernel, "display_name": kernel}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


class Tab:
    """One browser tab with one open notebook; `page` is Playwright's Page, for all that is not here."""

    def __init__(self, jupyter: Jupyter, context: BrowserContext, name: str, *, own: bool) -> None:
        self.jupyter, self.name = jupyter, name
        self.console: list[str] = []  # the browser's console and its uncaught exceptions
        self._context, self._own, self._shutdown = context, own, True
        self.page: Page = context.new_page()
        self.page.on(
            "console", lambda message: self.console.append(f"{message.type}: {message.text}")
        )
        self.page.on("pageerror", lambda error: self.console.append(f"exception: {error}"))
        self.page.on("crash", lambda _: setattr(jupyter, "browser_died", True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.keep()
        self.close()

    # -- cells ----------------------------------------------------------------------------------------------------
    def run_cell(self, index: int | None, *, wait: bool = True, timeout: float = 60) -> None:
        """Run one cell (None: all of them) as from the menu; with `wait` return when it has ended."""
        if index is not None:
            self.page.evaluate(
                f"i => {{ {WIDGET}.content.deselectAll(); {WIDGET}.content.activeCellIndex = i; }}",
                index,
            )
        command = "notebook:run-all-cells" if index is None else "notebook:run-cell"
        ticket = secrets.token_hex(4)
        self.page.evaluate(
            """([command, ticket]) => {
                (window.harnessRan ??= new Set());
                window.jupyterapp.commands.execute(command).finally(() => window.harnessRan.add(ticket));
            }""",
            [command, ticket],
        )
        if wait:
            self.page.wait_for_function(
                "t => window.harnessRan.has(t)", arg=ticket, timeout=timeout * 1e3
            )

    def run_all(self, *, wait: bool = True, timeout: float = 120) -> None:
        self.run_cell(None, wait=wait, timeout=timeout)

    def wait_idle(self, timeout: float = 60) -> None:
        """Wait until the kernel has nothing to do."""
        js = f"() => {WIDGET}.sessionContext.session?.kernel?.status === 'idle'"
        self.page.wait_for_function(js, timeout=timeout * 1e3)

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """The outputs of a cell as they stand in the file (nbformat)."""
        return self.page.evaluate(f"i => {WIDGET}.content.widgets[i].model.outputs.toJSON()", index)

    def text(self, index: int) -> str:
        """What a cell printed, and its result and errors, as text."""
        parts = []
        for output in self.outputs(index):
            content = output.get("text") or output.get("data", {}).get("text/plain", "")
            if output["output_type"] == "error":
                content = f"{output['ename']}: {output['evalue']}"
            parts.append("".join(content))
        return "".join(parts)

    def wait_text(self, index: int, pattern: str, timeout: float = 30) -> re.Match[str]:
        """Wait until what a cell printed matches; works while the cell runs."""
        deadline = time.monotonic() + timeout
        while (found := re.search(pattern, self.text(index))) is None:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"no {pattern!r} in the output of cell {index}:\n{self.text(index)}"
                )
            self.page.wait_for_timeout(50)
        return found

    # -- the page -------------------------------------------------------------------------------------------------
    def data(self, selector: str) -> dict[str, str]:
        """The data- attributes of the first such element, by their names in JavaScript."""
        return self.page.locator(selector).first.evaluate("element => ({...element.dataset})")

    def wait_data(self, selector: str, key: str, *values: str, timeout: float = 20) -> str:
        """Wait until a data- attribute has one of these values (none given: any value); returns it."""
        js = """([selector, key, values]) => {
            const value = document.querySelector(selector)?.dataset[key];
            return value !== undefined && (!values.length || values.includes(value)) ? {value} : null;
        }"""
        arguments = [selector, key, list(values)]
        return self.page.wait_for_function(js, arg=arguments, timeout=timeout * 1e3).json_value()[
            "value"
        ]

    def wait_number(self, selector: str, key: str, at_least: float, timeout: float = 20) -> float:
        """Wait until a data- attribute is a number of at least this size; returns it."""
        js = """([selector, key, least]) => {
            const value = Number.parseFloat(document.querySelector(selector)?.dataset[key]);
            return value >= least ? {value} : null;
        }"""
        arguments = [selector, key, at_least]
        return self.page.wait_for_function(js, arg=arguments, timeout=timeout * 1e3).json_value()[
            "value"
        ]

    def command(self, name: str, arguments: Mapping[str, Any] | None = None) -> None:
        """Execute one of the application's commands."""
        self.page.evaluate(
            "([n, a]) => window.jupyterapp.commands.execute(n, a)", [name, dict(arguments or {})]
        )

    def theme(self, theme: Literal["light", "dark"]) -> None:
        self.command("apputils:change-theme", {"theme": f"JupyterLab {theme.capitalize()}"})
        flag = "true" if theme == "light" else "false"
        self.page.wait_for_selector(f"body[data-jp-theme-light='{flag}']", state="attached")

    def scroll_to(self, index: int) -> None:
        """Bring a cell into view, as JupyterLab itself does."""
        self.page.evaluate(f"i => {WIDGET}.content.scrollToItem(i)", index)

    def reload(self, *, idle: bool = True) -> None:
        """Reload the page; `idle=False` in the middle of a running cell."""
        self.page.reload()
        self.ready(idle=idle)

    def ready(self, *, idle: bool = True, timeout: float = 60) -> None:
        """Wait for the notebook and its kernel.

        While a cell runs use `idle=False`: the front-end counts a kernel as ready when it has answered a request
        that the running cell holds up.
        """
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=timeout * 1e3)
        try:
            self.page.wait_for_function(READY, arg=idle, timeout=timeout * 250)
        except (
            PlaywrightTimeout
        ):  # seen with ipykernel 7.1: the first question to the kernel was lost
            print(f"\n{self.name}: the kernel does not answer, connecting to it again")
            self.page.evaluate(f"() => void {WIDGET}.sessionContext.session?.kernel?.reconnect()")
            self.page.wait_for_function(READY, arg=idle, timeout=timeout * 750)

    # -- kernel and file ------------------------------------------------------------------------------------------
    def kernel(self, action: Literal["interrupt", "restart"]) -> None:
        kernel_id = self.page.evaluate(f"() => {WIDGET}.sessionContext.session.kernel.id")
        self.jupyter.api(f"kernels/{kernel_id}/{action}", "POST", {})

    def save(self) -> dict[str, Any]:
        """Save from the front-end; returns the file's content."""
        self.command("docmanager:save")
        return json.loads((self.jupyter.root / self.name).read_text())

    def second(self, *, idle: bool = True) -> Tab:
        """Open the same notebook in another tab of this browser, on the same kernel, which outlives that tab."""
        tab = self.jupyter.open(Path(self.name), idle=idle)
        tab._shutdown = False
        return tab

    def keep(self, folder: Path | None = None) -> None:
        """Leave screenshot, console and server log for whoever looks into a failure."""
        folder = folder or artifact_folder()
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{self.name.removesuffix('.ipynb')}-{id(self):x}"
        (folder / f"{stem}.console.txt").write_text("\n".join(self.console))
        shutil.copyfile(self.jupyter.log, folder / "server.log")
        with contextlib.suppress(Exception):  # the page may be what died
            self.page.screenshot(path=folder / f"{stem}.png", timeout=5000)

    def close(self) -> None:
        """Close the tab and, unless it is a second one, end the notebook's kernel."""
        if self in self.jupyter.tabs:
            self.jupyter.tabs.remove(self)
        with contextlib.suppress(Exception):  # the browser may be what died
            self.page.close()
            if self._own:
                self._context.close()
        sessions = self.jupyter.api("sessions") if self._shutdown else []
        for session in sessions:
            if session["path"] == self.name:
                self.jupyter.api(f"sessions/{session['id']}", "DELETE")


class PortTakenError(RuntimeError):
    """Another program took the port between the look for a free one and the server's start."""


class Jupyter:
    """A Jupyter server and a browser.

    `every_cell=False` leaves JupyterLab's own way of drawing only the cells near the view; `settings` overrides
    JupyterLab settings by plugin id; `env` adds variables for the server and its kernels.
    """

    live: ClassVar[weakref.WeakSet[Jupyter]] = weakref.WeakSet()

    def __init__(
        self,
        app: Literal["lab", "notebook"] = "lab",
        *,
        every_cell: bool = True,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
        viewport: tuple[int, int] = (1400, 1000),
    ) -> None:
        self.app, self.token, self.viewport = app, secrets.token_hex(16), viewport
        self.settings = {**QUIET, **(EVERY_CELL if every_cell else {}), **(settings or {})}
        self.env = dict(env or {})
        self.tabs: list[Tab] = []
        self.browser_died = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:  # undoes what was started when a later part fails
            browser = chromium()
            temporary = tempfile.TemporaryDirectory(prefix="nbmonitor-", ignore_cleanup_errors=True)
            self.tmp = Path(stack.enter_context(temporary)).resolve()
            self.root, self.log = self.tmp / "notebooks", self.tmp / "server.log"
            self.root.mkdir()
            for _ in range(3):
                with contextlib.suppress(PortTakenError):
                    self._start_server(stack)
                    break
            else:
                raise RuntimeError("Three free ports in a row were taken by others at once.")
            self._playwright = stack.enter_context(shared_playwright())
            self._launch(browser)
            stack.callback(lambda: self.browser.close())  # noqa: PLW0108 - may be another one by then
            self._stack = stack.pop_all()
        Jupyter.live.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        Jupyter.live.discard(self)
        self._stack.close()

    def open(
        self,
        notebook: Sequence[str] | Path,
        *,
        kernel: str = "python3",
        idle: bool = True,
        timeout: float = 60,
        **context: Any,
    ) -> Tab:
        """Open cells, or a notebook file (copied, if it lies elsewhere), in a new tab.

        `kernel` is a version of ipykernel such as "6.29.5", or the name of a kernel. `context` are options of
        Playwright's `new_context` (`color_scheme`, `reduced_motion`, `device_scale_factor`, ...).
        """
        if isinstance(notebook, Path):
            name = notebook.name
            if not (self.root / name).exists():
                shutil.copyfile(notebook, self.root / name)
        else:
            name = f"nb-{secrets.token_hex(3)}.ipynb"
            spec = older_kernel(kernel) if kernel[0].isdigit() else kernel
            (self.root / name).write_text(json.dumps(make_notebook(notebook, spec)))
        if not self.browser.is_connected():
            self._launch(chromium())
        own = self._new_context(**context) if context else None
        tab = Tab(self, own or self.context, name, own=own is not None)
        self.tabs.append(tab)
        try:
            path = f"lab/tree/{name}?reset&" if self.app == "lab" else f"notebooks/{name}?"
            tab.page.goto(f"http://127.0.0.1:{self.port}/{path}token={self.token}")
            tab.ready(idle=idle, timeout=timeout)
        except BaseException:
            tab.keep()
            tab.close()
            raise
        return tab

    def api(self, path: str, method: str = "GET", data: Any = None) -> Any:
        """Jupyter Server's REST interface, e.g. `api("kernels")`."""
        body = json.dumps(data).encode() if data is not None else None
        headers = {"Authorization": f"token {self.token}"}
        url = f"http://127.0.0.1:{self.port}/api/{path}"
        request = urllib.request.Request(url, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as reply:
            content = reply.read()
        return json.loads(content) if content else None

    def _new_context(self, **options: Any) -> BrowserContext:
        width, height = self.viewport
        return self.browser.new_context(
            **{"viewport": {"width": width, "height": height}, **options}
        )

    def _launch(self, path: str) -> None:
        self.browser = self._playwright.chromium.launch(
            executable_path=path, args=CHROMIUM_ARGUMENTS
        )
        self.browser.on(
            "disconnected", lambda _: setattr(self, "browser_died", self in Jupyter.live)
        )
        self.context = self._new_context()

    def _start_server(self, stack: contextlib.ExitStack, timeout: float = 60) -> None:
        for plugin, values in self.settings.items():
            package, _, setting = plugin.partition(":")
            file = self.tmp / "settings" / package / f"{setting}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
            "XDG_RUNTIME_DIR": "xdg-runtime",
            "XDG_STATE_HOME": "xdg-state",
        }
        env = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("NBMONITOR_", "GRPC_", "JUPYTER"))
        }
        for name, folder in folders.items():
            env[name] = str(self.tmp / folder)
            (self.tmp / folder).mkdir(mode=0o700, exist_ok=True)
        env["JUPYTER_PREFER_ENV_PATH"] = "1"
        env["JUPYTER_PATH"] = str(CACHE / "share")
        env["OMP_NUM_THREADS"] = "1"
        env["PATH"] = os.pathsep.join(
            [str(Path(sys.executable).parent), env.get("PATH", os.defpath)]
        )
        env.update(self.env)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        lab = self.app == "lab"
        module, application = (
            ("jupyterlab", "LabApp") if lab else ("notebook", "JupyterNotebookApp")
        )
        command = [
            *(sys.executable, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1"),
            *(f"--port={self.port}", "--ServerApp.port_retries=0", "--ServerApp.answer_yes=True"),
            *(f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.root}"),
            f"--{application}.expose_app_in_browser=True",
        ]
        with self.log.open("w") as out:
            self._server = subprocess.Popen(
                command, env=env, stdout=out, stderr=subprocess.STDOUT, cwd=self.root
            )
        stack.callback(self._stop_server)
        deadline = time.monotonic() + timeout
        while self._server.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(*SILENT):
                self.api("status")
                return
            time.sleep(0.1)
        said = self.log.read_text()[-3000:]
        raise (PortTakenError if "already in use" in said else RuntimeError)(
            f"{module} did not start:\n{said}"
        )

    def _stop_server(self) -> None:
        with contextlib.suppress(*SILENT):  # refused when it has already ended
            for kernel in self.api("kernels"):
                self.api(f"kernels/{kernel['id']}", "DELETE")
        self._server.terminate()
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


def artifact_folder(test: str | None = None) -> Path:
    """Where the test in progress leaves what is worth looking at."""
    test = test or os.environ.get("PYTEST_CURRENT_TEST", "by-hand").partition(" ")[0]
    return ARTIFACTS / re.sub(r"[^\w.-]+", "_", test.rpartition("/")[2])


if __name__ == "__main__":  # `make browser` asks whether the system has what the ring needs
    try:
        check_system()
    except RuntimeError as missing:
        sys.exit(str(missing))
