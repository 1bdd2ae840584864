"""Numbers that lie on a device: sent without a wait, in order, kept or counted. The device is pretended."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import threading
import time

import pytest

from nbmonitor.errors import InputError
from nbmonitor.events import Epoch, Gap, Scalars, Status
from nbmonitor.training import arrivals, capture, device
from nbmonitor.training.arrivals import Arrivals
from nbmonitor.training.device import Device, Ring
from nbmonitor.training.notices import Notices

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from fake_device import Backend, OnDevice, on_device  # noqa: E402  # needs torch
from torch.multiprocessing.reductions import StorageWeakRef  # noqa: E402


@pytest.fixture
def backend():
    OnDevice.streams.clear()
    return Backend()


@pytest.fixture
def gpu(make, backend):
    """Makes runs whose device is the pretended one."""

    def gpu(**options):
        run = make(**options)
        run._outbox.device._backend = backend
        return run

    return gpu


def values(fake, name="x"):
    return [
        v
        for e in fake.events
        if isinstance(e.payload, Scalars)
        for c in e.payload.columns
        if c.name == name
        for v in c.values.tolist()
    ]


def settle(run):
    """Let the worker look twice: what could have passed has passed."""
    for _ in range(2):
        run._outbox._urgent = True
        looked = run._outbox.device.poll
        seen = threading.Event()

        def poll(looked=looked, seen=seen):
            looked()
            seen.set()

        run._outbox.device.poll = poll
        run._outbox._bell.ring()
        assert seen.wait(5)
        run._outbox.device.poll = looked
    time.sleep(0.02)


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (torch.tensor(1.5), 1.5),
        (torch.tensor(0.1, dtype=torch.float64), 0.1),
        (torch.tensor(1.5, requires_grad=True), 1.5),
        (torch.tensor([[7.0]]), 7.0),
        (torch.tensor([7.0])[0], 7.0),
        (torch.tensor(1.5, dtype=torch.bfloat16), 1.5),
        (torch.tensor(1.5, dtype=torch.float16), 1.5),
        (torch.tensor(2**53 - 1, dtype=torch.int64), float(2**53 - 1)),
        (torch.tensor(-3, dtype=torch.int8), -3.0),
        (torch.tensor(True), 1.0),
        (torch.tensor(math.inf), math.inf),
        (torch.nn.Parameter(torch.tensor(2.0)), 2.0),
    ],
)
@pytest.mark.parametrize("among", [False, True], ids=["alone", "among others"])
def test_any_number_comes_through(gpu, backend, given, kept, among):
    run = gpu()
    backend.prompt = True
    beside = {"a": on_device(torch.tensor(0.25)), "b": on_device(torch.tensor(3))} if among else {}
    run.log({**beside, "x": on_device(given), "here": 4.0})
    assert run.history("x")[1].tolist() == [kept]
    assert run.history("here")[1].tolist() == [4.0]
    if among:
        assert run.history("a")[1].tolist() == [0.25]
        assert run.history("b")[1].tolist() == [3.0]
    assert len(backend.copies) == 1, "one copy a call, whatever the types"


def test_nan_stays_nan(gpu, backend):
    run = gpu()
    backend.prompt = True
    run.log(x=on_device(math.nan))
    assert math.isnan(run.history("x")[1][0])


def test_values_of_one_type_are_copied_as_they_are_and_pinned_memory_is_made_once(gpu, backend):
    run = gpu()
    backend.prompt = True
    for i in range(50):
        run.log(a=on_device(float(i)), b=on_device(float(-i)), step=i)
    assert run.history("a")[1].tolist() == list(range(50))
    assert run.history("b")[1].tolist() == [-float(i) for i in range(50)]
    assert backend.copies == [(2,)] * 50
    assert backend.pinned_bytes == [device.SLOTS * device.CELLS * 8]


def test_many_values_take_several_copies(gpu, backend):
    run = gpu()
    backend.prompt = True
    run.log({f"v{i}": on_device(float(i)) for i in range(70)})
    assert [run.history(f"v{i}")[1].tolist() for i in range(70)] == [[float(i)] for i in range(70)]
    assert backend.copies == [(32,), (32,), (6,)]


def test_a_value_is_what_it_was_at_the_call(gpu, backend):
    run = gpu()
    alone, one, two = on_device(1.0), on_device(2.0), on_device(3.0)
    run.log(alone=alone)
    run.log(one=one, two=two)
    for tensor in (alone, one, two):
        tensor.fill_(9.0)
    del alone, one, two, tensor
    backend.run()
    assert [run.history(n)[1].tolist() for n in ("alone", "one", "two")] == [[1.0], [2.0], [3.0]]


def test_no_tensor_is_kept_or_marked(gpu, backend):
    run = gpu()
    large = on_device(torch.zeros(1000))
    one, two = large[0], on_device(2.0)
    memory = [StorageWeakRef(t.untyped_storage()) for t in (large, two)]
    run.log(x=one, y=two)
    run.log(x=one)
    assert not any(ref.expired() for ref in memory)
    del large, one, two
    gc.collect()
    assert all(ref.expired() for ref in memory)
    assert OnDevice.streams == []
    backend.run()


def test_only_the_worker_asks_and_it_spoils_no_capture(gpu, backend):
    run = gpu()
    run.log(x=on_device(1.0))
    backend.run()
    assert run.history("x")[1].tolist() == [1.0]
    assert backend.asked_by == {"nbmonitor-outbox"}
    assert backend.tolerant == {"nbmonitor-outbox"}


def test_what_is_no_real_number_is_left_out_at_the_line(gpu, backend):
    run = gpu()
    backend.prompt = True

    class Spread(OnDevice):
        def full_tensor(self): ...

    with pytest.warns(UserWarning, match="complex") as caught:
        run.log(x=on_device(1 + 1j), y=on_device(1.0))
    assert caught[0].filename == __file__
    assert run.history("y")[1].tolist() == [1.0]
    with pytest.raises(InputError, match="full_tensor"):
        capture.number(torch.tensor(1.0).as_subclass(Spread))
    with pytest.raises(InputError, match="3 elements"):
        capture.number(on_device([1.0, 2.0, 3.0]))


# --- order -----------------------------------------------------------------------------------------------------------


def test_a_series_waits_for_its_earlier_values_and_nothing_else_does(gpu, backend, fake, wait_for):
    run = gpu(sink=fake)
    run.log(x=on_device(1.0), y=10.0, step=1)
    run.log(x=2.0, z=20.0, step=2)
    run.log(z=21.0, step=3)  # z waits: its value of step 2 does
    run.log(free=30.0, step=3)
    wait_for(lambda: values(fake, "free") == [30.0])
    settle(run)
    assert [values(fake, n) for n in "xyz"] == [[], [], []]
    backend.run()
    wait_for(lambda: values(fake, "z") == [20.0, 21.0])
    assert values(fake, "x") == [1.0, 2.0]
    assert values(fake, "y") == [10.0]


def test_two_spellings_of_a_name_are_one_series(gpu, backend, fake, wait_for):
    run = gpu(sink=fake)
    run.log({"a\x00": on_device(1.0)}, step=1)
    run.log({"a\\x00": 2.0, "b": 0.0}, step=2)
    run.log(free=1.0, step=2)
    wait_for(lambda: values(fake, "free"))
    assert values(fake, "b") == []
    backend.run()
    wait_for(lambda: values(fake, "a\\x00") == [1.0, 2.0])


def test_words_pass_and_the_end_comes_last(gpu, backend, fake, wait_for):
    run = gpu(sink=fake)
    run.log(x=on_device(1.0))
    run._fact(batches_per_epoch=7)
    wait_for(lambda: any(getattr(e.payload, "batches_per_epoch", None) for e in fake.events))
    assert values(fake) == []
    timer = threading.Timer(0.1, backend.run)
    timer.start()
    run.finish()
    timer.join()
    assert values(fake) == [1.0]
    at = [i for i, e in enumerate(fake.events) if isinstance(e.payload, Scalars | Status)]
    assert isinstance(fake.events[at[-1]].payload, Status)
    assert fake.events[at[-1]].payload.state.ended
    assert run._outbox.lost == 0


def test_a_flush_waits_for_what_came_before_it(gpu, backend, fake):
    run = gpu(sink=fake)
    run.log(x=on_device(1.0))
    assert not run._outbox.flush(0.2)
    timer = threading.Timer(0.1, backend.run)
    timer.start()
    assert run._outbox.flush()
    timer.join()
    assert values(fake) == [1.0]


def test_streams_and_devices_do_not_hold_each_other_up(gpu, backend, fake, wait_for):
    run = gpu(sink=fake)
    run.log(slow=on_device(1.0), other=on_device(2.0, where=1), step=1)
    run.log(second=on_device(3.0, where=1), step=2)
    backend.currents[0] = backend.stream("another")
    run.log(beside=on_device(4.0), step=3)
    backend.run(backend.stream("main 1"), backend.stream("another"))
    wait_for(lambda: values(fake, "second") == [3.0])
    wait_for(lambda: values(fake, "beside") == [4.0])
    settle(run)
    assert values(fake, "other") == [], "it is of one call with another that is not here"
    backend.run()
    wait_for(lambda: values(fake, "slow") == [1.0] and values(fake, "other") == [2.0])


def test_rows_that_pile_up_are_bounded():
    lost = []
    sift = Arrivals(str, lambda n, why: lost.append((n, why)), most=10)
    backend = Backend()
    desk = Device(lambda *_: None, Notices(), lambda: None, backend)
    pending = desk.take({"y": 5.0}, {"x": on_device(1.0)})
    rows = [(0, 0.0, pending, True), *((i, 0.0, {"x": float(i)}, True) for i in range(1, 10))]
    assert sift.sift(rows) == []
    assert sift.waiting
    through = sift.sift([(10, 0.0, {"x": 10.0}, True)])
    assert [row[0] for row in through] == list(range(11))
    assert through[0][2] == {"y": 5.0}
    assert lost == [(1, device.UNFINISHED)]
    assert not sift.waiting


def test_an_epoch_comes_with_its_values(gpu, backend, fake, wait_for):
    run = gpu(sink=fake)
    run.log_epoch(loss=on_device(0.5), plain=2.0)
    run.log_epoch(loss=3.0)
    wait_for(lambda: fake.payloads(Epoch))
    assert [(e.epoch, dict(e.values)) for e in fake.payloads(Epoch)] == [(2, {"loss": 3.0})]
    backend.run()
    wait_for(lambda: len(fake.payloads(Epoch)) == 2)
    last = fake.payloads(Epoch)[1]
    assert (last.epoch, dict(last.values)) == (1, {"plain": 2.0, "loss": 0.5})


def test_several_threads_may_log(gpu, backend):
    run = gpu()
    backend.prompt = True

    def log(k):
        for i in range(100):
            run.log({f"t{k}": on_device(float(i))}, step=i)

    threads = [threading.Thread(target=log, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        assert run.history(f"t{k}")[1].tolist() == list(range(100))


# --- what is lost is counted -----------------------------------------------------------------------------------------


def test_a_full_ring_drops_and_counts_and_its_slots_come_back(
    gpu, backend, fake, wait_for, monkeypatch
):
    monkeypatch.setattr(device, "SLOTS", 4)
    run = gpu(sink=fake)
    for i in range(6):
        run.log(x=on_device(float(i)), y=float(i))
    assert run._progress.step == 5, "steps are counted, whatever becomes of the values"
    wait_for(lambda: run._outbox.lost == 2)
    backend.run()
    wait_for(lambda: values(fake, "y") == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    assert values(fake) == [0.0, 1.0, 2.0, 3.0]
    wait_for(lambda: [(g.reason, g.count) for g in fake.payloads(Gap)] == [(device.FULL, 2)])
    run.log(x=on_device(6.0))
    backend.run()
    wait_for(lambda: values(fake) == [0.0, 1.0, 2.0, 3.0, 6.0])
    assert len(backend.pinned_bytes) == 1


def test_a_slot_is_used_again_only_when_it_was_read(backend, monkeypatch):
    monkeypatch.setattr(device, "SLOTS", 2)
    woken = []
    ring = Ring(0, backend, lambda *_: None, lambda: woken.append(True))
    first, second = ring.send(["a"], [on_device(1.0)]), ring.send(["a"], [on_device(2.0)])
    assert woken == [True], "the worker is called when half are taken"
    backend.run()
    assert ring.send(["a"], [on_device(3.0)]) is None, "here, but not read"
    ring.poll()
    assert (first.values, second.values) == ([1.0], [2.0])
    third = ring.send(["a"], [on_device(3.0)])
    ring.poll()
    assert third.values is None
    backend.run()
    ring.poll()
    assert third.values == [3.0]
    assert (first.values, second.values) == ([1.0], [2.0])


def test_while_a_graph_is_captured_nothing_is_touched(gpu, backend, fake, wait_for):
    run = gpu(sink=fake)
    backend.captures = True
    with pytest.warns(UserWarning, match="CUDA graph was captured") as caught:
        for i in range(3):
            run.log(x=on_device(1.0), y=float(i))
            run.log_batch(on_device(torch.zeros(2, 3, 4, 4)))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert run._outbox.replaced == 1, "of three frames one was due"
    wait_for(lambda: values(fake, "y") == [0.0, 1.0, 2.0])
    wait_for(lambda: [(g.reason, g.count) for g in fake.payloads(Gap)])
    assert {g.reason for g in fake.payloads(Gap)} == {device.CAPTURED}
    assert run._outbox.lost == 3
    assert not backend._streams
    assert backend.copies == backend.pinned_bytes == []
    backend.captures = False
    run.log(x=on_device(2.0))
    backend.run()
    wait_for(lambda: values(fake) == [2.0])


def test_the_end_does_not_wait_for_ever(gpu, backend, fake, monkeypatch):
    monkeypatch.setattr(arrivals, "MOMENT", 100)
    run = gpu(sink=fake)
    run.log(x=on_device(1.0), y=2.0)
    began = time.monotonic()
    run.finish()
    assert 0.1 <= time.monotonic() - began < 2
    assert values(fake, "y") == [2.0]
    assert values(fake) == []
    assert [(g.reason, g.count) for g in fake.payloads(Gap)] == [(device.UNFINISHED, 1)]
    assert fake.payloads(Status)[-1].state.ended
    backend.run()
    with pytest.warns(UserWarning, match="opened it again"):
        run.log(x=on_device(3.0))
    backend.run()
    run.finish()
    assert values(fake) == [3.0]


def test_a_device_that_fails_costs_values_never_the_loop(gpu, backend, fake, wait_for):
    run = gpu(sink=fake)
    run.log(x=on_device(1.0), y=1.0)
    backend.error = RuntimeError("CUDA error: an illegal memory access was encountered")
    wait_for(lambda: values(fake, "y") == [1.0])
    wait_for(lambda: [(g.reason, g.count) for g in fake.payloads(Gap)] == [(device.FAILED, 1)])
    assert values(fake) == []


def test_a_device_that_takes_nothing_is_said_once(gpu, backend, fake, wait_for):
    run = gpu(sink=fake)
    backend.refuses = RuntimeError("no\nmemory")
    with pytest.warns(UserWarning, match="could not read 'x' from its device") as caught:
        for i in range(3):
            run.log(x=on_device(1.0), y=float(i))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    wait_for(lambda: values(fake, "y") == [0.0, 1.0, 2.0])
    assert run._outbox.lost == 3


def test_a_tensor_that_cannot_be_stacked_keeps_no_slot(backend, monkeypatch):
    monkeypatch.setattr(device, "SLOTS", 1)
    ring = Ring(0, backend, lambda *_: None, lambda: None)

    class Odd(OnDevice):
        def reshape(self, *_):
            raise RuntimeError("odd")

    for _ in range(3):
        with pytest.raises(RuntimeError, match="odd"):
            ring.send(["a"], [torch.tensor(1.0).as_subclass(Odd)])
    assert ring.send(["a"], [on_device(1.0)]) is not None


def test_a_forked_child_touches_no_device(gpu, backend):
    run = gpu()
    run.log(x=on_device(1.0))
    backend.run()
    assert run._outbox.flush()
    copies = len(backend.copies)
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            run.log(x=on_device(2.0))
            run.log_batch(on_device(torch.zeros(2, 3, 4, 4)))
            code = len(backend.copies) - copies
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- other devices ---------------------------------------------------------------------------------------------------


class Elsewhere:
    """A tensor of ROCm: torch calls it cuda, and the worker reads a clone of it."""

    is_cpu, is_cuda, shape = False, True, ()

    def __init__(self):
        self.read_by = []

    def numel(self):
        return 1

    def is_complex(self):
        return False

    def detach(self):
        return self

    def clone(self):
        return self

    def item(self):
        self.read_by.append(threading.current_thread().name)
        return 4.0


def test_where_events_cannot_be_asked_the_worker_reads_a_clone(run, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "6.3", raising=False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    tensor = Elsewhere()
    run.log(x=tensor)
    run.log_epoch(x=tensor)
    assert run.history("x")[1].tolist() == [4.0]
    assert set(tensor.read_by) == {"nbmonitor-outbox"}


def test_without_a_device_nothing_is_made(run):
    run.log(x=torch.tensor(1.0), y=2.0)
    assert run.history("x")[1].tolist() == [1.0]
    assert run._outbox.device._backend is None
    assert run._outbox.device._rings == {}


# --- a learning rate on a device -------------------------------------------------------------------------------------


class Optimizer:
    def __init__(self, *rates):
        self.param_groups = [{"lr": rate} for rate in rates]


def test_a_learning_rate_on_a_device_is_known_without_a_wait(gpu, backend, wait_for, monkeypatch):
    run = gpu()
    rate = on_device(0.5)
    with monkeypatch.context() as at_once:  # what a person attaches is read there and then
        at_once.setattr(OnDevice, "item", torch.Tensor.item)
        run.control(optimizer=Optimizer(rate, 0.25))
    shown = run._controls["learning_rate"]
    assert shown["value"] == 0.5
    for step in range(1, 152):
        run.step()
        rate.fill_(step)
        if step == 50:
            assert len(backend.copies) == 1
            backend.run()
            wait_for(lambda: run._control.learning_rate._asked.ready)
    assert len(backend.copies) == 2
    backend.run()
    wait_for(lambda: run._control.learning_rate._asked.ready)
    run.step()
    assert run.history("lr")[0].tolist() == [51, 152]
    assert run.history("lr")[1].tolist() == [0.5, 150.0]
    assert run.history("lr/1")[1].tolist() == [0.25, 0.25]
    assert run._controls["learning_rate"]["value"] == 150.0
