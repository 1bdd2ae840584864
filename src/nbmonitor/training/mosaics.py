"""Pictures of a batch, on the worker: bytes of one size, laid out as tiles of one mosaic JPEG."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nbmonitor.errors import InputError
from nbmonitor.events import Mosaic
from nbmonitor.training.capture import host
from nbmonitor.training.parcels import Parcel
from nbmonitor.training.reduce import NEAR

try:
    import simplejpeg
except ImportError:  # no wheel for this platform: Pillow takes twice as long
    simplejpeg = None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nbmonitor.training.notices import Notices

QUALITY = 85


def tiles(pictures: Any, layout: str, side: int, notices: Notices) -> NDArray[np.uint8]:
    """Pictures as uint8 tiles of one size, (n, h, w, c) with c 1 or 3, the longer side at most ``side`` pixels."""
    if layout == "list":
        return _of_list(pictures, side, notices)
    pixels = _levels(pictures, notices)
    if layout == "NHW":
        pixels = pixels[..., None]
    elif layout == "NCHW":
        pixels = pixels.transpose(0, 2, 3, 1)
    if pixels.shape[3] == 4:
        pixels = _over_white(pixels)
    if max(pixels.shape[1:3]) > side:
        pixels = np.stack([_shrunk(picture, side) for picture in pixels])
    return pixels


def _levels(pictures: Any, notices: Notices) -> NDArray[np.uint8]:
    """Pictures as uint8: those of a device are already."""
    if not isinstance(pictures, Parcel):
        return quantise(host(pictures), notices)
    levels, *facts = pictures.arrays()
    for low, high, finite, known in facts:
        if not finite:
            _say_not_finite(notices)
        if not known:
            _say_stretched(notices, low, high)
    return levels


def _say_not_finite(notices: Notices) -> None:
    notices.later(
        "pixels",
        "run.log_batch was given pictures with NaN or infinite pixels: these are shown black. If they come out of the "
        "model, look for a division by zero or a learning rate that is too high.",
    )


def _say_stretched(notices: Notices, low: float, high: float) -> None:
    notices.later(
        "range",
        f"run.log_batch was given pictures with values from {low:.3g} to {high:.3g}, outside of [0, 1], [-1, 1] and "
        "uint8: each batch is stretched to its own range for display. Undo the normalisation (x * std + mean) before "
        "the call to see true colours.",
    )


def _of_list(pictures: Sequence[Any], side: int, notices: Notices) -> NDArray[np.uint8]:
    """Pictures of different sizes and channels: each in the middle of a tile that holds the largest."""
    pictures = [_levels(p, notices)[0] if isinstance(p, Parcel) else p for p in pictures]
    kinds = {p.dtype for p in pictures}
    if len(kinds) == 1 and len({p.shape for p in pictures}) == 1:  # one range for the whole batch
        stack = quantise(np.stack(pictures), notices)
        levels = list(stack)
    else:
        levels = [quantise(p, notices) for p in pictures]
    ready = []
    for pixels in levels:
        coloured = pixels if pixels.ndim == 3 else pixels[..., None]
        if coloured.shape[2] == 4:
            coloured = _over_white(coloured)
        ready.append(_shrunk(coloured, side))
    height = max(p.shape[0] for p in ready)
    width = max(p.shape[1] for p in ready)
    channels = max(p.shape[2] for p in ready)
    out = np.zeros((len(ready), height, width, channels), np.uint8)
    for tile, pixels in zip(out, ready, strict=True):
        top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
        tile[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return out


def quantise(pixels: NDArray[Any], notices: Notices) -> NDArray[np.uint8]:
    """Pixels of any real dtype as uint8: uint8 as it is, [0, 1], [-1, 1], integers 0..255, else stretched to fit."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind not in "iuf":
        raise InputError(
            f"pixels of dtype {pixels.dtype} cannot be shown; use uint8 or a float dtype"
        )
    bad = None
    if pixels.dtype.kind == "f":
        pixels = pixels.astype(np.float32 if pixels.dtype.itemsize <= 4 else np.float64, copy=False)
    low, high = float(pixels.min()), float(pixels.max())
    if not math.isfinite(low) or not math.isfinite(high):
        bad = ~np.isfinite(pixels)
        _say_not_finite(notices)
        good = pixels[~bad]
        low, high = (float(good.min()), float(good.max())) if good.size else (0.0, 0.0)
    floating = pixels.dtype.kind == "f"
    if not floating and low >= 0 and high <= 255:
        return pixels.astype(np.uint8)
    if floating and low >= -NEAR and high <= 1 + NEAR:
        scale, shift = 255.0, 0.0
    elif floating and low >= -1 - NEAR and high <= 1 + NEAR:
        scale, shift = 127.5, 127.5
    else:
        _say_stretched(notices, low, high)
        with np.errstate(over="ignore"):
            span = high - low
        scale = 255.0 / span if 0 < span < math.inf else 0.0
        shift = -low * scale
    work = np.float64 if pixels.dtype.itemsize == 8 else np.float32
    with np.errstate(invalid="ignore", over="ignore"):
        levels: NDArray[Any] = np.multiply(pixels, scale, dtype=work)
        np.add(levels, shift + 0.5, out=levels)
        if bad is not None:
            levels[bad] = 0.0
        np.clip(levels, 0.0, 255.0, out=levels)
    return levels.astype(np.uint8)


def _over_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = pixels[..., 3:].astype(np.uint16)
    laid = (pixels[..., :3] * alpha + 255 * (255 - alpha)) // 255
    return laid.astype(np.uint8)


def _shrunk(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(h, w, c) with its longer side at most ``side``."""
    height, width, channels = pixels.shape
    longer = max(height, width)
    if longer <= side:
        return pixels
    size = (max(1, round(width * side / longer)), max(1, round(height * side / longer)))
    grey = channels == 1
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
    small = np.asarray(picture.resize(size, Image.Resampling.BOX))
    return small[..., None] if grey else small


def mosaic(pixels: NDArray[np.uint8]) -> Mosaic:
    """All tiles (n, h, w, c) in one JPEG, row by row, on a grid that is as square as can be."""
    count, height, width, channels = pixels.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    if count < rows * columns:
        full = np.zeros((rows * columns, height, width, channels), np.uint8)
        full[:count] = pixels
        pixels = full
    grid = pixels.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = np.ascontiguousarray(grid.reshape(rows * height, columns * width, channels))
    return Mosaic(jpeg(sheet, fine=height <= 64), columns, rows, width, height)


def jpeg(sheet: NDArray[np.uint8], *, fine: bool) -> bytes:
    """A (h, w, 1 or 3) sheet as JPEG. ``fine``: full colour resolution, so that small tiles do not bleed."""
    grey = sheet.shape[2] == 1
    if simplejpeg is not None:
        data: bytes = simplejpeg.encode_jpeg(
            sheet,
            quality=QUALITY,
            colorspace="GRAY" if grey else "RGB",
            colorsubsampling="Gray" if grey else "444" if fine else "420",
            fastdct=True,
        )
        return data
    out = io.BytesIO()
    picture = Image.fromarray(sheet[..., 0] if grey else sheet)
    picture.save(out, "JPEG", quality=QUALITY, subsampling=0 if fine else 2)
    return out.getvalue()
