"""``run.track(...)`` and ``run.epochs(n)``: loops that stop, pause and report at their boundaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nbmonitor.events import RunState
from nbmonitor.training.progress import Loop, length_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.training.driver import Driver

T = TypeVar("T")


class Track(Generic[T]):
    """An iterable that reports the progress of each pass over it.

    It has the length of what it wraps (a TypeError, as from ``len``, where that has none), and each ``iter()`` is a new
    pass, so that ``enumerate``, ``zip`` and progress bars work outside of it.
    """

    def __init__(
        self,
        driver: Driver,
        iterable: Iterable[T],
        split: str,
        total: int | None,
        label: str,
        rebuilt: Callable[[Iterable[T]], Iterable[T]],
    ) -> None:
        self._driver = driver
        self._iterable = iterable
        self._split = split
        self._total = total
        self._label = label
        self._rebuilt = rebuilt

    def __len__(self) -> int:
        return len(self._rebuilt(self._iterable))  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[T]:
        if self._driver._gate and not self._driver._enter(looping=True):
            return iter(self._iterable)
        return _Pass(self)

    def __getattr__(self, name: str) -> Any:
        """What else a loader offers (``dataset``, ``batch_size``, ``sampler``) is that of what is wrapped."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._iterable, name)


class _Pass(Iterator[T]):
    """One pass. The boundary runs at the top of ``__next__``, before the next item is fetched."""

    def __init__(self, track: Track[T]) -> None:
        self._track = track
        self._driver = track._driver
        self._source: Iterator[T] | None = None
        self._loop: Loop | None = None
        self._over = False

    def __next__(self) -> T:
        if self._over:
            raise StopIteration
        driver = self._driver
        if driver._gate and not driver._enter(looping=True):  # a forked child goes on without us
            return next(self._plain())
        try:
            if self._loop is None:
                self._loop = Loop(self._track._split, None, self._track._label)
                self._loop.total = self._length()
                go_on = driver._begin(self._loop)
                if go_on:
                    self._source = self._open()
            else:
                go_on = driver._boundary(self._loop)
            if not go_on or self._source is None:
                raise StopIteration
            item = next(self._source)
        except StopIteration:
            self._close(complete=True)
            raise
        except BaseException:  # the loader's own error, or Ctrl-C: the user's to see
            self._close(complete=False)
            raise
        progress = driver._progress
        if self._loop.counts:
            length = length_of(item)
            if length is not None:
                progress.samples += length
                if self._loop.batch == 0:
                    driver._fact(batch_size=length)
        return item

    def _plain(self) -> Iterator[T]:
        if self._source is None:
            self._source = iter(self._track._iterable)
        return self._source

    def _open(self) -> Iterator[T]:
        """Fetch the iterator after the boundary: a new batch size counts from this pass on."""
        iterable = self._track._rebuilt(self._track._iterable)
        if self._loop is not None:
            total = self._length()
            if total != self._loop.total:
                self._loop.total = total
                if self._loop.counts and total is not None:
                    self._driver._fact(batches_per_epoch=total)
        return iter(iterable)

    def _length(self) -> int | None:
        if self._track._total is not None:
            return self._track._total
        try:
            return len(self._track)
        except Exception:  # it has none, or cannot tell
            return None

    def _close(self, *, complete: bool) -> None:
        self._over = True
        self._source = None
        if self._loop is not None:
            self._driver._leave(self._loop, complete=complete)

    def __del__(self) -> None:
        try:
            if not self._over and self._loop is not None:
                self._close(complete=False)
        except Exception:  # the interpreter is being torn down
            pass


class Epochs(Iterator[int]):
    """Numbers of epochs. After the outermost one ran out, the run is over."""

    def __init__(self, driver: Driver, count: int) -> None:
        self._driver = driver
        self._count = count
        self._done = 0
        self._first = 0
        self._open = self._over = self._plain = False

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return True

    def __next__(self) -> int:
        if self._over:
            raise StopIteration
        driver = self._driver
        if self._plain or (driver._gate and not driver._enter(looping=True)):
            self._plain = True
            return self._number()
        progress = driver._progress
        now = driver._monotonic()
        if not self._open:
            self._begin()
        elif driver._epoch_loops[:1] == [self] and progress.in_epoch:
            driver._end_epoch(now)
        if not driver._look("train") or self._done >= self._count:
            self._close()
            raise StopIteration
        if driver._epoch_loops[:1] == [self]:
            driver._begin_epoch(now)
        return self._number()

    def _number(self) -> int:
        if self._done >= self._count:
            self._over = True
            raise StopIteration
        self._done += 1
        return self._first + self._done - 1

    def _begin(self) -> None:
        driver = self._driver
        progress = driver._progress
        self._open = True
        driver._register()
        outermost = not driver._epoch_loops
        driver._epoch_loops.append(self)
        if outermost:
            driver._broken = False
            self._first = progress.epoch
            progress.first_epoch = progress.epoch
            progress.first_active = progress.active(driver._monotonic())
            progress.epochs = progress.epoch + self._count
            driver._fact(total_epochs=progress.epochs)

    def _close(self) -> None:
        """Run out, or stopped: the end of the run when this was the outermost."""
        self._over = True
        driver = self._driver
        if self not in driver._epoch_loops:
            return
        outermost = driver._epoch_loops[0] is self
        driver._epoch_loops.remove(self)
        if outermost:
            driver._end(RunState.STOPPED if driver._control.stops else RunState.COMPLETED, own=True)

    def __del__(self) -> None:
        try:
            if self._open and not self._over and self in self._driver._epoch_loops:
                if self._driver._epoch_loops[0] is self:
                    self._driver._broken = True
                    self._driver._progress.in_epoch = False
                self._driver._epoch_loops.remove(self)
        except Exception:  # the interpreter is being torn down
            pass
