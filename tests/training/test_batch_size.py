"""A batch size changed from the dashboard, from the next epoch on."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
from torch.utils.data import (  # noqa: E402
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    SubsetRandomSampler,
)


class Numbers(Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, i):
        return torch.tensor([i])


class Stream(IterableDataset):
    def __iter__(self):
        return iter([torch.tensor([i]) for i in range(8)])


def collate(items):
    return torch.stack(items)


def sizes(run, loader):
    return [len(x) for x in run.track(loader)]


def test_it_changes_at_the_next_epoch(run, person, broker):
    loader = DataLoader(Numbers(), batch_size=4)
    seen = []
    for epoch in run.epochs(3):
        track = run.track(loader)
        for i, x in enumerate(track):
            seen.append((epoch, len(x)))
            if (epoch, i) == (0, 1):
                command = person.ask("set_batch_size", value=8)
        assert len(track) == (5 if epoch == 0 else 3) or epoch == 0
    assert seen == [(0, 4)] * 5 + ([(1, 8), (1, 8), (1, 4)] + [(2, 8), (2, 8), (2, 4)])
    record = person.answer(command)
    assert (record.state, record.step) == ("applied", 2)
    assert dict(record.before) == {"batch size": "4"}
    assert "8 from the next epoch" in record.after["batch size"]
    assert "still count 4" in record.after["batch size"]
    info = broker.run(run.run_id)
    assert dict(info.controls["batch_size"]) == {"value": 8, "max": 20}
    assert (info.batch_size, info.batches_per_epoch) == (8, 3)
    assert loader.batch_size == 4, "the script's own loader is left alone"
    assert len(loader) == 5


def test_before_the_first_batch_it_counts_at_once(run, person):
    loader = DataLoader(Numbers(), batch_size=4)
    track = run.track(loader)
    person.ask("set_batch_size", value=10)
    assert [len(x) for x in track] == [10, 10]


def test_the_old_size_can_be_had_back(run, person):
    loader = DataLoader(Numbers(), batch_size=4)
    sizes(run, loader)
    person.ask("set_batch_size", value=5)
    assert sizes(run, loader) == [5] * 4
    record = person.ask("set_batch_size", value=4)
    assert sizes(run, loader) == [4] * 5
    assert "still" not in person.answer(record).after["batch size"]


def test_a_loader_made_anew_each_epoch_keeps_the_size(run, person):
    sizes(run, DataLoader(Numbers(), batch_size=4))
    person.ask("set_batch_size", value=10)
    assert sizes(run, DataLoader(Numbers(), batch_size=4)) == [10, 10]


def test_every_argument_is_kept(run, person):
    generator = torch.Generator().manual_seed(3)
    first = DataLoader(
        Numbers(),
        batch_size=4,
        sampler=SubsetRandomSampler(range(14), generator=generator),
        collate_fn=collate,
        drop_last=True,
        generator=generator,
        timeout=0,
        worker_init_fn=print,
    )
    run.track(first)
    person.ask("set_batch_size", value=5)
    run.step()
    built = run._current(first)
    assert built is not first
    for name in [
        "dataset",
        "sampler",
        "collate_fn",
        "drop_last",
        "generator",
        "timeout",
        "worker_init_fn",
        "num_workers",
        "pin_memory",
        "prefetch_factor",
        "persistent_workers",
        "multiprocessing_context",
    ]:
        assert getattr(built, name) is getattr(first, name) or getattr(built, name) == getattr(
            first, name
        ), name
    seen = list(run.track(first))
    assert [len(x) for x in seen] == [5, 5], "drop_last"
    assert max(int(x.max()) for x in seen) < 14


def test_with_workers(run, person):
    loader = DataLoader(
        Numbers(),
        batch_size=4,
        shuffle=True,
        num_workers=1,
        persistent_workers=True,
        prefetch_factor=3,
        multiprocessing_context="fork",
    )
    run.track(loader)
    person.ask("set_batch_size", value=10)
    run.step()
    built = run._current(loader)
    assert (built.num_workers, built.persistent_workers, built.prefetch_factor) == (1, True, 3)
    assert sorted(torch.cat(list(run.track(loader))).flatten().tolist()) == list(range(20))
    assert sizes(run, loader) == [10, 10]


class Own(DataLoader):
    def __init__(self, data):
        super().__init__(data, batch_size=2)


@pytest.mark.parametrize(
    ("loader", "why"),
    [
        (lambda: DataLoader(Stream(), batch_size=2), "IterableDataset"),
        (
            lambda: DataLoader(
                Numbers(), batch_sampler=BatchSampler(SequentialSampler(range(20)), 4, False)
            ),
            "batch_sampler of its own",
        ),
        (lambda: DataLoader(Numbers(), batch_size=None), "does not batch"),
        (lambda: Own(Numbers()), "constructor of its own"),
        (lambda: [1, 2, 3], "no PyTorch DataLoader"),
    ],
)
def test_what_cannot_be_changed_registers_no_control(run, broker, person, loader, why):
    made = loader()
    with pytest.warns(UserWarning, match=why):
        run.control(loader=made)
    list(run.track(made))
    run._outbox.flush()
    assert "batch_size" not in broker.run(run.run_id).controls
    record = person.answer(person.ask("set_batch_size", value=2))
    assert record.state == "rejected"


@pytest.mark.parametrize(
    "value", [0, -1, 21, 2.5, math.nan, math.inf, "8", None, True, 2**31, 10**400]
)
def test_sizes_that_cannot_be_are_refused(run, person, value):
    loader = DataLoader(Numbers(), batch_size=4)
    run.track(loader)
    run.step()
    command = person.ask("set_batch_size", value=value)
    run.step()
    record = person.answer(command)
    assert record.state == "rejected"
    assert "batch size must be" in record.error
    assert sizes(run, loader) == [4] * 5


def test_an_evaluation_loader_is_no_control(run, broker):
    list(run.track(DataLoader(Numbers(), batch_size=4), split="val"))
    run._outbox.flush()
    assert "batch_size" not in broker.run(run.run_id).controls
