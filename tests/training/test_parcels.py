"""Batches that lie on a device: worked on there, shown as those that lie here. The device is pretended."""

from __future__ import annotations

import io
import math
import time

import numpy as np
import pytest
from PIL import Image

from nbmonitor.events import Gap, LogLine
from nbmonitor.training import arrivals, images, labels, mosaics, reduce
from nbmonitor.training.notices import Notices

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from fake_device import Backend, OnDevice, on_device  # noqa: E402  # needs torch


@pytest.fixture
def backend():
    OnDevice.streams.clear()
    return Backend()


@pytest.fixture
def gpu(make, backend, fake):
    """A run whose device is the pretended one, and which takes every frame, in full size whatever it costs."""
    run = make(sink=fake)
    run._outbox.governor.weigh = run._outbox.governor.look = lambda *_: None
    run._outbox.device._backend = backend
    run._pace.due = lambda *_: True
    return run


@pytest.fixture
def both(gpu, backend, fake, wait_for):
    """Logs a batch from here and from a device; returns what a viewer gets of each."""

    def both(pictures, **arguments):
        made = []
        for there in (False, True):
            given = moved(pictures) if there else pictures
            rest = {k: moved(v) for k, v in arguments.items()} if there else arguments
            backend.prompt = True
            count = len(fake.batches)
            gpu.log_batch(given, **rest)
            wait_for(lambda count=count: len(fake.batches) > count)
            made.append(fake.batches[-1])
        return made

    return both


def moved(given):
    if isinstance(given, list):
        return [moved(g) for g in given]
    return on_device(given) if isinstance(given, torch.Tensor) else given


def sheet(batch) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(batch.mosaic.data))).astype(int)


def rest(batch):
    """All that a batch tells, save the picture and confidences."""
    return (
        batch.count, batch.total, batch.predicted, batch.truth, batch.right, batch.counted, batch.loss,
        batch.mosaic.width, batch.mosaic.height, batch.mosaic.columns, batch.mosaic.rows,
    )  # fmt: skip


# --- the same as here ------------------------------------------------------------------------------------------------

RANDOM = torch.rand(5, 3, 9, 12, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    "pixels",
    [
        RANDOM,
        RANDOM.double(),
        RANDOM.half(),
        RANDOM.bfloat16(),
        RANDOM * 2 - 1,
        RANDOM * 1.09 - 0.045,
        (RANDOM * 5 - 1.3),
        (RANDOM * 5 - 1.3).double() * 1e200,
        (RANDOM * 255).to(torch.uint8),
        (RANDOM * 255).int(),
        (RANDOM * 1000 - 300).short(),
        (RANDOM * 1e6).long(),
        RANDOM > 0.5,
        torch.where(RANDOM > 0.9, math.nan, RANDOM),
        torch.where(RANDOM > 0.9, math.inf, RANDOM * 40),
        torch.full_like(RANDOM, math.nan),
        torch.full_like(RANDOM, 7.5),
        torch.full_like(RANDOM, 1e38) * torch.tensor([1.0, -1.0, 3.0]).reshape(3, 1, 1),
        RANDOM[:, :1],
        RANDOM[:, 0],
        torch.cat([RANDOM, RANDOM[:, :1]], 1),
        RANDOM.permute(0, 2, 3, 1),
        RANDOM.contiguous(memory_format=torch.channels_last),
    ],
    ids=str(list(range(23)))[1:-1].split(", "),
)
def test_levels_are_those_of_numpy(pixels):
    said, expected_said = Notices(), Notices()
    layout = images._layout(tuple(pixels.shape))
    expected = mosaics.quantise(mosaics.host(pixels), expected_said)
    levels, *facts = reduce.pictures(torch, pixels, 512, layout)
    assert levels.dtype is torch.uint8
    assert np.abs(levels.numpy().astype(int) - expected.astype(int)).max() <= 1

    class Here(images.Parcel):
        def __init__(self): ...

        def arrays(self):
            return [levels.numpy(), *(f.numpy() for f in facts)]

    mosaics._levels(Here(), said)
    assert list(said.waiting) == list(expected_said.waiting), "the same is said of them"


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(64, 64, 32), (100, 37, 32), (37, 100, 33), (255, 254, 128), (129, 3, 128), (1000, 2, 16), (511, 512, 300)],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "NHW"])
def test_pictures_are_made_small_as_pillow_does(height, width, side, layout):
    channels = 1 if layout == "NHW" else 3
    pixels = np.random.RandomState(5).randint(0, 256, (2, height, width, channels), np.uint8)
    expected = np.stack([mosaics._shrunk(one, side) for one in pixels])
    given = torch.tensor(pixels)
    if layout == "NCHW":
        given = given.permute(0, 3, 1, 2)
    (small,) = reduce.pictures(torch, given[..., 0] if layout == "NHW" else given, side, layout)
    if layout == "NCHW":
        small = small.permute(0, 2, 3, 1)
    small = small[..., None] if layout == "NHW" else small
    assert small.shape == expected.shape
    assert np.abs(small.numpy().astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize(
    "scores",
    [
        torch.randn(40, 7, generator=torch.Generator().manual_seed(1)),
        torch.randn(40, 7, generator=torch.Generator().manual_seed(1)).bfloat16(),
        torch.tensor([[1.0, math.nan], [math.inf, 0.0], [0.0, -math.inf], [2.0, 2.0], [-1.0, 3.0]]),
        torch.randint(-5, 5, (6, 3), generator=torch.Generator().manual_seed(1)),
        torch.tensor([-800.0, 0.0, math.nan, 3.0]),
        torch.tensor([[1e300], [-2.0], [math.inf]], dtype=torch.float64),
    ],
)
def test_classes_and_confidence_are_those_of_numpy(scores):
    expected = labels._of_logits(labels.host(scores).astype(np.float64), 16)
    classes, sure = reduce.logits(torch, scores, 16)
    assert classes.dtype is sure.dtype is torch.float64
    np.testing.assert_array_equal(classes.numpy(), expected[0])
    np.testing.assert_allclose(sure.numpy(), expected[1], rtol=1e-6)


PLAIN = torch.linspace(0, 1, 16 * 3 * 8 * 8).reshape(16, 3, 8, 8)


@pytest.mark.parametrize(
    ("pictures", "arguments"),
    [
        (PLAIN, {"logits": torch.eye(16), "targets": torch.arange(16) % 5}),
        (torch.cat([PLAIN] * 2), {"predictions": torch.arange(32) % 3, "confidence": torch.rand(32)}),
        (PLAIN, {"targets": torch.eye(16)[:, :4], "predictions": torch.zeros(16, 1)}),
        (PLAIN[0], {"targets": torch.tensor(3), "predictions": torch.tensor(3), "loss": torch.tensor(0.5)}),
        (PLAIN, {"logits": torch.randn(16), "targets": torch.full((16,), -100)}),
        (list(PLAIN), {"targets": torch.arange(16)}),
        ([p.permute(1, 2, 0) for p in PLAIN], {}),
        ([p[0] for p in PLAIN], {}),
        ([PLAIN[0], PLAIN[1, :, :5, :6], PLAIN[2, 0, :3]], {}),
        (torch.cat([PLAIN, PLAIN[:, :1]], 1), {}),
        (torch.linspace(0, 1, 700 * 1300).reshape(700, 1300).expand(2, 3, 700, 1300), {}),
    ],
)  # fmt: skip
def test_a_viewer_sees_no_difference(both, pictures, arguments):
    here, there = both(pictures, **arguments)
    assert rest(there) == rest(here)
    assert there.confidence == pytest.approx(here.confidence)
    assert np.abs(sheet(there) - sheet(here)).max() <= 4, "JPEG of levels that differ by one"


def test_of_very_many_classes_no_copy_is_made_on_the_device(both, monkeypatch):
    monkeypatch.setattr(labels, "LARGE", 100)
    scores = torch.randn(20, 50, generator=torch.Generator().manual_seed(1))
    here, there = both(torch.rand(20, 8, 8), logits=scores, targets=torch.arange(20))
    assert rest(there) == rest(here)
    assert there.confidence == pytest.approx(here.confidence)


def test_a_list_may_lie_in_both_places(gpu, backend, fake, wait_for):
    backend.prompt = True
    gpu.log_batch([on_device(PLAIN[0]), PLAIN[0].numpy(), Image.new("L", (4, 4), 255)])
    batch = wait_for(lambda: fake.batches)[0]
    tiles = sheet(batch)
    assert np.abs(tiles[:8, :8] - tiles[:8, 8:16]).max() <= 4


# --- on the way ------------------------------------------------------------------------------------------------------


def test_the_training_thread_takes_a_snapshot_and_the_rest_is_done_beside_it(
    gpu, backend, fake, wait_for
):
    pictures, targets = on_device(PLAIN.clone()), on_device(torch.arange(16))
    gpu.log_batch(pictures, targets=targets)
    pictures.fill_(0.0)  # the next batch in the same memory
    targets.fill_(0)
    side = wait_for(lambda: backend._streams.get("side 0"))
    wait_for(lambda: len(backend.copies) == 3)
    assert not side.run(10**9), "it waits for the snapshot"
    assert not fake.batches
    assert OnDevice.streams == [side] * 2
    assert backend.asked_by == backend.tolerant == {"nbmonitor-outbox"}
    backend.run()
    batch = wait_for(lambda: fake.batches)[0]
    assert batch.truth == tuple(range(16))
    assert sheet(batch)[-1, -1].min() > 240
    assert (16, 3, 8, 8) in backend.copies, "bytes, not floats"
    assert backend.pinned_bytes[0] == 16 * 3 * 8 * 8


def test_a_device_far_behind_gets_few_frames_and_the_newest_wins(gpu, backend, fake, wait_for):
    for step in range(10):
        gpu.log_batch(on_device(PLAIN), step=step)
        wait_for(lambda: len(gpu._outbox._arrivals._frames) == 3 or not gpu._outbox._frames)
    time.sleep(0.1)
    assert len(backend.copies) == 6, "pictures and facts of three"
    assert gpu._outbox.replaced == 6
    backend.run()
    wait_for(lambda: len(fake.batches) == 3)
    wait_for(lambda: backend.run() or len(fake.batches) == 4)
    from nbmonitor.events import Batch

    assert [e.step for e in fake.events if isinstance(e.payload, Batch)] == [0, 1, 2, 9]


def test_values_do_not_wait_for_pictures(gpu, backend, fake, wait_for):
    gpu.log_batch(on_device(PLAIN), loss=on_device(0.5))
    wait_for(lambda: len(backend.copies) == 3)
    gpu.log(x=1.0)
    from test_device import values

    wait_for(lambda: values(fake) == [1.0])
    backend.run()
    assert wait_for(lambda: fake.batches)[0].loss == 0.5


def test_what_is_odd_of_the_pixels_is_said(gpu, backend, fake, wait_for):
    backend.prompt = True
    gpu.log_batch(on_device(torch.where(PLAIN > 0.5, math.nan, PLAIN * 9)))
    wait_for(lambda: fake.batches)
    with pytest.warns(UserWarning) as caught:
        gpu.log(x=1.0)
    assert {c.filename for c in caught} == {__file__}
    assert ["NaN" in str(c.message) or "from 0 to 4.5" in str(c.message) for c in caught] == [
        True
    ] * 2


def test_a_batch_that_cannot_be_shown_is_listed(gpu, backend, fake, wait_for, recwarn):
    backend.prompt = True
    gpu.log_batch(on_device(torch.zeros(2, 3, 4, 4, dtype=torch.complex64)))
    line = wait_for(lambda: fake.payloads(LogLine))[0]
    assert "complex64 cannot be shown" in line.text
    gpu.log_batch(on_device(PLAIN))
    wait_for(lambda: fake.batches)


def test_a_device_that_fails_is_listed_and_the_loop_goes_on(gpu, backend, fake, wait_for, recwarn):
    gpu.log_batch(on_device(PLAIN))
    wait_for(lambda: len(backend.copies) == 2)
    backend.error = RuntimeError("CUDA error: an illegal memory access was encountered")
    assert "illegal memory" in wait_for(lambda: fake.payloads(LogLine))[0].text
    gpu.log(y=1.0)
    assert gpu._outbox.flush()


def test_at_the_end_a_picture_gets_a_moment(gpu, backend, fake, monkeypatch):
    monkeypatch.setattr(arrivals, "MOMENT", 100)
    gpu.log_batch(on_device(PLAIN))
    began = time.monotonic()
    gpu.finish()
    assert 0.1 <= time.monotonic() - began < 2
    assert not fake.batches
    assert not fake.payloads(Gap), "newer pictures replace older ones, values alone are promised"


def test_the_last_picture_is_shown(gpu, backend, fake):
    backend.prompt = True
    gpu.log_batch(on_device(PLAIN))
    gpu.finish()
    assert len(fake.batches) == 1
