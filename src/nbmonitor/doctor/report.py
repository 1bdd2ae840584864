"""Findings, and how they are told: text of 80 columns for terminals and notebooks, or JSON."""

from __future__ import annotations

import json
import platform
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from nbmonitor._version import __version__
from nbmonitor.settings import described
from nbmonitor.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbmonitor.settings import Settings

State = Literal["ok", "warn", "fail", "skip"]
WIDTH = 80
LONGEST = 4096  # characters of a value: a path has no more

_SIGNS: dict[State, str] = {"ok": "ok", "warn": "LOOK", "fail": "FAIL", "skip": "-"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Parameters
    ----------
    name
        What was looked at, in a word or two.
    state
        "ok"; "warn": works, but look at it; "fail": does not work; "skip": does not apply here.
    text
        A sentence about it.
    remedy
        What to do; "" when nothing is to be done.
    """

    name: str
    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """What checks look at: settings, environment variables, the IPython shell if any, seconds an answer may take."""

    settings: Settings
    environ: Mapping[str, str]
    shell: Any = None
    timeout: float = 2.0


Check = Callable[[Scene], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it stands; a secret's value is never in here."""

    name: str
    value: str
    origin: str


def listed(settings: Settings) -> tuple[Setting, ...]:
    """Every setting with its value and origin, secrets masked."""
    return tuple(
        Setting(
            s.name,
            _shown(getattr(settings, s.name), secret=s.secret),
            settings.origin.get(s.name, "?"),
        )
        for s in described()
    )


def _shown(value: object, *, secret: bool) -> str:
    if secret and value:
        return "(set, not shown)"
    if isinstance(value, str):  # a password in a URL is a secret too
        return re.sub(r"(?<=://)([^/@\s]*):[^/@\s]*@", r"\1:***@", one_line(value, LONGEST)) or '""'
    return str(value)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was looked at."""

    settings: Sequence[Setting]
    findings: Sequence[Finding]

    @property
    def failed(self) -> bool:
        """Whether something does not work."""
        return any(f.state == "fail" for f in self.findings)

    def json(self) -> str:
        """The report for programs."""
        return json.dumps(
            {
                "version": __version__,
                "python": platform.python_version(),
                "settings": [asdict(s) for s in self.settings],
                "findings": [asdict(f) for f in self.findings],
                "failed": self.failed,
            },
            indent=2,
        )

    def text(self, width: int = WIDTH) -> str:
        """The report for people."""
        lines = [f"nbmonitor {__version__}, Python {platform.python_version()}", "", "settings"]
        wide = max((len(s.name) for s in self.settings), default=0)
        values = min(max((len(s.value) for s in self.settings), default=0), 24)
        for s in self.settings:
            line = f"  {s.name:<{wide}}  {s.value:<{values}}  {s.origin}".rstrip()
            lines += [line] if len(line) <= width else _broken(s, wide)
        lines += ["", "checks"]
        wide = max((len(f.name) for f in self.findings), default=0)
        for f in self.findings:
            lead = f"  {_SIGNS[f.state]:<4}  {f.name:<{wide}}  "
            lines += _wrapped(f.text, lead, " " * len(lead), width)
            if f.remedy:
                lines += _wrapped(f.remedy, f"{' ' * len(lead)}→ ", " " * (len(lead) + 2), width)
        return "\n".join([*lines, "", self.summary()])

    def summary(self) -> str:
        """The result in a sentence."""
        counts = {
            state: sum(f.state == state for f in self.findings)
            for state in ("ok", "warn", "fail", "skip")
        }
        if counts["fail"]:
            return f"{counts['fail']} failed, {counts['warn']} to look at, {counts['ok']} in order."
        if counts["warn"]:
            return f"Nothing failed; {counts['warn']} to look at, {counts['ok']} in order."
        return f"All {counts['ok']} in order."


def _wrapped(text: str, first: str, rest: str, width: int) -> list[str]:
    # Paths and commands are copied from here: they are not broken.
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _broken(s: Setting, wide: int) -> list[str]:
    """A setting whose value is long: it is copied from here, a path with a space in it too, and stays in one piece."""
    lead = f"  {s.name:<{wide}}  "
    return [f"{lead}{s.value}", f"{' ' * len(lead)}{s.origin}"]
