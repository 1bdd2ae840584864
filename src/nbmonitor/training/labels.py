"""Predictions and truth of a batch: snapshot on the training thread, worked out on the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor.errors import InputError
from nbmonitor.training.capture import array, host, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nbmonitor.training.notices import Notices

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


def take(name: str, value: Any, total: int, notices: Notices) -> Any:
    """A snapshot of one argument of `log_batch`, or None, with a warning, where it cannot be used."""
    if value is None:
        return None
    try:
        taken = array(value)
        if isinstance(taken, np.ndarray) and taken.dtype.kind not in "biuf":
            raise InputError(f"its dtype is {taken.dtype}")
        shape = tuple(taken.shape)
        if len(shape) == 0 and total == 1:
            taken, shape = taken.reshape(1), (1,)
        if len(shape) not in (1, 2):
            raise InputError(f"its shape is {shape}")
        if name == "predictions" and len(shape) == 2 and shape[1] != 1:
            raise InputError(f"its shape is {shape}: scores of classes go in as `logits=`")
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


def judge(
    count: int, total: int, *, logits: Any, predictions: Any, confidence: Any, targets: Any
) -> Verdict:
    """What is known of the first ``count`` of ``total`` pictures; arguments as :func:`take` gave them, or None."""
    predicted = sure = None
    if logits is not None:
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
