"""A batch on its way from the training thread to the worker, and the rate at which batches are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmonitor.events import Batch
from nbmonitor.training import images, labels, mosaics
from nbmonitor.training.capture import read
from nbmonitor.training.device import Pending
from nbmonitor.training.parcels import arrived

if TYPE_CHECKING:
    from nbmonitor.training.notices import Notices

MAX_SPLITS = 32  # that are paced apart; further ones share the pace of ""


@dataclass(slots=True)
class Frame:
    """A snapshot of one batch: the first 16 pictures, and the labels of all of it."""

    step: int
    when: float
    split: str
    epoch: int | None
    batch: int | None
    pictures: Any
    layout: str
    total: int
    logits: Any
    predictions: Any
    confidence: Any
    targets: Any
    loss: Any
    sample_ids: tuple[str, ...]

    def arrived(self, side: int) -> bool:
        """Whether all of it is here, for the worker; what lies on a device is sent when this is first asked.

        ``side``: widest side of a tile, in pixels.
        """
        parts = (self.pictures, self.logits, self.predictions, self.confidence, self.targets)
        here = [arrived(part, side) for part in parts]
        return all(here) and (type(self.loss) is not Pending or self.loss.ready)


class Pace:
    """Says, split by split, whether a frame is due: as many a second as viewers want, before anything is copied."""

    def __init__(self) -> None:
        self._splits: dict[
            str, tuple[float, float]
        ] = {}  # last taken, next due (monotonic seconds)

    def due(self, split: str, now: float, interval: float) -> bool:
        """Whether a frame may be taken ``now`` when ``interval`` seconds should lie between two."""
        known = self._splits.get(split)
        if known is None:
            if len(self._splits) >= MAX_SPLITS and split:
                return self.due("", now, interval)
            self._splits[split] = (now, now + interval)
            return True
        last, due = known
        if now < due and now < last + interval:  # the latter: viewers came, the interval shrank
            return False
        # What came late is credited to the next: steps of 14 ms give nearly 60 frames a second, not every second step
        self._splits[split] = (now, max(min(due, now), now - interval) + interval)
        return True


class Encoder:
    """Turns frames into :class:`~nbmonitor.events.Batch` payloads, on the worker."""

    def __init__(self, buffers: images.Buffers, notices: Notices) -> None:
        self._buffers = buffers
        self._notices = notices

    def __call__(self, frame: Frame, pixels: int) -> tuple[int, float, Batch]:
        """Step, time and payload of a frame that has arrived; tiles up to ``pixels`` wide."""
        loss = frame.loss
        if type(loss) is Pending:
            loss = loss.settle().get("loss")
        try:
            side = min(images.MAX_SIDE, pixels)
            tiles = mosaics.tiles(frame.pictures, frame.layout, side, self._notices)
            mosaic = mosaics.mosaic(tiles)
        finally:
            self._buffers.give(frame.pictures)
        count = len(tiles)
        verdict = labels.judge(
            count,
            frame.total,
            logits=frame.logits,
            predictions=frame.predictions,
            confidence=frame.confidence,
            targets=frame.targets,
        )
        batch = Batch(
            count,
            frame.total,
            split=frame.split,
            epoch=frame.epoch,
            batch=frame.batch,
            mosaic=mosaic,
            predicted=verdict.predicted,
            confidence=verdict.confidence,
            truth=verdict.truth,
            sample_ids=frame.sample_ids,
            right=verdict.right,
            counted=verdict.counted,
            loss=None if loss is None else read(loss),
        )
        return frame.step, frame.when, batch
