"""Pictures: what is accepted, how it is shown, what is said of the rest."""

from __future__ import annotations

import io
import math
import time

import numpy as np
import pytest
from PIL import Image

from nbmonitor.events import Batch, LogLine
from nbmonitor.training import images, mosaics
from nbmonitor.training.capture import one_line
from nbmonitor.training.notices import Notices

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


@pytest.fixture
def show(make, fake):
    """Logs one batch; returns what a viewer gets."""

    def show(pictures, **arguments):
        run = make(sink=fake)
        run.log_batch(pictures, **arguments)
        run._outbox.flush()
        show.run = run
        return fake.batches[-1] if fake.batches else None

    return show


def sheet(batch: Batch) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(batch.mosaic.data)))


def tile(batch: Batch, i: int = 0) -> np.ndarray:
    m = batch.mosaic
    top, left = (i // m.columns) * m.height, (i % m.columns) * m.width
    return sheet(batch)[top : top + m.height, left : left + m.width].astype(float)


def steps(n=16, h=8, w=12, c=3):
    """Pictures of one level each: i * 16."""
    return np.broadcast_to((np.arange(n) * 16).astype(np.uint8)[:, None, None, None], (n, h, w, c))


@pytest.mark.parametrize(
    "form",
    [
        lambda a: a,
        lambda a: a.transpose(0, 3, 1, 2),
        lambda a: torch.tensor(a.copy()),
        lambda a: torch.tensor(a.transpose(0, 3, 1, 2).copy()),
        lambda a: torch.tensor(a.transpose(0, 3, 1, 2).copy()).contiguous(
            memory_format=torch.channels_last
        ),
        lambda a: a.astype(np.float32) / 255,
        lambda a: a.astype(np.float64) / 255,
        lambda a: a.astype(np.float16) / 255,
        lambda a: torch.tensor(a / 255.0).to(torch.bfloat16).requires_grad_(),
        lambda a: a.astype(np.float32) / 127.5 - 1,
        lambda a: a.astype(np.int64),
        list,
        lambda a: tuple(torch.tensor(p.transpose(2, 0, 1).copy()) for p in a),
        lambda a: [Image.fromarray(p) for p in a],
        lambda a: a[..., 0],
        lambda a: a[..., :1],
        lambda a: [Image.fromarray(p[..., 0].copy()) for p in a],
    ],
)
def test_every_form_shows_the_same(show, form):
    batch = show(form(steps()))
    assert (batch.count, batch.total) == (16, 16)
    m = batch.mosaic
    assert (m.columns, m.rows, m.width, m.height, m.mime) == (4, 4, 12, 8, "image/jpeg")
    assert m.data[:2] == b"\xff\xd8"
    for i in range(16):
        assert tile(batch, i).mean() == pytest.approx(16 * i, abs=3)


def test_colours_are_where_they_belong(show):
    red = np.zeros((1, 3, 16, 16), np.float32)
    red[:, 0] = 1.0
    assert tile(show(red))[8, 8] == pytest.approx([254, 0, 0], abs=4)


def test_alpha_is_laid_over_white(show):
    glass = np.zeros((1, 16, 16, 4), np.uint8)
    glass[..., 3] = [0] * 8 + [255] * 8
    shown = tile(show(glass))
    assert shown[:, :6].mean() > 250
    assert shown[:, 10:].mean() < 5


def test_pil_of_any_mode(show):
    for mode in ("1", "P", "LA", "RGBA", "CMYK", "I", "F", "HSV", "I;16"):
        assert show([Image.new(mode, (9, 7))]).mosaic.width == 9
    assert show(Image.new("RGB", (20, 10))).count == 1


def test_different_sizes_stand_in_the_middle(show):
    batch = show([np.full((4, 4), 255, np.uint8), np.full((8, 10, 3), 128, np.uint8)])
    assert (batch.mosaic.width, batch.mosaic.height) == (10, 8)
    first = tile(batch, 0)
    assert first[3:5, 4:6].mean() > 200
    assert first[0].mean() < 40


@pytest.mark.parametrize(("n", "grid"), [(1, (1, 1)), (2, (2, 1)), (5, (3, 2)), (16, (4, 4))])
def test_the_grid_is_as_square_as_can_be(show, n, grid):
    batch = show(steps(n))
    assert (batch.mosaic.columns, batch.mosaic.rows, batch.count) == (*grid, n)


def test_beyond_16_the_rest_is_counted(show):
    n = 40
    logits = np.eye(10)[np.arange(n) % 10]
    targets = np.arange(n) % 10
    targets[30:] = 0
    batch = show(np.zeros((n, 8, 8)), logits=logits, targets=targets)
    assert (batch.count, batch.total) == (16, 40)
    assert len(batch.predicted) == len(batch.truth) == len(batch.confidence) == 16
    assert (batch.counted, batch.right) == (40, 31)


def test_17_pictures(show):
    batch = show(np.zeros((17, 8, 8), np.uint8))
    assert (batch.count, batch.total) == (16, 17)


@pytest.mark.parametrize("nothing", [np.zeros((0, 3, 8, 8)), [], torch.zeros(0, 8, 8)])
def test_0_pictures_are_said_once(show, nothing):
    with pytest.warns(UserWarning, match="0 pictures"):
        assert show(nothing) is None


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 7, 8, 9)),
        np.zeros((2, 3, 4, 5, 6)),
        np.zeros(5),
        np.float64(3),
        np.zeros((2, 3, 0, 8)),
        "text",
        b"bytes",
        None,
        5,
        {"a": 1},
        (i for i in range(3)),
        ["a", "b"],
        [None],
        [np.zeros((2, 2, 2, 2))],
        [np.zeros((0, 3))],
        [[1, 2], [3]],
    ],
    ids=str,
)
def test_what_holds_no_pictures_is_said_once_with_the_remedy(show, bad, recwarn):
    assert show(bad) is None
    show.run._pace._splits.clear()
    show.run.log_batch(bad)
    show.run.log(a=1.0)
    said = [w for w in recwarn if "log_batch" in str(w.message)]
    assert len(said) == 1
    assert said[0].filename == __file__


@pytest.mark.parametrize("bad", [np.array([[["a"] * 4] * 4] * 2), np.zeros((2, 4, 4), complex)])
def test_a_dtype_without_a_picture_is_said_and_listed(show, fake, bad):
    assert show(bad) is None
    assert "dtype" in fake.payloads(LogLine)[-1].text
    with pytest.warns(UserWarning, match="could not show"):
        show.run.log(a=1.0)


def test_a_range_that_is_unknown_is_stretched_and_said_once(show):
    normalised = np.linspace(-2.1, 2.6, 16 * 64).reshape(16, 8, 8)
    batch = show(normalised)
    assert sheet(batch).min() < 10
    assert sheet(batch).max() > 245
    with pytest.warns(UserWarning, match="stretched") as caught:
        show.run.log(a=1.0)
    assert caught[0].filename == __file__
    assert "-2.1 to 2.6" in str(caught[0].message)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_pixels_that_are_not_finite_are_black_and_said_once(show, dtype):
    pixels = np.full((2, 16, 16), 0.5, dtype)
    pixels[0, :, :8] = math.nan
    pixels[0, :, 8:] = math.inf
    batch = show(pixels)
    assert tile(batch, 0).max() < 20
    assert tile(batch, 1).mean() == pytest.approx(128, abs=4)
    with pytest.warns(UserWarning, match="NaN or infinite pixels"):
        show.run.log(a=1.0)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((2, 8, 8), math.nan),
        np.full((2, 8, 8), 7.0),
        np.array([[[-1e308, 1e308]]]),
        np.full((1, 8, 8), -5),
        np.array([[[0, 65535]]], np.uint16),
        np.array([[[-(2**63), 2**63 - 1]]], np.int64),
    ],
)
def test_odd_ranges_are_shown_without_an_error(show, pixels, recwarn):
    assert show(pixels).count == len(pixels)
    show.run.log(a=1.0)
    assert all("could not" not in str(w.message) for w in recwarn)


def test_bool_pictures(show):
    assert tile(show(np.ones((1, 8, 8), bool))).min() > 250


def test_pictures_beyond_512_pixels_are_scaled_down(show):
    batch = show(np.full((2, 3, 600, 1200), 200, np.uint8))
    assert (batch.mosaic.width, batch.mosaic.height) == (512, 256)
    assert tile(batch).mean() == pytest.approx(200, abs=3)
    assert show(np.full((1, 3, 1, 5000), 9, np.uint8)).mosaic.height == 1
    assert show([Image.new("RGB", (2000, 1000))]).mosaic.width == 512


def test_a_viewer_that_wants_small_tiles_gets_small_tiles(make, fake):
    fake.demand = lambda run_id: __import__("nbmonitor").events.Demand(60, 96)
    run = make(sink=fake)
    run.log_batch(np.zeros((4, 3, 224, 224), np.uint8))
    run._outbox.flush()
    assert fake.batches[-1].mosaic.width == 96


def test_pillow_does_the_same_without_simplejpeg(show, monkeypatch):
    monkeypatch.setattr(mosaics, "simplejpeg", None)
    assert tile(show(steps()), 15).mean() == pytest.approx(240, abs=3)
    assert tile(show(steps(c=1)), 15).mean() == pytest.approx(240, abs=3)


def test_a_picture_is_what_it_was_at_the_call(make, fake):
    run = make(sink=fake)
    run._enter()
    run._outbox.close()  # nobody reads yet
    pixels = torch.zeros(4, 8, 8)
    logits = torch.eye(4)
    run.log_batch(pixels, logits=logits)
    pixels.fill_(1.0)
    logits.zero_()
    run._outbox.start()
    run._outbox.flush()
    batch = fake.batches[-1]
    assert sheet(batch).max() < 5
    assert batch.predicted == (0, 1, 2, 3)


# --- predictions and truth -------------------------------------------------------------------------------------------


def shown(batch):
    return batch.predicted, batch.truth, batch.right, batch.counted


def test_logits_of_classes(show):
    logits = torch.tensor(
        [[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], dtype=torch.bfloat16, requires_grad=True
    )
    batch = show(
        np.zeros((3, 8, 8)), logits=logits, targets=torch.tensor([0, 0, 0]), loss=torch.tensor(0.5)
    )
    assert shown(batch) == ((0, 1, 0), (0, 0, 0), 2, 3)
    assert batch.confidence == pytest.approx((0.8808, 0.7311, 0.9526), abs=1e-3)
    assert batch.loss == 0.5


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_logits_of_one_class(show, shape):
    batch = show(
        np.zeros((3, 8, 8)),
        logits=np.array([2.0, -1.0, 0.0]).reshape(shape),
        targets=[1.0, 1.0, 1.0],
    )
    assert shown(batch) == ((1, 0, 1), (1, 1, 1), 2, 3)
    assert batch.confidence == pytest.approx((0.8808, 0.7311, 0.5), abs=1e-3)


def test_predictions_confidence_and_one_hot_targets(show):
    batch = show(
        np.zeros((3, 8, 8)),
        predictions=[2, 1, 0],
        confidence=[0.9, 1.7, float("nan")],
        targets=np.eye(3)[[2, 2, 0]],
        sample_ids=["a\x00", 7, None],
    )
    assert shown(batch) == ((2, 1, 0), (2, 2, 0), 2, 3)
    assert batch.confidence == (0.9, None, None)
    assert batch.sample_ids == (r"a\x00", "7", "None")


def test_what_is_not_finite_has_no_prediction(show):
    logits = np.array([[math.nan, 1.0], [math.inf, 0.0], [1e300, -1e300], [-math.inf, -math.inf]])
    batch = show(np.zeros((4, 8, 8)), logits=logits, targets=[0, 0, 0, 0])
    assert batch.predicted == (None, None, 0, None)
    assert batch.confidence[0] is None
    assert (batch.right, batch.counted) == (1, 1)
    assert show(np.zeros((2, 8, 8)), logits=np.array([math.nan, math.inf])).predicted == (None, 1)


def test_targets_to_be_ignored_are_not_counted(show):
    batch = show(np.zeros((4, 8, 8)), predictions=[0, 1, 2, 3], targets=[0, -100, -1, 0.5])
    assert shown(batch) == ((0, 1, 2, 3), (0, None, None, None), 1, 1)


def test_without_truth_nothing_is_counted(show):
    assert shown(show(np.zeros((2, 8, 8)), predictions=[1, 2])) == (
        (1, 2),
        (None, None),
        None,
        None,
    )
    assert shown(show(np.zeros((2, 8, 8)))) == ((None, None), (None, None), None, None)


def test_lengths_that_differ_are_matched_by_index_and_said_once(show):
    with pytest.warns(UserWarning, match="4 pictures and 2 `targets`") as caught:
        batch = show(np.zeros((4, 8, 8)), predictions=[0, 1, 2, 3], targets=[0, 9])
    assert shown(batch) == ((0, 1, 2, 3), (0, 9, None, None), 1, 2)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="2 pictures and 5 `predictions`"):
        batch = show(np.zeros((2, 8, 8)), predictions=[0, 1, 2, 3, 4], targets=[0, 1])
    assert shown(batch) == ((0, 1), (0, 1), 2, 2)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("logits", np.zeros((2, 3, 4))),
        ("logits", "text"),
        ("predictions", np.zeros((2, 3))),
        ("predictions", ["cat", "dog"]),
        ("targets", [[1], [1, 2]]),
        ("targets", object()),
        ("confidence", [0.5j, 1]),
        ("loss", "high"),
        ("loss", [1.0, 2.0]),
    ],
)
def test_labels_that_cannot_be_used_leave_the_pictures(show, name, bad):
    with pytest.warns(UserWarning, match=f"cannot use `{name}=`"):
        batch = show(np.zeros((2, 8, 8)), **{name: bad})
    assert batch.count == 2


# --- rate ------------------------------------------------------------------------------------------------------------


def test_at_most_60_a_second_and_skipped_before_anything_is_copied(make, fake, monkeypatch):
    now = [0.0]
    run = make(sink=fake, monotonic=lambda: now[0])
    run._outbox._refresh_demand()
    taken = []
    monkeypatch.setattr(
        images, "take", lambda *_: taken.append(now[0]) or (np.zeros((1, 8, 8)), "NHW", 1)
    )
    for _ in range(1000):  # steps of 14 ms
        run.log_batch(None)
        now[0] += 0.014
    assert 0.95 * 60 * 14 <= len(taken) <= 60 * 14 + 1
    taken.clear()
    for _ in range(1000):
        run.log_batch(None)
        now[0] += 0.001
    assert len(taken) <= 62


def test_with_nobody_looking_there_is_a_keyframe_now_and_then(make, fake, monkeypatch):
    fake.fps = 0.0
    now = [0.0]
    run = make(sink=fake, monotonic=lambda: now[0])
    taken = []
    monkeypatch.setattr(
        images, "take", lambda *_: taken.append(now[0]) or (np.zeros((1, 8, 8)), "NHW", 1)
    )
    for _ in range(2500):
        run.log_batch(None)
        now[0] += 0.01
    assert taken == pytest.approx([0, 10, 20], abs=0.05)
    fake.fps = 10.0
    run._outbox.flush()
    run.log_batch(None)
    assert len(taken) == 4, "somebody came: the next frame is theirs"


def test_each_split_has_its_own_rate_and_slot(make, fake):
    run = make(sink=fake)
    run._enter()
    run._outbox.close()
    for split in ("train", "val", "train"):
        run._pace._splits.clear()
        run.log_batch(np.zeros((1, 8, 8)), split=split)
    assert run._outbox.replaced == 1
    run._outbox.start()
    run._outbox.flush()
    assert sorted(b.split for b in fake.batches) == ["train", "val"]


def test_without_end_of_splits_memory_is_bounded(make, fake):
    run = make(sink=fake)
    for i in range(500):
        run.log_batch(np.zeros((1, 8, 8)), split=f"s{i}")
    assert len(run._pace._splits) <= 40


def test_live_frames_reach_60_a_second(make, fake):
    run = make(sink=fake)
    pixels = np.zeros((16, 3, 32, 32), np.uint8)
    began = time.perf_counter()
    while (took := time.perf_counter() - began) < 1.0:
        run.log_batch(pixels)
        time.sleep(0.002)
    run._outbox.flush()
    assert len(fake.batches) <= 62 * took
    assert len(fake.batches) >= 20, "on a busy machine"


def test_buffers_are_used_again():
    buffers = images.Buffers()
    first, *_ = images.take(np.zeros((4, 8, 8)), buffers)
    buffers.give(first)
    again, *_ = images.take(np.ones((4, 8, 8)), buffers)
    assert again is first
    assert again.min() == 1.0
    other, *_ = images.take(np.ones((4, 8, 9)), buffers)
    assert other is not first


def test_quantise_keeps_uint8_as_it_is():
    pixels = np.arange(16, dtype=np.uint8)
    assert mosaics.quantise(pixels, Notices()) is pixels


def test_frames_that_cost_too_much_become_fewer_and_come_back(make, fake):
    run = make(sink=fake, overhead=0.03)
    run._enter()
    run._outbox.close()
    box = run._outbox

    def interval(*prices):
        box.governor.prices.extend(prices)
        box._refresh_demand()
        return box.frame_interval

    assert interval(0.0004) == pytest.approx(1 / 60), "2.4 % of the time is within 3 %"
    assert interval(0.0004, 0.0004, 0.05, 0.05) == pytest.approx(1 / 60), "two slow ones of five"
    assert interval(*[0.003] * 5) == pytest.approx(0.1)
    assert interval(*[5.0] * 5) == 10.0, "at worst as often as when nobody looks"
    assert interval(*[0.0004] * 3) == pytest.approx(1 / 60)
    fake.fps = 0.0
    assert interval() == 10.0


def test_the_price_of_a_frame_is_cpu_time_and_a_skipped_one_has_none(make, fake):
    class Slow:
        shape = (4, 8, 8)

        def __getitem__(self, index):
            time.sleep(0.02)
            return np.zeros(self.shape)[index]

        def __array__(self, dtype=None, copy=None):
            return np.zeros(self.shape)

    fake.fps = 0.0  # one frame, then none for ten seconds
    run = make(sink=fake)
    run.log_batch(Slow())
    for _ in range(5):
        run.log_batch(Slow())
    (price,) = run._outbox.governor.prices
    assert 0 < price < 0.015, "the wait of 20 ms is none of it"
    assert run._progress.spent > 0.02


def test_what_is_given_without_a_name_is_told_once_and_the_batch_is_shown(make, fake):
    run = make(sink=fake)
    with pytest.warns(UserWarning, match=r"Name them: run.log_batch\(images, logits=") as caught:
        for i in range(3):
            run.log_batch(np.zeros((2, 4, 4)), np.zeros((2, 10)), [1, 2], split=str(i))
    assert len(caught) == 1
    run._outbox.flush()
    assert len(fake.batches) == 3


def test_a_name_that_is_not_known_and_no_pictures_at_all_are_told(make, fake):
    run = make(sink=fake)
    with pytest.warns(UserWarning, match="knows no labels, mask"):
        run.log_batch(np.zeros((2, 4, 4)), labels=[1, 2], mask=None)
    with pytest.warns(UserWarning, match="a NoneType holds no pictures"):
        run.log_batch(split="val")
    with pytest.warns(UserWarning, match="Name them: run.log"):
        run.log({"a": 1.0}, 5)
    assert run._outbox.calls == 1, "the mapping was taken"


def test_a_kind_of_batch_that_cannot_be_shown_is_listed_once_on_one_line(make, fake):
    run = make(sink=fake)
    with pytest.warns(UserWarning, match="could not show"):
        for _ in range(3):
            run._pace._splits.clear()
            run.log_batch(np.zeros((2, 4, 4), complex))
            run._outbox.flush()
        run.log(a=1.0)
    lines = [e for e in fake.payloads(LogLine) if "Could not show" in e.text]
    assert len(lines) == 1
    assert "\n" not in lines[0].text


def test_an_error_of_many_lines_is_told_on_one():
    text = one_line(ValueError("a\n  b\n" * 100))
    assert text.startswith("a b a b")
    assert len(text) == 200
    assert "\n" not in text


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [
        ((20, 3, 512, 512), 128, (16, 3, 128, 128)),
        ((20, 512, 300, 3), 128, (16, 128, 75, 3)),
        ((20, 1000, 1000), 512, (16, 1000, 1000)),
        ((20, 1030, 1030), 512, (16, 515, 515)),
        ((20, 3, 32, 32), 128, (16, 3, 32, 32)),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_of_large_pictures_every_nth_pixel_is_copied(shape, side, expected, kind):
    levels = np.arange(math.prod(shape), dtype=np.int64).reshape(shape).astype(np.uint8)
    taken, _, total = images.take(kind(levels), images.Buffers(), side)
    assert (taken.shape, total) == (expected, 20)
    assert not np.shares_memory(taken, levels)


def test_large_pictures_of_a_list_are_thinned_too():
    array, picture = np.zeros((600, 400, 3), np.uint8), Image.new("RGB", (1200, 600), "red")
    (first, second), _, _ = images.take([array, picture], images.Buffers(), 150)
    assert first.shape == (150, 100, 3)
    assert second.shape == (75, 150, 3)
    assert second[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(16 * 3 * 70 * 50, dtype=np.float32).reshape(16, 3, 70, 50),
        np.arange(4 * 70 * 50 * 3).reshape(4, 70, 50, 3).astype(np.uint8),
        np.arange(5 * 50 * 70, dtype=np.float16).reshape(5, 50, 70),
        np.arange(4 * 70 * 50 * 3).reshape(4, 70, 50, 3).astype(np.uint8)[:, ::-1],
        np.arange(4 * 3 * 70 * 50, dtype=">f4").reshape(4, 3, 70, 50).swapaxes(2, 3),
        torch.arange(2 * 3 * 70 * 50).reshape(2, 3, 70, 50).to(memory_format=torch.channels_last),
    ],
)
def test_what_is_thinned_is_every_nth_pixel_also_into_memory_that_was_used(pixels):
    buffers = images.Buffers()
    for _ in range(3):
        taken, layout, _ = images.take(pixels, buffers, 16)
        whole = np.asarray(pixels)
        thin = slice(None, None, 70 // 16)
        wanted = whole[:, :, thin, thin] if layout == "NCHW" else whole[:, thin, thin]
        assert np.array_equal(taken, wanted)
        assert not np.shares_memory(taken, whole)
        taken[...] = 0
        buffers.give(taken)
