"""Predictions and truth of a batch: snapshot on the training thread, worked out on the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor.errors import InputError
from nbmonitor.training import reduce
from nbmonitor.training.capture import array, host, one_line, plain
from nbmonitor.training.parcels import Parcel, on_cuda

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nbmonitor.training.cuda import Backend
    from nbmonitor.training.device import Device
    from nbmonitor.training.notices import Notices

SHOWN = 16  # rows whose confidence is shown: those of the pictures
REAL = "biuf"  # kinds of dtypes
LARGE = 64 << 20  # bytes of logits on a device beyond which there is no room for a clone

Ints = tuple[int | None, ...]
Floats = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of the tiles, and how many of the whole batch were right."""

    predicted: Ints
    confidence: Floats
    truth: Ints
    right: int | None
    counted: int | None


def take(name: str, value: Any, total: int, notices: Notices, device: Device | None = None) -> Any:
    """A snapshot of one argument of `log_batch`, or None, with a warning, where it cannot be used."""
    if value is None:
        return None
    view = plain(value)
    if view is not None and view.shape[:1] == (total,) and view.dtype.kind in REAL:
        most = 1 if name == "predictions" else 2
        if (
            len(view.shape) <= most
        ):  # the plain case: a number, or a row of logits, for each picture
            return view.copy()
    try:
        backend = on_cuda(device, value)
        taken = array(value) if backend is None else value.detach()
        if taken.is_complex() if backend else _is_odd(taken):
            raise InputError(f"its dtype is {taken.dtype}")
        shape = tuple(taken.shape)
        if len(shape) == 0 and total == 1:
            taken, shape = taken.reshape(1), (1,)
        if len(shape) not in (1, 2):
            raise InputError(f"its shape is {shape}")
        if name == "predictions" and len(shape) == 2 and shape[1] != 1:
            raise InputError(f"its shape is {shape}: scores of classes go in as `logits=`")
        if backend is not None:
            taken = _sent(backend, name, taken)
    except Exception as error:
        notices.warn(
            f"labels:{name}",
            f"run.log_batch cannot use `{name}=`: {one_line(error)}. Expected one number a picture, for `logits` "
            "(N, C), for `targets` also one-hot (N, C). The pictures are shown without it.",
        )
        return None
    if shape[0] != total:
        notices.warn(
            f"length:{name}",
            f"run.log_batch was given {total} pictures and {shape[0]} `{name}`: they are matched by index, what has no "
            "partner is shown without. Pass the same samples in both.",
        )
    return taken


def _is_odd(taken: Any) -> bool:
    return isinstance(taken, np.ndarray) and taken.dtype.kind not in REAL


def _sent(backend: Backend, name: str, tensor: Any) -> Parcel:
    """What :func:`judge` needs of ``tensor``, on its way here: little, whatever the number of classes."""
    if name == "targets":
        return Parcel(backend, tensor, lambda torch, values, _: reduce.targets(torch, values))
    if name != "logits":
        return Parcel(backend, tensor, lambda _, values, __: reduce.column(values))
    if tensor.numel() * tensor.element_size() <= LARGE:
        return Parcel(backend, tensor, lambda torch, rows, _: reduce.logits(torch, rows, SHOWN))
    classes, sure = reduce.logits(backend.torch, tensor, SHOWN)
    count = len(classes)
    joined = backend.torch.cat([classes, sure])
    return Parcel(backend, joined, lambda _, both, __: [both[:count], both[count:]])


def _here(taken: Any) -> Any:
    """What has come of a parcel; anything else as it is."""
    if not isinstance(taken, Parcel):
        return taken
    arrays = taken.arrays()
    return arrays if len(arrays) > 1 else arrays[0]


def judge(
    count: int, total: int, *, logits: Any, predictions: Any, confidence: Any, targets: Any
) -> Verdict:
    """What is known of the first ``count`` of ``total`` pictures; arguments as :func:`take` gave them, or None."""
    predicted = sure = None
    logits, predictions, confidence, targets = map(
        _here, (logits, predictions, confidence, targets)
    )
    if isinstance(logits, list):
        predicted, sure = logits
    elif logits is not None:
        predicted, sure = _of_logits(host(logits).astype(np.float64), count)
    if predictions is not None:
        predicted = _whole(host(predictions).reshape(len(predictions), -1)[:, 0])
    if confidence is not None:
        sure = host(confidence).astype(np.float64).reshape(len(confidence), -1)[:, 0]
    truth = None
    if targets is not None:
        values = host(targets)
        if values.ndim == 2 and values.shape[1] > 1:
            truth = values.argmax(1).astype(np.float64)  # one-hot, or mixed: the largest share
            truth[~np.isfinite(values.astype(np.float64)).all(1)] = np.nan
        else:
            truth = _whole(values.reshape(len(values), -1)[:, 0])
            truth[truth < 0] = np.nan  # "ignore this one" (-100, -1)
    right = counted = None
    if predicted is not None and truth is not None:
        both = min(len(predicted), len(truth), total)
        known = np.isfinite(predicted[:both]) & np.isfinite(truth[:both])
        counted = int(known.sum())
        right = int((predicted[:both][known] == truth[:both][known]).sum())
    return Verdict(
        tuple(_int(v) for v in _fitted(predicted, count)),
        tuple(float(v) if 0.0 <= v <= 1.0 else None for v in _fitted(sure, count)),
        tuple(_int(v) for v in _fitted(truth, count)),
        right,
        counted,
    )


def _of_logits(
    logits: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predicted class of every row (NaN where a row is not finite), confidence of the first ``count``."""
    with np.errstate(over="ignore", invalid="ignore"):
        if logits.ndim == 1 or logits.shape[1] == 1:
            z = logits.reshape(-1)
            predicted = np.where(np.isnan(z), np.nan, (z >= 0).astype(np.float64))
            return predicted, 1.0 / (1.0 + np.exp(-np.abs(z[:count])))
        finite = np.isfinite(logits).all(1)
        predicted = np.where(finite, logits.argmax(1), np.nan)
        z = logits[:count]
        z = np.exp(z - z.max(1, keepdims=True))
        return predicted, z.max(1) / z.sum(1)


def _whole(values: NDArray[Any]) -> NDArray[np.float64]:
    """Class numbers as floats; NaN for what is no whole number."""
    numbers = values.astype(np.float64)
    numbers[~(np.isfinite(numbers) & (numbers == np.round(numbers)))] = np.nan
    return numbers


def _fitted(values: NDArray[np.float64] | None, count: int) -> list[float]:
    known = [] if values is None else [float(v) for v in values[:count]]
    return known + [float("nan")] * (count - len(known))


def _int(value: float) -> int | None:
    return int(value) if np.isfinite(value) else None
