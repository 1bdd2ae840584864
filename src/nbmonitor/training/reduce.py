"""What is worked out on a device, so that little has to come here: bytes of pictures, classes of logits.

The same as ``images`` and ``labels`` do with NumPy, in terms of tensors and without asking the device anything: not
even the range of the pixels is known here, it stays there as a tensor. Called by the worker, on a stream of our own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nbmonitor.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

NEAR = 0.05  # by which interpolation overshoots a range


def pictures(torch: Any, pixels: Any, side: int, layout: str) -> Sequence[Any]:
    """Pixels of any real dtype as uint8, tiles at most ``side`` wide; then four facts of the pixels, as float64.

    Those are the lowest, the highest, whether all are finite (1 or 0), whether they are in a range that is known; left
    out where the pixels are bytes already. Pictures with alpha keep their size: they are laid over white first, which
    is done where they are shown.
    """
    levels, *facts = _levels(torch, pixels)
    if layout == "NCHW":
        axes, channels = (2, 3), levels.shape[1]
    else:
        axes, channels = (1, 2), levels.shape[3] if layout == "NHWC" else 1
    if channels != 4:
        levels = _shrunk(torch, levels, axes, side)
    return [levels.contiguous(), *facts]


def _levels(torch: Any, pixels: Any) -> Sequence[Any]:
    if pixels.dtype is torch.uint8:
        return [pixels]
    if pixels.dtype is torch.bool:
        return [pixels.to(torch.uint8) * 255]
    if pixels.is_complex():
        raise InputError(
            f"pixels of dtype {pixels.dtype} cannot be shown; use uint8 or a float dtype"
        )
    floating = pixels.is_floating_point()
    wide = pixels.dtype in (torch.float64, torch.int64)
    pixels = pixels.double() if wide else pixels.float()
    good = torch.isfinite(pixels)
    low = torch.where(good, pixels, math.inf).amin().double()
    high = torch.where(good, pixels, -math.inf).amax().double()
    none = low > high  # not one is finite
    low, high = torch.where(none, 0.0, low), torch.where(none, 0.0, high)
    span = high - low
    scale = torch.where((span > 0) & (span < math.inf), 255.0 / span, 0.0)
    shift = -low * scale
    if floating:
        signed = (low >= -1 - NEAR) & (high <= 1 + NEAR)
        unit = (low >= -NEAR) & (high <= 1 + NEAR)
        known = unit | signed
        scale = torch.where(unit, 255.0, torch.where(signed, 127.5, scale))
        shift = torch.where(unit, 0.0, torch.where(signed, 127.5, shift))
    else:
        known = (low >= 0) & (high <= 255)
        scale, shift = torch.where(known, 1.0, scale), torch.where(known, 0.0, shift)
    levels = pixels * scale.to(pixels.dtype) + (shift + 0.5).to(pixels.dtype)
    levels = torch.where(good, levels, 0.0).clamp(0.0, 255.0).to(torch.uint8)
    return [levels, torch.stack([low, high, good.all().double(), known.double()])]


def _shrunk(torch: Any, levels: Any, axes: tuple[int, int], side: int) -> Any:
    """Means of the pixels under each new one, rows and then columns, as Pillow's box does.

    By sums of integers, which come out the same however the device orders them; a matrix product would take its
    library's workspace, tens of MiB for a stream.
    """
    longer = max(levels.shape[axis] for axis in axes)
    if longer <= side:
        return levels
    for axis in reversed(axes):
        length = levels.shape[axis]
        count = max(1, round(length * side / longer))
        edges = torch.arange(count + 1, device=levels.device, dtype=torch.float64)
        edges = (edges * (length / count) + 0.5).long()
        sums = levels.cumsum(axis, dtype=torch.int32)
        sums = torch.cat([torch.zeros_like(sums.narrow(axis, 0, 1)), sums], axis)
        total = sums.index_select(axis, edges[1:]) - sums.index_select(axis, edges[:-1])
        width = (edges[1:] - edges[:-1]).int()
        width = width.reshape([-1 if i == axis else 1 for i in range(levels.ndim)])
        levels = torch.div(total + width // 2, width, rounding_mode="floor").to(torch.uint8)
    return levels


def logits(torch: Any, scores: Any, shown: int) -> Sequence[Any]:
    """Classes (N,) of scores (N, C), (N, 1) or (N,), and the confidence of the first ``shown``; both float64.

    NaN is the class of a row that is not finite.
    """
    if scores.ndim == 1 or scores.shape[1] == 1:
        scores = scores.reshape(-1).double()
        classes = torch.where(scores.isnan(), math.nan, (scores >= 0).double())
        sure = 1.0 / (1.0 + torch.exp(-scores[:shown].abs()))
    else:
        classes = _largest(torch, scores)
        first = scores[:shown].double()
        shares = torch.exp(first - first.amax(1, keepdim=True))
        sure = shares.amax(1) / shares.sum(1)
    return [classes, sure]


def targets(torch: Any, values: Any) -> Sequence[Any]:
    """Class numbers (N,) of such (N,) or (N, 1), or of one-hot rows (N, C), where the largest counts; float64."""
    return [_largest(torch, values)] if values.ndim == 2 and values.shape[1] > 1 else column(values)


def column(values: Any) -> Sequence[Any]:
    """Values (N,), or the first of each row, as float64."""
    return [values.reshape(len(values), -1)[:, 0].double()]


def _largest(torch: Any, rows: Any) -> Any:
    # The largest and the least of a row are not finite where any of it is not: NaN goes through both.
    finite = torch.isfinite(rows.amax(1)) & torch.isfinite(rows.amin(1))
    return torch.where(finite, rows.argmax(1).double(), math.nan)
