"""Our trainer in the contract's own words: what a server sees that knows nothing else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nbmonitor.events import (
    EPOCH_SERIES,
    Batch,
    Column,
    Device,
    Epoch,
    Event,
    LogLine,
    Mosaic,
    Performance,
    Picture,
    Resources,
    RunState,
    Scalars,
    Status,
)
from nbmonitor.rpc.codec import ingest_pb2 as pb
from nbmonitor.rpc.plain import Plain, crop

COLOURS = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (200, 200, 10)]


def mosaic():
    sheet = Image.new("RGB", (64, 32))
    for k, colour in enumerate(COLOURS):
        sheet.paste(colour, (k % 2 * 32, k // 2 * 16, k % 2 * 32 + 32, k // 2 * 16 + 16))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=95)
    return Mosaic(out.getvalue(), 2, 2, 32, 16)


def said(payload, step=0, pictured=None, plain=None):
    plain = plain or Plain("s")
    requests = plain.event(Event("r", step, 1000.0, payload), pictured)
    return [pb.MetricsRequest.FromString(data) for data in requests]


def test_tiles_become_jpegs_of_their_own():
    tiles = [Image.open(io.BytesIO(data)) for data in crop(mosaic(), 4)]
    assert [t.size for t in tiles] == [(32, 16)] * 4
    for tile, colour in zip(tiles, COLOURS, strict=True):
        assert tile.format == "JPEG"
        assert np.abs(np.array(tile)[8, 16].astype(int) - colour).max() < 12
    assert len(list(crop(mosaic(), 3))) == 3


def test_losses_become_batches_and_the_picture_goes_with_the_last():
    times = np.full(3, 1000.0)
    columns = (
        Column("lr", np.arange(3), np.full(3, 0.1), times),
        Column("loss", np.array([4, 5, 6]), np.array([3.0, 2.0, 1.0]), times),
        Column(EPOCH_SERIES, np.array([6]), np.array([2.5]), times[:1]),
    )
    batch = Batch(4, 9, mosaic=mosaic(), predicted=(1, None), confidence=(0.5,), truth=(7, None))
    requests = said(Scalars(columns), 6, Event("r", 6, 1000.0, batch))
    assert [r.batch_data.batch_idx for r in requests] == [4, 5, 6]
    assert [r.batch_data.batch_loss for r in requests] == [3.0, 2.0, 1.0]
    assert {r.batch_data.epoch for r in requests} == {2}
    assert [len(r.batch_data.images) for r in requests] == [0, 0, 4]
    last = requests[-1].batch_data
    assert [p.predicted_class for p in last.predictions] == [1, -1]
    assert list(last.ground_truth) == [7, -1]
    assert said(Scalars(columns[:1])) == [], "the contract has one word for values: batch_loss"


def test_pictures_without_a_mosaic_and_without_a_loss():
    plain = Plain("s")
    batch = Batch(2, 2, epoch=3, pictures=(Picture(b"a"), None), loss=0.25)
    request = pb.MetricsRequest.FromString(plain.picture(Event("r", 8, 1000.0, batch)))
    b = request.batch_data
    assert (b.epoch, b.batch_idx, b.batch_loss) == (3, 8, 0.25)
    assert [i.image_bytes for i in b.images] == [b"a", b""]
    with pytest.raises(TypeError):
        plain.picture(Event("r", 0, 0.0, LogLine("x")))


def test_epochs_figures_and_states():
    (epoch,) = said(Epoch(2, {"train_loss": 0.5, "accuracy": 0.75, "other": 1.0}))
    assert epoch.epoch_data.average_loss == 0.5
    assert epoch.epoch_data.average_accuracy == 0.75
    figures = Performance(
        fps=30.0,
        fps_average=20.0,
        median_step=0.05,
        eta=9.0,
        resources=Resources(50.0, 900.0, None, (Device(0, "GPU", 70.0, 4000.0),)),
    )
    (p,) = said(figures)
    p = p.performance_data
    assert (p.current_fps, p.average_fps, p.time_per_batch_ms) == (30.0, 20.0, 50.0)
    assert (p.resource_usage.gpu_percent, p.resource_usage.memory_mb) == (70.0, 900.0)
    (bare,) = said(Performance(fps=1.0))
    assert not bare.performance_data.HasField("resource_usage")
    states = {
        RunState.RUNNING: 2,
        RunState.PAUSED: 3,
        RunState.STOPPING: 2,
        RunState.COMPLETED: 4,
        RunState.STOPPED: 4,
        RunState.FAILED: 5,
        RunState.INTERRUPTED: 5,
    }
    for state, number in states.items():
        (request,) = said(Status(state, "why"))
        assert (request.status_update.status, request.status_update.message) == (number, "why")
    assert said(LogLine("not in the contract")) == []


def test_nothing_of_ours_is_in_what_the_contract_reads():
    """A server of the contract that refuses unknown fields would have nothing to refuse."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    for request in (
        *said(Epoch(1, {"average_loss": 1.0})),
        *said(Performance()),
        *said(Status(RunState.RUNNING)),
    ):
        names = [f.number for f, _ in request.ListFields()]
        names += [f.number for f, _ in getattr(request, request.WhichOneof("payload")).ListFields()]
        assert all(number < 100 for number in names)
        assert len(UnknownFieldSet(request)) == 0
