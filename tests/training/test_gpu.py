"""The way from a device to here on a real one: nothing waits, nothing is torn, no capture is spoilt."""

from __future__ import annotations

import io
import math
import time

import numpy as np
import pytest
from PIL import Image

from nbmonitor.events import Batch
from nbmonitor.training import device, reduce

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() or torch.version.hip is not None,
        reason="needs an NVIDIA GPU that torch can use",
    ),
]

LONG = 300_000_000  # cycles of a kernel: 0.1 to 0.3 s


@pytest.fixture
def strict():
    """From here on whatever waits for the device raises, in every thread."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def there():
    return torch.device("cuda", torch.cuda.current_device())


def tiles(batch: Batch) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(batch.mosaic.data))).astype(int)


def batches(person):
    return person.payloads(Batch)


def test_a_hundred_steps_wait_for_nothing(run, person, there, wait_for, strict):
    model = torch.nn.Linear(12, 4, device=there)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.rand(64, 3, 2, 2, device=there)
    targets = torch.zeros(64, dtype=torch.long, device=there)
    kept = []
    for i in range(100):
        logits = model(inputs.flatten(1))
        loss = torch.nn.functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        kept.append(loss.detach().clone())
        run.log(loss=loss, half=loss.bfloat16(), count=targets.sum(), here=float(i), step=i)
        run.log_batch(inputs, logits=logits, targets=targets, loss=loss, step=i)
    assert run._outbox.flush()
    shown = wait_for(lambda: batches(person))[0]
    torch.cuda.set_sync_debug_mode("default")
    expected = torch.stack(kept).tolist()
    assert run.history("loss")[1].tolist() == pytest.approx(expected)
    assert run.history("half")[1].tolist() == pytest.approx(expected, rel=0.01)
    assert run.history("count")[1].tolist() == [0.0] * 100
    assert run._outbox.lost == 0
    assert shown.counted == 64
    assert shown.loss == pytest.approx(expected[0])


@pytest.mark.parametrize(
    "dtype",
    "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split(),  # noqa: SIM905
)
@pytest.mark.parametrize("among", [False, True], ids=["alone", "among others"])
def test_any_type_comes_through(run, there, dtype, among, strict):
    torch.cuda.set_sync_debug_mode("default")
    given = torch.tensor(1, device=there).to(getattr(torch, dtype))
    beside = {"f": torch.tensor(0.1, device=there, dtype=torch.float64)} if among else {}
    torch.cuda.set_sync_debug_mode("error")
    run.log(x=given, nan=given.double() * math.nan, **beside)
    assert run.history("x")[1].tolist() == [1.0]
    assert math.isnan(run.history("nan")[1][0])
    if among:
        assert run.history("f")[1].tolist() == [0.1]


def test_a_value_is_what_it_was_at_the_call(run, there):
    value = torch.zeros((), device=there)
    pair = torch.zeros((), device=there)
    torch.cuda._sleep(LONG)
    for i in range(50):
        value.fill_(i)
        run.log(x=value, step=i)
        run.log(y=value, z=pair, step=i)
        pair.add_(1)
    del value, pair
    torch.rand(1 << 20, device=there)  # memory that was let go of is used again
    assert run._outbox.flush(20)
    assert run.history("x")[1].tolist() == list(range(50))
    assert run.history("y")[1].tolist() == list(range(50))
    assert run.history("z")[1].tolist() == list(range(50))


def test_the_call_returns_while_the_device_is_busy(run, there):
    value = torch.ones((), device=there)
    run.log(x=value, step=0)  # pinned memory is made
    assert run._outbox.flush()
    torch.cuda._sleep(LONG)
    began = time.perf_counter()
    run.log(x=value, y=value, step=1)
    assert not torch.cuda.current_stream().query(), "the device is still busy"
    assert time.perf_counter() - began < 0.05
    assert run._outbox.flush(20)
    assert run.history("y")[1].tolist() == [1.0]


def test_a_full_ring_drops_and_counts(run, there, monkeypatch):
    monkeypatch.setattr(device, "SLOTS", 8)
    value = torch.ones((), device=there)
    torch.cuda._sleep(LONG)
    for i in range(20):
        run.log(x=value, step=i)
    assert run._outbox.flush(20)
    assert len(run.history("x")[1]) == 8
    assert run._outbox.lost == 12
    run.log(x=value, step=20)
    assert len(run.history("x")[1]) == 9


def test_after_inference_mode_slots_can_still_be_written(run, there):
    with torch.inference_mode():
        run.log(x=torch.ones((), device=there), step=0)
        run.log_batch(torch.rand(4, 3, 8, 8, device=there), step=0)
    run.log(x=torch.ones((), device=there), step=1)
    with torch.inference_mode():
        run.log(x=torch.ones((), device=there), step=2)
    assert run.history("x")[1].tolist() == [1.0] * 3


def test_a_default_device_is_no_place_for_pinned_memory(run, there):
    torch.set_default_device(there)
    try:
        run.log(x=torch.ones(()))
        run.log_batch(torch.rand(4, 3, 8, 8))
        assert run.history("x")[1].tolist() == [1.0]
    finally:
        torch.set_default_device(None)


def test_a_stream_of_ones_own(run, there):
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(LONG)
        run.log(slow=torch.ones((), device=there))
    run.log(quick=torch.ones((), device=there))
    assert run.history("quick")[1].tolist() == [1.0]
    assert run._outbox.flush(20)
    assert run.history("slow")[1].tolist() == [1.0]


def test_capturing_a_graph_beside_values_that_are_on_their_way(run, there):
    static = torch.ones(8, device=there)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            static * 2
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    for i in range(30):  # asked for by the worker while the graph is captured
        run.log(x=static.sum(), step=i)
        run.log_batch(torch.rand(4, 3, 8, 8, device=there), step=i)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        end = time.monotonic() + 0.5
        out = static * 2
        while time.monotonic() < end:
            run._outbox._bell.ring()
            time.sleep(0.001)
        with pytest.warns(UserWarning, match="captured"):
            run.log(y=out.sum(), z=1.0)
    static.fill_(3.0)
    graph.replay()
    run.log(after=out.sum())
    assert run.history("after")[1].tolist() == [48.0]
    assert len(run.history("x")[1]) == 30
    assert run.history("y")[1].tolist() == []
    assert run.history("z")[1].tolist() == [1.0]
    assert run._outbox.lost == 1


def test_a_picture_is_what_it_was_at_the_call(run, person, there, wait_for, strict):
    torch.cuda.set_sync_debug_mode("default")
    pictures = torch.ones(16, 3, 32, 32, device=there)
    targets = torch.arange(16, device=there)
    torch.cuda.set_sync_debug_mode("error")
    torch.cuda._sleep(LONG)
    run.log_batch(pictures, targets=targets)
    pictures.zero_()
    targets.zero_()
    del pictures, targets
    torch.zeros(16 * 3 * 32 * 32, device=there)
    batch = wait_for(lambda: batches(person), timeout=20)[0]
    assert tiles(batch).min() > 250
    assert batch.truth == tuple(range(16))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "NHW"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "uint8", "int32"])
def test_what_is_worked_out_there_is_what_is_worked_out_here(there, layout, dtype):
    generator = torch.Generator().manual_seed(3)
    shape = {"NCHW": (4, 3, 90, 70), "NHWC": (4, 90, 70, 3), "NHW": (4, 90, 70)}[layout]
    for low, high in ((0, 1), (-1, 1), (-3, 9), (0, 255)):
        pixels = (torch.rand(shape, generator=generator) * (high - low) + low).clamp(
            min=0 if dtype == "uint8" else None
        )
        pixels = pixels.to(getattr(torch, dtype))
        here = reduce.pictures(torch, pixels, 32, layout)
        gone = reduce.pictures(torch, pixels.to(there), 32, layout)
        assert (here[0].int() - gone[0].cpu().int()).abs().max() <= 1
        for ours, theirs in zip(here[1:], gone[1:], strict=True):
            assert torch.allclose(ours, theirs.cpu())
    scores = torch.randn(100, 7, generator=generator)
    scores[3, 2] = math.nan
    for ours, theirs in zip(
        reduce.logits(torch, scores, 16), reduce.logits(torch, scores.to(there), 16), strict=True
    ):
        assert torch.allclose(ours, theirs.cpu(), equal_nan=True)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_devices(run):
    run.log(a=torch.ones((), device="cuda:0"), b=torch.full((), 2.0, device="cuda:1"))
    with torch.cuda.device(1):
        run.log(c=torch.full((), 3.0, device="cuda:0"))
    assert [run.history(n)[1].tolist() for n in "abc"] == [[1.0], [2.0], [3.0]]
