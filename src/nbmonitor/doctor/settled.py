"""Settings as they stand, also where one of them cannot be used."""

from __future__ import annotations

import difflib
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from nbmonitor import settings as ground
from nbmonitor.doctor.report import Finding
from nbmonitor.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "NBMONITOR_"


def settle(
    config: Mapping[str, Any], environ: Mapping[str, str], asked: Mapping[str, Any]
) -> tuple[ground.Settings, list[Finding]]:
    """The settings, those that cannot be used left at what comes next in rank, and what is to be said of them.

    ``asked`` are the options of the command line that are settings.
    """
    findings: list[Finding] = []
    good, kept = dict(config), dict(environ)
    for name in (*config, *environ):
        try:
            if name in config:
                ground.load(config={name: config[name]}, environ={})
            else:
                ground.load(environ={name: environ[name]})
        except SettingError as error:
            (good if name in config else kept).pop(name)
            text = f"{error} It is overlooked here, and an error elsewhere."
            findings.append(Finding("settings", "fail", text, f"correct or unset {name}"))
    names = [f.name for f in fields(ground.Settings) if f.name != "origin"]
    known = [f"{_PREFIX}{n.upper()}" for n in names]
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            remedy = f"did you mean {near[0]}?" if near else f"unset {name}"
            text = f"{name} is set, but there is no such setting."
            findings.append(Finding("settings", "warn", text, remedy))
    settled = ground.load(asked, good, kept)
    options = {name: f"--{name.replace('_', '-')}" for name in asked}
    return replace(settled, origin={**settled.origin, **options}), findings or [
        Finding("settings", "ok", "Every setting has a value that can be used.")
    ]
