// From curves to what Plotly is told: traces and layout. Pure, so that it can be tested without a page.
import type { Curve, Points } from "../curves.ts";
import { clean, shorten } from "../format.ts";
import { colourOf, curveLabel, isFraction, isSetting, rankOf, type Chart } from "../grouping.ts";
import type { Axis, MarkView } from "../messages.ts";
import type { Colours } from "../theme.ts";
import type { Layout, Trace } from "./plotly.ts";
import { smooth } from "./smoothing.ts";
import { countTicks, linearScale, logTicks, timeTicks } from "./ticks.ts";

export type FigureInput = {
  chart: Chart;
  axis: Axis;
  log: boolean;
  smooth: number;
  zoom: [number, number] | null;
  marks: MarkView[];
  started: number;
  colours: Colours;
  width: number;
  height: number;
  revision: number;
  end: number | null; // the newest x of the run, to which a setting is carried on
};

export type Figure = { data: Trace[]; layout: Layout; points: number; windowed: boolean };

const LEFT = 48; // more where the texts of the ticks need more
const RIGHT = 10;
const MARKS_DRAWN = 40;
const CHARACTER = 6.2; // px of a label, at most
const DASHES = { train: ["solid", "9px,2px", "6px,2px,2px,2px"], val: ["5px,4px", "2px,3px", "9px,3px,2px,3px"] };
const FEW = 24; // a line this short is shown as it is

/** Plotly reads a little HTML in names and notes: what a run calls its things is text. */
function literal(text: string): string {
  return clean(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** The points to draw: in a zoom the finer window where it covers the range, else the part of the whole curve. */
export function pointsFor(
  curve: Curve,
  axis: Axis,
  zoom: [number, number] | null,
): { points: Points; windowed: boolean } | null {
  const whole = curve.points[axis];
  if (!zoom) return whole ? { points: whole, windowed: false } : null;
  const [lo, hi] = zoom;
  const { window } = curve;
  const slack = (hi - lo) * 0.01;
  if (window && window.axis === axis && window.lo <= lo + slack && window.hi >= hi - slack) {
    return { points: cut(window, lo, hi), windowed: true };
  }
  return whole ? { points: cut(whole, lo, hi), windowed: false } : null;
}

/** The points in lo..hi and one neighbour on each side, so that the line runs off the edge. */
export function cut(points: Points, lo: number, hi: number): Points {
  const { x, y } = points;
  let from = 0;
  while (from < x.length && (x[from] as number) < lo) from += 1;
  let to = x.length;
  while (to > from && (x[to - 1] as number) > hi) to -= 1;
  return { x: x.subarray(Math.max(0, from - 1), to + 1), y: y.subarray(Math.max(0, from - 1), to + 1) };
}

/** A setting is logged when it changes and holds until the next time: carried on to the end of the run. */
function carried(points: Points, end: number | null): Points {
  const last = points.x[points.x.length - 1];
  if (end === null || last === undefined || end <= last) return points;
  const value = points.y[points.y.length - 1] ?? NaN;
  return { x: Float64Array.of(...points.x, end), y: Float32Array.of(...points.y, value) };
}

function traces(input: FigureInput, curve: Curve, given: Points, fraction: boolean): Trace[] {
  const { chart, axis, colours, started } = input;
  const setting = isSetting(chart.name);
  const found = setting && !input.zoom ? carried(given, input.end) : given;
  const x = axis === "time" ? found.x.map((value) => value - started) : found.x;
  const colour = colours.series[colourOf(curve, chart) % colours.series.length] ?? colours.accent;
  const dashes = DASHES[curve.split];
  const dash = dashes[rankOf(curve, chart) % dashes.length] ?? "solid";
  const name = literal(curveLabel(curve, chart));
  const common = {
    type: "scatter",
    x,
    hovertemplate: `${name === "" ? "" : `${name} `}<b>${fraction ? "%{y:.1~%}" : "%{y:.4~g}"}</b><extra></extra>`,
    connectgaps: false,
  };
  if (curve.kind === "epoch") {
    const size = found.x.length > 60 ? 3 : 5;
    return [{
      // The first and the last marker stand on the frame and are seen whole; in a zoom the frame cuts.
      ...common, y: found.y, mode: "lines+markers", cliponaxis: input.zoom !== null,
      line: { color: colour, width: curve.split === "val" ? 1.6 : 1, dash },
      marker: { color: curve.split === "val" ? colours.ground : colour, size, line: { color: colour, width: 1.4 } },
    }];
  }
  const line = { color: colour, dash, ...(setting ? { shape: "hv" } : {}) };
  // A lone point is no line: without a marker it would not be seen at all.
  if (found.x.length === 1) return [{ ...common, y: found.y, mode: "markers", cliponaxis: false, marker: { color: colour, size: 5 } }];
  if (input.smooth <= 0 || setting || found.x.length <= FEW) {
    return [{ ...common, y: found.y, mode: "lines", line: { ...line, width: 1.6 } }];
  }
  return [
    { ...common, y: found.y, mode: "lines", opacity: 0.32, line: { ...line, width: 1 } },
    {
      ...common, y: smooth(found.y, input.smooth, found.x), mode: "lines", hoverinfo: "skip", hovertemplate: null,
      line: { ...line, width: 1.9 },
    },
  ];
}

function marksOf(input: FigureInput, range: [number, number], margin: number): { shapes: object[]; annotations: object[] } {
  const { axis, colours, started, width } = input;
  const shapes: object[] = [];
  const annotations: object[] = [];
  const [lo, hi] = range;
  const room = width - margin - RIGHT;
  const perUnit = room / Math.max(1e-12, hi - lo);
  let free = Infinity; // labels go in from the right; one that would touch the next is left to its line
  for (const mark of input.marks.slice(-MARKS_DRAWN).reverse()) {
    const raw = axis === "step" ? mark.step : axis === "epoch" ? mark.epoch : mark.time - started;
    if (!Number.isFinite(raw) || raw < lo || raw > hi) continue;
    const colour = mark.kind === "status" ? colours.quiet : colours.hold;
    shapes.push({
      type: "line", xref: "x", yref: "paper", x0: raw, x1: raw, y0: 0, y1: 1,
      line: { color: colour, width: 1, dash: "3px,3px" },
    });
    const at = (raw - lo) * perUnit;
    const longest = Math.floor((Math.max(at, room - at) - 10) / CHARACTER);
    if (longest < 8) continue; // no side has room for a word
    const label = shorten(mark.label, Math.min(28, longest));
    const wide = label.length * CHARACTER + 10;
    const left = at >= wide;
    const edge = left ? at : at + wide;
    if (edge > free || width < 220) continue;
    free = left ? at - wide : at;
    annotations.push({
      xref: "x", yref: "paper", x: raw, y: 1, yanchor: "bottom", xanchor: left ? "right" : "left",
      xshift: left ? 3 : -3, borderpad: 0, text: literal(label), showarrow: false, font: { size: 10.5, color: colour },
    });
  }
  return { shapes, annotations };
}

export function buildFigure(input: FigureInput): Figure {
  const { chart, axis, log, zoom, colours, started, width, height } = input;
  const fraction = isFraction(chart.name, chart.curves);
  const shift = axis === "time" ? started : 0;
  const data: Trace[] = [];
  let points = 0;
  let windowed = false;
  let lo = Infinity;
  let hi = -Infinity;
  let least = Infinity; // of the positive values: a logarithmic axis has no others
  let low = Infinity;
  let high = -Infinity;
  for (const curve of chart.curves) {
    const found = pointsFor(curve, axis, zoom);
    if (!found || found.points.x.length === 0) continue;
    const { x } = found.points;
    points += x.length;
    for (const value of found.points.y) {
      if (!Number.isFinite(value)) continue;
      if (value > 0 && value < least) least = value;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    windowed ||= found.windowed;
    lo = Math.min(lo, (x[0] as number) - shift);
    hi = Math.max(hi, (x[x.length - 1] as number) - shift);
    data.push(...traces(input, curve, found.points, fraction));
  }
  const setting = isSetting(chart.name);
  // Few points: an axis of their own would tell nothing, the run's does.
  const sparse = chart.curves.every((curve) => curve.kind === "epoch");
  if (sparse && Number.isFinite(lo)) lo = Math.min(lo, 0);
  if ((sparse || setting) && input.end !== null) hi = Math.max(hi, input.end - shift);
  if (zoom) [lo, hi] = [zoom[0] - shift, zoom[1] - shift];
  else if (!(lo < hi)) {
    const only = Number.isFinite(lo) ? lo : 0;
    [lo, hi] = [only - 0.5, only + 0.5];
  } else hi += (hi - lo) * 0.008; // the newest point stands clear of the edge
  const most = Math.max(2, Math.floor((width - LEFT) / 90));
  const font = { family: colours.font, size: 10.5, color: colours.quiet };
  const lines = { gridcolor: colours.faint, zeroline: false, tickcolor: "rgba(0,0,0,0)", ticklen: 3, showline: false,
    // Plotly would measure every label at every drawing, half of its time, to hide those that stick out: below, and the
    // margin to the left, see to it that none does.
    ticklabeloverflow: "allow",
  };
  const unit = axis === "step" ? "step %{x:,.0f}" : axis === "epoch" ? "epoch %{x:.2~f}" : "%{x:,.0f} s";
  const rows = Math.max(3, Math.min(6, Math.floor(height / 42)));
  const scale = !log && low <= high ? linearScale(low, high, rows, fraction, setting) : null;
  const longest = Math.max(0, ...(scale?.ticktext ?? []).map((text) => text.length));
  const left = Math.max(LEFT, Math.ceil(longest * CHARACTER) + 10);
  const all = axis === "time" ? timeTicks(lo, hi, most) : countTicks(lo, hi, most);
  const fits = all.ticktext.map((text, index) => {
    const end = left + (((all.tickvals[index] as number) - lo) / (hi - lo)) * (width - left - RIGHT);
    return end + (text.length * CHARACTER) / 2 <= width;
  });
  const ticks = {
    tickmode: "array",
    tickvals: all.tickvals.filter((_, index) => fits[index]),
    ticktext: all.ticktext.filter((_, index) => fits[index]),
  };
  const marked = marksOf(input, [lo, hi], left);
  const layout: Layout = {
    width,
    height,
    autosize: false,
    margin: { l: left, r: RIGHT, t: marked.annotations.length > 0 ? 18 : 8, b: 20, pad: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font,
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: {
      bgcolor: colours.ground, bordercolor: colours.grid, font: { ...font, size: 11, color: colours.text },
    },
    dragmode: "zoom",
    uirevision: "kept",
    datarevision: input.revision,
    xaxis: {
      ...lines, ...ticks, range: [lo, hi], autorange: false, showgrid: false,
      unifiedhovertitle: { text: unit }, showspikes: true, spikemode: "across", spikethickness: 1,
      spikedash: "solid", spikecolor: colours.grid, spikesnap: "hovered data",
    },
    yaxis: {
      ...lines, type: log ? "log" : "linear", fixedrange: true,
      ...(scale ? { ...scale, autorange: false, tickmode: "array" } : { autorange: true }),
      ...(log ? logTicks(least, high) : {}),
      tickformat: fraction ? "~%" : "~g",
    },
    ...marked,
  };
  return { data, layout, points, windowed };
}
