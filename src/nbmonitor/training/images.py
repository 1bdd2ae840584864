"""Pictures of a batch, on the training thread: told apart, thinned out and copied, for ``mosaics`` to show.

What is accepted: (N, C, H, W) or (N, H, W, C) with 1, 3 or 4 channels, (N, H, W), a list of pictures (PIL, arrays,
tensors), or a single picture. Where both the second and the last axis could be channels the second is taken. A 3-D
array is N grey pictures, unless its last axis is 3 or 4 long: then it is one (H, W, C) picture. Alpha is laid over
white.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nbmonitor.errors import InputError
from nbmonitor.training import reduce
from nbmonitor.training.capture import host, plain
from nbmonitor.training.parcels import Parcel, on_cuda

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nbmonitor.training.cuda import Backend
    from nbmonitor.training.device import Device

TILES = 16
MAX_SIDE = 512  # pixels of a tile
CHANNELS = (1, 3, 4)
SMALL = 1 << 20  # bytes that are copied in a tenth of a millisecond
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
        buffer = self._room(view.shape, view.dtype)
        _fill(buffer, view)
        return buffer

    def rows(self, pictures: NDArray[Any], axis: int, stride: int) -> NDArray[Any]:
        """A copy of every n-th row in memory of its own; ``axis`` is that of the rows."""
        every = (slice(None),) * axis + (slice(None, None, stride),)
        if not pictures.flags.c_contiguous or pictures.dtype.hasobject:
            return self.copy(pictures[every])
        shape = list(pictures.shape)
        indices = np.arange(0, shape[axis], stride)
        shape[axis] = len(indices)
        buffer = self._room(tuple(shape), pictures.dtype)
        # Row by row as one run of memory, which a copy with a step is not: that takes half as long again.
        return pictures.take(indices, axis, buffer, "clip")

    def _room(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        for _ in range(len(self._free)):
            try:
                buffer = self._free.popleft()
            except IndexError:  # another thread took it
                break
            if buffer.shape == shape and buffer.dtype == dtype:
                return buffer
        return np.empty(shape, dtype)

    def give(self, used: Any) -> None:
        """Take back what :meth:`copy` gave, or a view of it."""
        if isinstance(used, np.ndarray):
            self._free.append(used if used.base is None else used.base)


def _fill(buffer: NDArray[Any], view: NDArray[Any]) -> None:
    """Copy. NumPy would let go of the interpreter meanwhile, and where another thread takes it, wait to get it back."""
    if view.nbytes <= SMALL:
        try:
            buffer.data.cast("B")[:] = view.data.cast("B")
        except (TypeError, ValueError, NotImplementedError):
            pass  # so memoryview says of arrays in pieces and of foreign byte orders: NumPy takes those
        else:
            return
    np.copyto(buffer, view)


def take(
    images: Any, buffers: Buffers, side: int = MAX_SIDE, device: Device | None = None
) -> tuple[Any, str, int]:
    """A snapshot of the first 16 pictures, their layout ("NCHW", "NHWC", "NHW" or "list"), and how many there are.

    Of pictures twice as large as the ``side`` that is shown only every n-th row is copied, and every n-th pixel of it
    used, so that at least ``side`` are left: a copy of all would hold up the training for seconds where pictures are
    large. Pictures on a CUDA device are a :class:`~nbmonitor.training.parcels.Parcel`, or in a list one each.

    Raises
    ------
    InputError
        When these are no pictures; says what was expected.
    """
    found = plain(images)
    if found is not None:
        layout = _layout(found.shape)
        if found.ndim == 2 or (found.ndim == 3 and layout == "NHWC"):
            found = found[None]
        count, *sides = found.shape
        if 0 in sides:
            raise InputError(f"the pictures of shape {found.shape} have no pixels")
        at = 2 if layout == "NCHW" else 1
        if found.shape[at] < 2 * side > found.shape[at + 1]:  # shown as they are
            return buffers.copy(found[:TILES]), layout, count
        return _copied(found[:TILES], at, side, buffers), layout, count
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


def _copied(pictures: NDArray[Any], at: int, side: int, buffers: Buffers) -> NDArray[Any]:
    """A copy, thinned out. Rows are left out first and pixels of a row out of the copy.

    NumPy copies rows as runs of memory, but with a step within them pixel by pixel: that takes up to twenty times as
    long as what it leaves out.
    """
    stride = _stride(pictures.shape[at : at + 2], side)
    copied: NDArray[Any] = _columns(
        buffers.rows(pictures, at, stride), at, slice(None, None, stride)
    )
    return copied


def _columns(pictures: Any, at: int, every: slice) -> Any:
    return pictures[:, :, :, every] if at == 2 else pictures[:, :, every]


def _thinned(pictures: Any, layout: str, side: int) -> Any:
    """Every n-th pixel of every n-th row, so that at least ``side`` are left."""
    at = 2 if layout == "NCHW" else 1
    stride = _stride(pictures.shape[at : at + 2], side)
    if stride == 1:
        return pictures
    every = slice(None, None, stride)
    return _columns(pictures[:, :, every] if at == 2 else pictures[:, every], at, every)


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
