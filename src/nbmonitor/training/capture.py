"""From what a person logs to what can be kept: names made safe, numbers read at the call.

Torch is duck-typed, never imported. A CPU tensor is read by ``.item()`` at the call (``float(t)`` warns on
``requires_grad``, a bare ``detach()`` is a view that a later in-place change would reach). One on a CUDA device goes
the way of ``device``; one on another device is cloned there and read by the outbox's worker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor.errors import InputError
from nbmonitor.events import EPOCH_SERIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nbmonitor.training.device import Device
    from nbmonitor.training.notices import Notices

MAX_NAME = 200  # characters
MAX_NAMES = 100_000  # distinct series of a run
MAX_STEP = 2**53  # beyond it float64, the x axis, can no longer tell two steps apart


def one_line(words: object, most: int = 200) -> str:
    """Words of an error on one line, short enough to be read."""
    text = " ".join(_safe(words).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def clean(name: object) -> str:
    r"""A name that can be stored, sent and shown: at most 200 characters, none of them a control character.

    >>> clean("a\x1b[31m"), clean("\ud800x"), clean("  ")
    ('a\\x1b[31m', '\\ud800x', '(no name)')
    """
    text = name if isinstance(name, str) else str(name)
    text = text[: MAX_NAME + 1]
    if not text.isprintable():
        text = "".join(c if _showable(c) else ascii(c)[1:-1] for c in text)
    text = text.strip() or "(no name)"
    if text == EPOCH_SERIES:
        text = (
            f"user/{text}"  # ours maps steps to epochs: a stray value would bend every epoch axis
        )
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


def _showable(char: str) -> bool:
    return char.isprintable() or char == "\u200d"  # the joiner within an emoji


class OnDevice(Exception):  # noqa: N818
    """No error: the value is a tensor on a CUDA device, ``args[0]``, that must not be waited for.

    An exception, so that a loop over values that are here pays nothing for it.
    """


def number(value: Any) -> Any:
    """A number to keep for ``value``: float, int, bool, or a device tensor's clone, for :func:`read` to finish.

    Raises
    ------
    InputError
        When ``value`` is not one real number.
    OnDevice
        When it is one on a CUDA device.
    """
    kind = type(value)
    if kind is float or kind is int or kind is bool:
        return value
    reader = _readers.get(kind)
    if reader is None:
        reader = _reader(kind)
        if len(_readers) < 256:  # classes made on the fly must not pile up here
            _readers[kind] = reader
            if reader is _of_tensor:
                _tensors.add(kind)
    return reader(value)


def _reader(kind: type) -> Callable[[Any], Any]:
    """How a number is read off values of a type."""
    if issubclass(kind, str | bytes | NoneType):
        return _refuse
    if hasattr(kind, "is_cpu") and hasattr(kind, "detach"):
        return _of_tensor
    if hasattr(kind, "item") and hasattr(kind, "shape"):  # numpy, jax, ...
        return _of_array
    return _of_object


_readers: dict[type, Callable[[Any], Any]] = {}
_tensors: set[type] = set()  # those of them that are read as tensors


def _refuse(value: Any) -> Any:
    raise InputError(f"{_short(value)} is not a number")


def _of_tensor(value: Any) -> Any:
    if value.is_cpu:
        try:
            item = value.item()
            return item if type(item) is float else _of_object(item)
        except RuntimeError:  # torch's word for "not one element"
            raise InputError(_several(tuple(value.shape))) from None
    if value.numel() != 1:
        raise InputError(_several(tuple(value.shape)))
    if getattr(value, "is_meta", False):
        raise InputError("it is on the meta device, where tensors have no data")
    if hasattr(value, "full_tensor"):  # reading it is a collective: not for the worker to begin
        raise InputError("it is a tensor spread over ranks: log its `.full_tensor()` on every rank")
    value = value.detach()
    if getattr(value, "is_cuda", False):
        if value.is_complex():
            raise InputError("a complex tensor is not a real number")
        raise OnDevice(value)
    return value.clone()


def _of_array(value: Any) -> Any:
    if math.prod(value.shape) != 1:
        raise InputError(_several(tuple(value.shape)))
    return _of_object(value.item())


def _of_object(value: Any) -> Any:
    kind = type(value)
    if kind is float or kind is int or kind is bool:
        return value
    if isinstance(value, int):
        return int(value)
    if hasattr(value, "__float__") and not isinstance(value, complex | type):
        return float(value)
    raise InputError(f"a {kind.__name__} is not a real number")


def read(value: Any) -> float:
    """Finish on the worker: a float, whatever :func:`number` let through. Integers beyond float64 become infinite."""
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except Exception:  # a device that failed in the meantime: a gap in the curve, visibly
        return math.nan


def numbers(
    values: dict[Any, Any], notices: Notices, device: Device | None = None
) -> dict[str, Any]:
    """Flatten a mapping by "/" and read its numbers; what is none is left out, with a warning.

    ``values`` is the caller's own: numbers are put in the place of what they were read from. With tensors on a CUDA
    device it is a :class:`~nbmonitor.training.device.Pending`, sent off by ``device``.
    """
    try:
        for name, value in values.items():  # the plain case, once more without what the others need
            kind = type(value)
            if type(name) is not str:
                break
            if kind is float:
                continue
            if kind in _tensors and value.is_cpu:
                item = value.item()
                values[name] = item if type(item) is float else _of_object(item)
                continue
            reader = _readers.get(kind)
            if reader is None:
                break
            values[name] = reader(value)
        else:
            return values
    except Exception:  # told below, where the name is at hand
        pass
    out: dict[str, Any] = {}
    held: dict[str, Any] = {}
    _collect("", values, out, held, notices, 0)
    if not held:
        return out
    if device is None:
        return out | {name: tensor.clone() for name, tensor in held.items()}
    return device.take(out, held)


def _collect(
    prefix: str,
    values: Mapping[Any, Any],
    out: dict[str, Any],
    held: dict[str, Any],
    notices: Notices,
    depth: int,
) -> None:
    for key, value in values.items():
        try:
            name = f"{prefix}{key}"
            kind = type(value)
            if kind is float or kind is int:
                out[name] = value
            elif isinstance(value, Mapping):
                if depth > 20:  # a mapping that holds itself
                    raise InputError("is nested more than 20 levels deep")
                _collect(f"{name}/", value, out, held, notices, depth + 1)
            else:
                out[name] = number(value)
        except OnDevice as found:
            held[name] = found.args[0]
        except Exception as error:
            notices.warn(
                f"value:{type(value).__name__}",
                f"run.log left out {clean(f'{prefix}{_safe(key)}')!r}: {error}. Log single numbers (a float, an int, a "
                "tensor or array of one element), for a mean `.mean()`; text belongs in `init(config=...)`. Other "
                "values of this type are left out without a further warning.",
            )


def step_number(step: Any) -> int | None:
    """A step that can be kept, or None: a whole number from 0 to 2**53."""
    try:
        if isinstance(step, bool | float):
            return None
        whole = step.__index__()
    except Exception:  # not an integer of any kind
        return None
    return whole if 0 <= whole <= MAX_STEP else None


def plain(value: Any) -> NDArray[Any] | None:
    """An array as it is, a tensor in the CPU's memory as a view of it; None for everything else.

    With as few calls as can be: between two steps of a training all code is fetched anew, so that each further one
    costs microseconds (docs/performance.md).
    """
    if type(value) is np.ndarray:
        return value
    if not getattr(value, "is_cpu", False):
        return None
    try:
        # A call less where there is no graph; in each, torch lets another thread have the interpreter.
        return (value.detach() if value.requires_grad else value).numpy()  # type: ignore[no-any-return]
    except Exception:  # of a dtype that NumPy lacks, of no memory of its own, ...
        return None


def array(value: Any) -> Any:
    """A snapshot of a tensor, array or list: a NumPy array of its own memory, or a clone on its device."""
    view = plain(value)
    if view is not None:
        return view.copy()
    if hasattr(value, "is_cpu") and hasattr(value, "detach"):
        value = value.detach()
        if not value.is_cpu:
            return value.clone()
        return np.array(host(value))
    return np.array(value)


def host(value: Any) -> Any:
    """A NumPy view of a tensor (a copy where NumPy lacks its dtype or memory), or ``value`` as an array."""
    if not hasattr(value, "detach"):
        return np.asarray(value)
    value = value.detach()
    if not value.is_cpu:
        value = value.cpu()
    try:
        return value.numpy()
    except TypeError:  # bfloat16, float8: NumPy has none
        return value.float().numpy()


def _several(shape: tuple[int, ...]) -> str:
    return f"it has {math.prod(shape)} elements (shape {shape})"


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _safe(key: object) -> str:
    try:
        return str(key)
    except Exception:  # an object whose own __str__ fails
        return f"<{type(key).__name__}>"
