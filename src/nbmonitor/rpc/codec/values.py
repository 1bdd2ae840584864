"""Single values as the wire holds them: sanitised, clamped, present or not."""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from nbmonitor.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.timestamp_pb2 import Timestamp


INT64_MAX = 2**63 - 1  # numpy's int64 holds no more
UINT32_MAX = 2**32 - 1
FARTHEST = (
    6e10  # seconds from 1970, either way (years 69 to 3871): protobuf's Timestamp takes hardly more
)
DEEPEST = (
    64  # brackets in a stranger's JSON: beyond some hundred, reading it ends in a RecursionError
)


def parsed(kind: type[Any], data: bytes) -> Any:
    """A message of some kind; raises :class:`~nbmonitor.errors.InputError` for bytes that are none."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InputError(
            f"These bytes are no {kind.__name__}; both ends may differ in version."
        ) from error


def text(value: object) -> str:
    """A string that UTF-8 can hold: lone surrogates become U+FFFD."""
    s = value if isinstance(value, str) else str(value)
    try:
        s.encode()
    except UnicodeEncodeError:
        return s.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return s


NAME, WORDS, MANY, CLASSES = 256, 4_096, 1_000, 1 << 15
"""Characters of a stranger's name and of what it says at once; entries of its lists and mappings, and its classes."""


def short(value: str, most: int = NAME) -> str:
    """A stranger's text, cut visibly: every viewer is told it again and again."""
    return value if len(value) <= most else value[: most - 1] + "…"


def shorts(values: Iterable[str], most: int = MANY) -> tuple[str, ...]:
    """A stranger's list of names, cut to what a viewer can be told."""
    return tuple(short(v) for v in islice(values, most))


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """A mapping of sanitised strings."""
    return {text(k): text(v) for k, v in values.items()}


def mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """A map field in the order of its names: protobuf keeps none, and what is shown must not jump about.

    Names and texts are cut, and so is their number.
    """
    found = sorted(values.items())[:MANY]
    return {short(k): short(v, WORDS) if isinstance(v, str) else v for k, v in found}


def u64(value: float) -> int:
    """A step or count as the wire holds it: clamped to 0 … 2⁶³-1."""
    return max(0, min(int(value), INT64_MAX))


def u32(value: float) -> int:
    """Clamped to 0 … 2³²-1."""
    return max(0, min(int(value), UINT32_MAX))


def i32(value: float) -> int:
    """Clamped to the range of an int32."""
    return max(-(2**31), min(int(value), 2**31 - 1))


def stamp(when: float | None, target: Timestamp) -> None:
    """Write epoch seconds; None, 0 and what no calendar has (a stranger's clock) leave the field unset."""
    if when and math.isfinite(when) and abs(when) < FARTHEST:
        target.FromNanoseconds(int(when * 1e9))


def seconds(message: Any, name: str) -> float | None:
    """Read epoch seconds; None where the field is not set."""
    if not message.HasField(name):
        return None
    value = getattr(message, name)
    return float(value.seconds + value.nanos / 1e9)


def maybe(message: Any, name: str) -> Any:
    """An optional field, None where it is not set."""
    return getattr(message, name) if message.HasField(name) else None


def put_optional(message: Any, **values: float | None) -> None:
    """Set those fields whose value is not None."""
    for name, value in values.items():
        if value is not None:
            setattr(message, name, value)


def read_params(raw: Any) -> dict[str, Any]:
    """Parameters of a command: JSON values; anything else is taken as a plain string."""
    return {name: from_json(value, value) for name, value in mapping(raw).items()}


def from_json(raw: str, otherwise: Any) -> Any:
    """A JSON value of a stranger; ``otherwise`` where it is none, or nested as no value of ours is."""
    if raw.count("[") + raw.count("{") > DEEPEST:
        return otherwise
    try:
        return json.loads(raw)
    except ValueError:
        return otherwise
