"""Our trainer toward a server that knows only the published contract: the same run in the contract's own words."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from nbmonitor.events import EPOCH_SERIES, Batch, Performance, Scalars
from nbmonitor.rpc.codec import trainer as wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmonitor.events import Column, Event, Mosaic

LOSSES = ("loss", "train_loss", "train/loss", "batch_loss")
"""Names of series that may be the contract's ``batch_loss``, first come first."""


class Plain:
    """Translates events. It has one memory: the epoch and the loss that were last told.

    Parameters
    ----------
    session_id
        What the run was registered as.
    """

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._epoch = 0
        self._loss = 0.0

    def event(self, event: Event, pictured: Event | None) -> Iterator[bytes]:
        """Requests that say what an event says; a waiting picture goes with the last batch of a block."""
        payload = event.payload
        if isinstance(payload, Scalars):
            yield from self._scalars(event, payload, pictured)
            return
        if isinstance(payload, Performance) and payload.epoch is not None:
            self._epoch = max(payload.epoch - 1, 0)
        told = wire.plain(self._session_id, event)
        if told is not None:
            yield told
        if pictured is not None:
            yield self.picture(pictured)

    def picture(self, event: Event, step: int | None = None) -> bytes:
        """A batch with its tiles as separate JPEGs."""
        batch = event.payload
        if not isinstance(batch, Batch):
            raise TypeError("a batch was expected")
        if batch.loss is not None:
            self._loss = batch.loss
        images = tuple(crop(batch.mosaic, batch.count)) if batch.mosaic is not None else ()
        if batch.mosaic is None:
            images = tuple(p.data if p is not None else b"" for p in batch.pictures)
        plain = wire.PlainBatch(
            self._epoch if batch.epoch is None else batch.epoch,
            event.step if step is None else step,
            self._loss,
            images,
            batch.predicted[: batch.count],
            batch.confidence[: batch.count],
            batch.truth[: batch.count],
        )
        return wire.plain_batch(self._session_id, event.time, plain)

    def _scalars(self, event: Event, scalars: Scalars, pictured: Event | None) -> Iterator[bytes]:
        columns = {c.name: c for c in scalars.columns if c.kind == "step"}
        epochs = columns.get(EPOCH_SERIES)
        if epochs is not None and len(epochs.values):
            self._epoch = max(int(epochs.values[-1]), 0)
        losses = next((columns[n] for n in LOSSES if n in columns), None)
        yield from self._losses(event, losses, whole=pictured is None)
        if pictured is not None:
            last = None if losses is None or not len(losses.steps) else int(losses.steps[-1])
            yield self.picture(pictured, last)

    def _losses(self, event: Event, losses: Column | None, *, whole: bool) -> Iterator[bytes]:
        if losses is None or not len(losses.steps):
            return
        pairs = list(zip(losses.steps.tolist(), losses.values.tolist(), strict=True))
        self._loss = pairs[-1][1]
        for step, loss in pairs if whole else pairs[:-1]:
            batch = wire.PlainBatch(self._epoch, step, loss)
            yield wire.plain_batch(self._session_id, event.time, batch)


def crop(mosaic: Mosaic, count: int) -> Iterator[bytes]:
    """The tiles of a mosaic as JPEGs of their own."""
    with Image.open(io.BytesIO(mosaic.data)) as opened:
        whole = opened.convert("RGB")
    for k in range(count):
        row, column = divmod(k, max(mosaic.columns, 1))
        x, y = column * mosaic.width, row * mosaic.height
        out = io.BytesIO()
        whole.crop((x, y, x + mosaic.width, y + mosaic.height)).save(out, "JPEG", quality=90)
        yield out.getvalue()
