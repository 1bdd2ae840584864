"""Ground: any configuration as one flat mapping of texts."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass

_TEXT = 2_000  # characters of one value that are kept


def flatten(config: object, prefix: str = "") -> dict[str, str]:
    """Write a configuration as one mapping of texts; nested keys are joined with "/".

    >>> flatten({"opt": {"lr": 0.1}, "seed": 1})
    {'opt/lr': '0.1', 'seed': '1'}
    """
    if config is None:
        return {}
    if is_dataclass(config) and not isinstance(config, type):
        config = asdict(config)
    elif isinstance(config, Namespace):
        config = vars(config)
    if not isinstance(config, Mapping):
        return {prefix or "config": str(config)[:_TEXT]}
    out: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}/{key}" if prefix else str(key)
        nested = isinstance(value, Mapping | Namespace) or (
            is_dataclass(value) and not isinstance(value, type)
        )
        out |= flatten(value, name) if nested else {name: str(value)[:_TEXT]}
    return out
