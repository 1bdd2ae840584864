"""The still picture: small, escaped, true, and there for a run that has nothing yet."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
from PIL import Image
from showroom import batch

from nbmonitor.events import Epoch, Performance, Picture, RunState, Status
from nbmonitor.notebook.snapshot import LIMIT, draw, snapshot


def drawn(show):
    show.pass_time(0.1)
    return snapshot(show.broker, show.sender.stage, show.clock.wall())


def images(html):
    found = re.findall(
        r'<img alt="([^"]*)" width="\d+" src="data:(image/\w+);base64,([^"]+)">', html
    )
    return [(alt, Image.open(io.BytesIO(base64.b64decode(data)))) for alt, _, data in found]


def test_facts_curves_and_tiles(show):
    run = show.start("digits <b>&", message="")
    show.log(run, "loss", 2 * np.exp(-np.arange(50_000) / 9000))
    show.log(run, "val_loss", [1.0, 0.5], first=100, kind="epoch")
    show.log(run, "accuracy", np.linspace(0, 0.97, 50_000))
    show.log(run, "lr", np.ones(50_000))
    show.log(run, "system/cpu", np.ones(5))
    show.say(run, batch(), 49_999)
    show.say(run, Performance(epoch=5, epochs=10, eta=161, fps_average=57.2), 49_999)
    show.say(run, Epoch(4, {"average_loss": 0.131, "average_accuracy": 0.959}), 49_999)
    html = drawn(show)
    assert len(html) < LIMIT / 4
    assert html.startswith('<div class="nbm-snapshot"')
    for words in (
        "<b>Running</b>",
        "digits &lt;b&gt;&amp;",
        "step 49,999",
        "epoch 5 / 10",
        "2 m 41 s left",
        "57.2 FPS on average",
        "Epoch 4: loss 0.131, accuracy 95.9 %",
        "run <code>%nbmonitor</code>",
        "97.0 %",
    ):
        assert words in html
    (loss, curve), (accuracy, _), (tiles, mosaic) = images(html)
    assert loss == "loss over 49,999 steps"
    assert accuracy == "accuracy over 49,999 steps"
    assert tiles == "Batch at step 49,999: 30 of 32 right"
    assert mosaic.size == (128, 128)
    pixels = np.asarray(curve.convert("RGBA")).astype(int)
    blue = (pixels[..., 2] > 180) & (pixels[..., 0] < 90) & (pixels[..., 3] > 200)
    first, last = (np.argwhere(blue[:, c])[:, 0].mean() for c in (100, 850))
    assert first < last - 100  # the line falls from left to right
    assert (pixels[..., 3] == 0).mean() > 0.8  # the page's own ground shows


def test_an_end_is_told(show):
    run = show.start()
    show.clock.now += 75
    show.say(run, Status(RunState.FAILED, "shapes <2> and <3> differ"), 12)
    html = drawn(show)
    assert "<b>Failed</b>" in html
    assert "took 1 m 15 s" in html
    assert "shapes &lt;2&gt; and &lt;3&gt; differ" in html


def test_nothing_yet_and_nothing_to_draw(show):
    assert "no run yet" in drawn(show)
    assert "no run yet" in snapshot(show.broker, None, 0.0)
    run = show.start()
    show.log(run, "loss", [float("nan"), float("inf")])
    assert images(drawn(show))
    assert "class" in drawn(show)


def test_runs_that_are_known_are_named_before_the_panel_has_chosen_one(show):
    for n in range(7):
        show.start(f"run <{n}>", f"id{n}")
    html = snapshot(show.broker, None, 0.0)
    assert "no run yet" not in html
    assert "<b>run &lt;6&gt;</b>, step 0" in html
    assert "2 more" in html


def test_pictures_that_cannot_be_read_leave_a_gap(show):
    run = show.start()
    show.say(run, batch(data=b"no picture"), 1)
    assert images(drawn(show)) == []
    good = io.BytesIO()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(good, "PNG")
    alone = replace(
        batch(), mosaic=None, pictures=(Picture(b"x"), None, Picture(good.getvalue(), "image/png"))
    )
    show.say(run, alone, 2)
    ((_, mosaic),) = images(drawn(show))
    red = np.asarray(mosaic.convert("RGB"))[60, 2 * 120 + 60]
    assert red[0] > 200
    assert red[1] < 60


def test_huge_tiles_stay_under_the_limit(show):
    noise = np.random.default_rng(0).integers(0, 255, (2048, 2048, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG", quality=95)
    run = show.start()
    show.log(run, "loss", np.random.default_rng(0).random(10_000))
    show.say(run, batch(data=out.getvalue()), 1)
    html = drawn(show)
    assert len(html) < LIMIT
    assert len(images(html)) >= 1


def test_gaps_in_a_curve_are_gaps(show):
    run = show.start()
    show.log(run, "loss", [1.0, 1.0, float("nan"), 1.0, 1.0])
    show.pass_time(0.1)
    window = show.broker.window(run, "loss")
    alpha = np.asarray(draw([("train", "step", window)]))[:, :, 2] > 200
    assert alpha[:, 90:864].any(axis=0).sum() < 600  # the middle half is not bridged


def test_a_curve_says_which_data_it_is_of(show):
    run = show.start()
    show.log(run, "loss", [2.0, 1.0])
    show.log(run, "val_loss", [2.0, 1.1], kind="epoch")
    show.log(run, "test_loss", [2.0, 1.2], kind="epoch")
    words = re.findall(r"<span[^>]*>([^<]*)</span> <b>([^<]*)</b>", drawn(show))
    assert words == [("train", "1"), ("validation per epoch", "1.1"), ("test per epoch", "1.2")]
