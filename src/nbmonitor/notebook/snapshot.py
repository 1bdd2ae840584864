"""A still picture of a run, for where no live panel can be: a saved notebook, a kernel that is gone.

One HTML output of class ``nbm-snapshot``: the facts in words, the main curves and the newest tiles as pictures. The
live panel hides it in its own cell. The pictures have a transparent ground and middle tones, so that they stand on a
light page as on a dark one.
"""

from __future__ import annotations

import base64
import io
import math
import time
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from nbmonitor.events import Batch, Performance
from nbmonitor.notebook.plain import duration, figure, text
from nbmonitor.notebook.words import set_of
from nbmonitor.series import classify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbmonitor.events import Event, RunInfo
    from nbmonitor.interfaces import SeriesInfo, Source, Window
    from nbmonitor.notebook.stage import Stage

LIMIT = 200_000  # bytes of HTML
CHARTS = 2
POINTS = 300
WIDTH, HEIGHT = 880, 280  # pixels of a chart, drawn for a screen of twice the density
MOSAIC = 240  # pixels at most
GREY, TRAIN, VALIDATION = (128, 128, 128, 110), (38, 128, 214, 255), (224, 122, 26, 255)
_LINES = 5  # events in words
_BESIDE = 'style="display: inline-block; vertical-align: top; margin: 6px 12px 0 0;"'


def snapshot(source: Source, stage: Stage | None, now: float) -> str:
    """The picture as HTML.

    Parameters
    ----------
    source
        Read for the curves.
    stage
        What is on show; None: not known yet.
    now
        Epoch seconds.
    """
    info = None if stage is None else stage.info
    when = time.strftime("%H:%M:%S", time.localtime(now))
    if stage is None or info is None:
        return _page(_before(source.runs()), [], [], when)
    parts = [
        f"<b>{_t(info.state.value.capitalize())}</b>",
        f"<b>{_t(info.name)}</b>",
        *_facts(info, stage.perf),
    ]
    if info.message:
        parts.append(_t(info.message))
    pictures = []
    series = [
        s for s in source.series(info.run_id) if not s.name.startswith("system/") and s.count > 0
    ]
    charts = list(dict.fromkeys(classify(s.name)[0] for s in series if s.count > 1))
    charts.sort(key=lambda c: 0 if c == "loss" else 1 if "acc" in c else 3 if c == "lr" else 2)
    for chart in charts[:CHARTS]:
        members = [s for s in series if classify(s.name)[0] == chart]
        pictures.append(_figure(source, info.run_id, chart, members))
    if stage.batch is not None and isinstance(stage.batch.payload, Batch):
        pictures.append(_tiles(stage.batch, stage.batch.payload))
    lines = [
        " ".join(
            _t(line[k]) if k != "after" or "before" not in line else f"→ {_t(line[k])}"
            for k in ("text", "before", "after", "tail")
            if line.get(k)
        )
        for line in list(stage.chronicle.lines.values())[-_LINES:]
    ]
    html = _page(parts, pictures, lines, when)
    if len(html) > LIMIT:  # huge tiles: the words and curves matter more
        html = _page(parts, pictures[: len(pictures) - 1], lines, when)
    return html if len(html) <= LIMIT else _page(parts, [], lines, when)


def _before(runs: Sequence[RunInfo]) -> list[str]:
    """What stands there until the panel's thread has chosen a run; in a notebook run by a program it may stay."""
    told = [f"{_t(r.state.value)} <b>{_t(r.name)}</b>, step {r.step:,}" for r in runs[:_LINES]]
    if len(runs) > _LINES:
        told.append(f"{len(runs) - _LINES} more")
    return ["<b>nbmonitor</b>", *(told or ["no run yet"])]


def _t(value: object) -> str:
    return escape(text(value, 200))


def _facts(info: RunInfo, event: Event | None) -> list[str]:
    facts = [f"step {info.step:,}"]
    perf = event.payload if event is not None else None
    if isinstance(perf, Performance):
        if perf.epoch is not None:
            facts.append(f"epoch {perf.epoch}" + (f" / {perf.epochs}" if perf.epochs else ""))
        if perf.eta is not None and not info.state.ended and math.isfinite(perf.eta):
            facts.append(f"{duration(perf.eta)} left")
        facts.append(f"{perf.fps_average:.1f} FPS on average")
    if info.ended_at is not None:
        facts.append(f"took {duration(info.ended_at - info.started_at)}")
    return facts


def _page(parts: list[str], pictures: list[str], lines: list[str], when: str) -> str:
    gone = (
        f"Picture of {when}. It stands here because no live panel does: run "
        "<code>%nbmonitor</code> for one."
    )
    told = "".join(f"<div>{line}</div>" for line in lines)
    return (
        '<div class="nbm-snapshot" '
        'style="border: 1px solid rgba(128, 128, 128, 0.4); padding: 10px; max-width: 940px;">'
        f"<div>{' · '.join(parts)}</div>{''.join(pictures)}"
        f'<div style="color: gray;">{told}</div><div style="color: gray;">{gone}</div></div>'
    )


def _image(image: Image.Image, alt: str, width: int) -> str:
    out = io.BytesIO()
    image.quantize(64, method=Image.Quantize.FASTOCTREE).save(out, "PNG", compress_level=4)
    return _img(out.getvalue(), "image/png", alt, width)


def _img(data: bytes, mime: str, alt: str, width: int) -> str:
    coded = base64.b64encode(data).decode()
    return f'<img alt="{_t(alt)}" width="{width}" src="data:{_t(mime)};base64,{coded}">'


def _figure(source: Source, run_id: str, chart: str, members: list[SeriesInfo]) -> str:
    """One chart: its legend in words, its lines as a picture."""
    curves: list[tuple[SeriesInfo, str, Window]] = []
    for s in members[:6]:
        window = source.window(run_id, s.name, s.kind, max_points=POINTS)
        curves.append((s, classify(s.name)[1], window))
    legend = []
    for s, split, _ in curves:
        colour = "#2680d6" if split == "train" else "#e07a1a"
        label = "train" if split == "train" else set_of(s.name)
        each = " per epoch" if s.kind == "epoch" else ""
        value = _t(figure(chart, s.last))
        legend.append(f'<span style="color: {colour};">{label}{each}</span> <b>{value}</b>')
    head = f"<div><b>{_t(chart.capitalize())}</b> {' '.join(legend)}</div>"
    words = f"{chart} over {max((s.last_step for s in members), default=0):,} steps"
    picture = draw([(split, s.kind, w) for s, split, w in curves])
    return f"<div {_BESIDE}>{head}{_image(picture, words, WIDTH // 2)}</div>"


def draw(curves: list[tuple[str, str, Window]]) -> Image.Image:
    """Lines (and dots, an epoch) on a transparent ground; ``curves`` are triples of split, kind and window."""
    image = Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    x = np.concatenate([np.empty(0), *(w.x for _, _, w in curves)])
    y = np.concatenate([np.empty(0), *(w.y.astype(np.float64) for _, _, w in curves)])
    fine = np.isfinite(y)
    if not fine.any():
        return image
    x0, x1, y0, y1 = x.min(), x.max(), y[fine].min(), y[fine].max()
    left, right, top, bottom = 90, WIDTH - 16, 14, HEIGHT - 40

    def place(px: float, py: float) -> tuple[float, float]:
        across = (px - x0) / (x1 - x0) if x1 > x0 else 0.5
        up = (py - y0) / (y1 - y0) if y1 > y0 else 0.5
        return left + across * (right - left), bottom - up * (bottom - top)

    for value in (y0, (y0 + y1) / 2, y1):
        _, height = place(x0, value)
        pen.line([(left, height), (right, height)], fill=GREY, width=1)
        pen.text((8, height - 11), f"{value:.3g}", fill=(128, 128, 128, 255), font_size=20)
    for value, anchor in ((x0, "ls"), (x1, "rs")):
        at = place(value, y0)
        pen.text(
            (at[0], HEIGHT - 8), f"{value:,.0f}", (128, 128, 128, 255), anchor=anchor, font_size=20
        )
    for split, kind, window in curves:
        colour = TRAIN if split == "train" else VALIDATION
        stretch: list[tuple[float, float]] = []
        for px, py in zip(window.x, window.y, strict=True):
            if math.isfinite(py):
                stretch.append(place(float(px), float(py)))
                if kind == "epoch":
                    _stroke(pen, stretch[-1:], colour)
                continue
            _stroke(pen, stretch, colour)
            stretch = []
        _stroke(pen, stretch, colour)
    return image


def _stroke(
    pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: tuple[int, ...]
) -> None:
    if len(points) == 1:
        (px, py) = points[0]
        pen.ellipse([px - 4, py - 4, px + 4, py + 4], fill=colour)
    elif points:
        pen.line(points, fill=colour, width=3, joint="curve")


def _tiles(event: Event, batch: Batch) -> str:
    words = f"Batch at step {event.step:,}"
    if batch.right is not None and batch.counted:
        words += f": {batch.right} of {batch.counted} right"
    picture = _mosaic(batch)
    shown = "" if picture is None else _img(picture, "image/jpeg", words, MOSAIC)
    return f"<div {_BESIDE}><div>{_t(words)}</div>{shown}</div>"


def _mosaic(batch: Batch) -> bytes | None:
    """The tiles in one small JPEG; None where they cannot be read."""
    data = batch.mosaic.data if batch.mosaic is not None else None
    try:
        if data is None:
            image = _side_by_side(batch)
            if image is None:
                return None
        else:
            image = Image.open(io.BytesIO(data)).convert("RGB")
        image.thumbnail((2 * MOSAIC, 2 * MOSAIC))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=75)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None  # a contract client may send anything
    return out.getvalue()


def _side_by_side(batch: Batch) -> Image.Image | None:
    side = 2 * MOSAIC // 4
    ground = Image.new("RGB", (4 * side, -(-max(1, batch.count) // 4) * side), (128, 128, 128))
    found = False
    for i, picture in enumerate(batch.pictures[:16]):
        if picture is None:
            continue
        try:
            tile = Image.open(io.BytesIO(picture.data)).convert("RGB").resize((side, side))
        except (OSError, ValueError, Image.DecompressionBombError):
            continue  # one that cannot be read leaves its place empty
        ground.paste(tile, ((i % 4) * side, (i // 4) * side))
        found = True
    return ground if found else None
