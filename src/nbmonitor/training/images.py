"""Pictures of a batch: told apart and copied on the training thread, turned into one mosaic JPEG on the worker.

What is accepted: (N, C, H, W) or (N, H, W, C) with 1, 3 or 4 channels, (N, H, W), a list of pictures (PIL, arrays,
tensors), or a single picture. Where both the second and the last axis could be channels the second is taken. A 3-D
array is N grey pictures, unless its last axis is 3 or 4 long: then it is one (H, W, C) picture. Alpha is laid over
white.
"""

from __future__ import annotations

import io
import math
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nbmonitor.errors import InputError
from nbmonitor.events import Mosaic
from nbmonitor.training import reduce
from nbmonitor.training.capture import host
from nbmonitor.training.parcels import Parcel, on_cuda
from nbmonitor.training.reduce import NEAR

try:
    import simplejpeg
except ImportError:  # no wheel for this platform: Pillow takes twice as long
    simplejpeg = None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nbmonitor.training.cuda import Backend
    from nbmonitor.training.device import Device
    from nbmonitor.training.notices import Notices

TILES = 16
MAX_SIDE = 512  # pixels of a tile
CHANNELS = (1, 3, 4)
QUALITY = 85
_ACCEPTED = (
    "Accepted are (N, C, H, W) or (N, H, W, C) with 1, 3 or 4 channels, (N, H, W), or a list of pictures (PIL, arrays, "
    "tensors)."
)


class Buffers:
    """Memory of frames that were shown, for the next ones: fresh pages cost ten times the copy."""

    def __init__(self, keep: int = 4) -> None:
        self._free: deque[NDArray[Any]] = deque(maxlen=keep)

    def copy(self, view: NDArray[Any]) -> NDArray[Any]:
        """A copy of ``view`` in memory of its own."""
        for _ in range(len(self._free)):
            try:
                buffer = self._free.popleft()
            except IndexError:  # another thread took it
                break
            if buffer.shape == view.shape and buffer.dtype == view.dtype:
                np.copyto(buffer, view)
                return buffer
        return np.array(view, order="C")

    def give(self, used: Any) -> None:
        """Take back what :meth:`copy` gave."""
        if isinstance(used, np.ndarray):
            self._free.append(used)


def take(
    images: Any, buffers: Buffers, side: int = MAX_SIDE, device: Device | None = None
) -> tuple[Any, str, int]:
    """A snapshot of the first 16 pictures, their layout ("NCHW", "NHWC", "NHW" or "list"), and how many there are.

    Of pictures twice as large as the ``side`` that is shown every n-th pixel of every n-th row is copied, so that at
    least ``side`` are left: a copy of all would hold up the training for seconds where pictures are large. Pictures on
    a CUDA device are a :class:`~nbmonitor.training.parcels.Parcel`, or in a list one each.

    Raises
    ------
    InputError
        When these are no pictures; says what was expected.
    """
    if isinstance(images, Image.Image):
        images = [images]
    shape = getattr(images, "shape", None)
    if shape is None:
        if isinstance(images, str | bytes | dict) or not hasattr(images, "__len__"):
            raise InputError(f"a {type(images).__name__} holds no pictures. {_ACCEPTED}")
        total, first = len(images), images[:TILES]
        alike = _stacked(first, device)
        if alike is None:
            return [_single(one, side, device) for one in first], "list", total
        layout = _layout_of_one(tuple(alike.shape[1:]))
        return _sent(on_cuda(device, alike), _thinned(alike, layout, side), layout), layout, total
    shape = tuple(int(n) for n in shape)
    layout = _layout(shape)
    if len(shape) == 2 or (len(shape) == 3 and layout == "NHWC"):
        images = images[None]
        shape = (1, *shape)
    if 0 in shape[1:]:
        raise InputError(f"the pictures of shape {shape} have no pixels")
    on_device = hasattr(images, "is_cpu") and not images.is_cpu
    some: Any = images[:TILES].detach() if on_device else _first(images)
    some = _thinned(some, layout, side)
    taken = _sent(on_cuda(device, images), some, layout) if on_device else buffers.copy(some)
    return taken, layout, shape[0]


def _thinned(pictures: Any, layout: str, side: int) -> Any:
    """Every n-th pixel of every n-th row, so that at least ``side`` are left."""
    at = 2 if layout == "NCHW" else 1
    stride = _stride(pictures.shape[at : at + 2], side)
    if stride == 1:
        return pictures
    every = slice(None, None, stride)
    return pictures[:, :, every, every] if at == 2 else pictures[:, every, every]


def _stacked(pictures: Sequence[Any], device: Device | None) -> Any:
    """Tensors on one CUDA device that are alike, as one; else None. They share a range, and one copy brings them."""
    if not pictures:
        return None
    backend = on_cuda(device, pictures[0])
    if backend is None or not all(getattr(one, "is_cuda", False) for one in pictures):
        return None
    if len({(one.get_device(), one.dtype, tuple(one.shape)) for one in pictures}) > 1:
        return None
    return backend.torch.stack([one.detach() for one in pictures])


def _layout_of_one(shape: tuple[int, ...]) -> str:
    """Layout of a batch of pictures of this shape, each of which is (H, W), (H, W, C) or (C, H, W)."""
    if 0 in shape:
        raise InputError(f"a picture of shape {shape} has no pixels")
    if len(shape) == 2:
        return "NHW"
    if len(shape) == 3 and shape[2] in CHANNELS:
        return "NHWC"
    if len(shape) == 3 and shape[0] in CHANNELS:
        return "NCHW"
    raise InputError(f"an array of shape {shape} is no picture. {_ACCEPTED}")


def _sent(backend: Backend | None, tensor: Any, layout: str) -> Any:
    """A snapshot of a tensor on a device: on its way, or where nothing but reading it brings it here, a clone."""
    if backend is None:
        return tensor.clone()
    return Parcel(
        backend, tensor, lambda torch, pixels, side: reduce.pictures(torch, pixels, side, layout)
    )


def _first(images: Any) -> NDArray[Any]:
    """The first pictures, as an array; a slice of an array takes a tenth of the time that one of a tensor takes."""
    try:
        return images.detach().numpy()[:TILES]  # type: ignore[no-any-return]
    except (AttributeError, TypeError):  # no tensor, or of a dtype that NumPy lacks
        return np.asarray(host(images[:TILES]))


def _stride(sides: Sequence[int], wanted: int) -> int:
    return max(1, max(sides) // max(1, wanted))


def _layout(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "NHW"
    if len(shape) == 3:
        return "NHWC" if shape[2] in (3, 4) else "NHW"
    if len(shape) == 4:
        if shape[1] in CHANNELS:
            return "NCHW"
        if shape[3] in CHANNELS:
            return "NHWC"
    raise InputError(f"an array of shape {shape} holds no pictures. {_ACCEPTED}")


def _single(picture: Any, side: int, device: Device | None) -> Any:
    """A copy of one picture of a list: (H, W) or (H, W, C), thinned out as in :func:`take`."""
    if isinstance(picture, Image.Image):
        stride = _stride(picture.size, side)
        if stride > 1:
            size = (max(1, picture.width // stride), max(1, picture.height // stride))
            picture = picture.resize(size, Image.Resampling.NEAREST)
        if picture.mode not in ("L", "RGB", "RGBA"):
            alpha = picture.mode in ("LA", "PA", "La", "RGBa") or "transparency" in picture.info
            wide = picture.mode in ("I", "F", "I;16")  # beyond 8 bits: stretched like any array
            picture = picture if wide else picture.convert("RGBA" if alpha else "RGB")
        return np.array(picture)
    backend = on_cuda(device, picture)
    pixels: Any = np.asarray(host(picture)) if backend is None else picture.detach()
    if _layout_of_one(tuple(pixels.shape)) == "NCHW":
        pixels = pixels.transpose(1, 2, 0) if backend is None else pixels.permute(1, 2, 0)
    layout = "NHW" if pixels.ndim == 2 else "NHWC"
    some = _thinned(pixels[None], layout, side)
    return np.array(some[0]) if backend is None else _sent(backend, some, layout)


# --- on the worker ---------------------------------------------------------------------------------------------------


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
