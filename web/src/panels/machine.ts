// CPU, memory and GPUs: a line, and its value.
import { MACHINE, type Curve } from "../curves.ts";
import { h, setAttr, setText, show, svg } from "../dom.ts";
import { figure, memory } from "../format.ts";
import { subscribeSlowly } from "../pace.ts";
import type { Store } from "../store.ts";

const LINE_POINTS = 90;

type Row = { name: string; label: string; value: string; line: Curve; top: number | null };

function valueOf(curves: Map<string, Curve>, name: string): number | undefined {
  const curve = curves.get(name);
  return curve && Number.isFinite(curve.last) ? curve.last : undefined;
}

/** Rows from the machine's series; figures with other names stand at the end under their own. */
export function machineRows(all: Curve[]): Row[] {
  const curves = new Map(
    all.filter((curve) => curve.name.startsWith(MACHINE)).map((curve) => [curve.name.slice(MACHINE.length), curve]),
  );
  const gpus = [...new Set([...curves.keys()].map((name) => /^gpu(\d+)\//.exec(name)?.[1]).filter(Boolean))].sort();
  const rows: Row[] = [];
  const used = new Set<string>();
  const add = (name: string, label: string, total?: string): void => {
    const line = curves.get(name);
    used.add(name);
    if (total) used.add(total);
    if (!line || line.total === 0) return;
    const of = total === undefined ? undefined : valueOf(curves, total);
    const percent = total === undefined;
    const value = !Number.isFinite(line.last) ? "–" : percent ? `${Math.round(line.last)} %` : memory(line.last, of);
    rows.push({ name, label, value, line, top: percent ? 100 : (of ?? null) });
  };
  add("cpu", "CPU");
  add("memory_mb", "Memory (this process)", "memory_total_mb");
  for (const gpu of gpus) {
    const which = gpus.length > 1 ? ` ${gpu}` : "";
    add(`gpu${gpu}/percent`, `GPU${which}`);
    add(`gpu${gpu}/memory_mb`, `GPU${which} memory`, `gpu${gpu}/memory_total_mb`);
  }
  for (const [name, line] of curves) {
    if (used.has(name) || line.total === 0) continue;
    rows.push({ name, label: name, value: figure(line.last), line, top: null });
  }
  return rows;
}

/** A path in a box of 100 × 18. */
export function sparkline(y: ArrayLike<number>, top: number | null): string {
  const values = Array.from({ length: Math.min(LINE_POINTS, y.length) }, (_, index) =>
    y[Math.max(0, y.length - LINE_POINTS) + index] ?? NaN);
  const most = top ?? values.reduce((max, value) => (value > max ? value : max), 0) * 1.1;
  const scale = most > 0 ? most : 1;
  let pen = "M";
  return values.map((value, index) => {
    if (!Number.isFinite(value)) {
      pen = "M";
      return "";
    }
    const x = values.length > 1 ? (index / (values.length - 1)) * 100 : 100;
    const at = `${pen}${x.toFixed(1)} ${(17 - 16 * Math.min(1, Math.max(0, value / scale))).toFixed(1)}`;
    pen = "L";
    return at;
  }).join("");
}

export function machine(el: HTMLElement, store: Store): () => void {
  const { state } = store;
  const table = h("div", { class: "nbm-res nbm-num" });
  el.append(h("div", { class: "nbm-hd" }, h("h3", {}, "Machine")), table);
  const cells = new Map<string, { label: HTMLElement; line: SVGSVGElement; value: HTMLElement; rev: number }>();

  function update(): void {
    const rows = machineRows(state.curves.all());
    show(el, rows.length > 0);
    const names = new Set(rows.map((row) => row.name));
    for (const [name, cell] of cells) {
      if (names.has(name)) continue;
      for (const node of [cell.label, cell.line, cell.value]) node.remove();
      cells.delete(name);
    }
    for (const row of rows) {
      let cell = cells.get(row.name);
      if (!cell) {
        const line = svg("0 0 100 18", "", { fill: "none", stroke: "currentColor", "vector-effect": "non-scaling-stroke" });
        line.setAttribute("preserveAspectRatio", "none");
        cell = { label: h("span", { class: "nbm-quiet" }), line, value: h("b"), rev: -1 };
        cells.set(row.name, cell);
        table.append(cell.label, cell.line, cell.value);
      }
      setText(cell.label, row.label);
      setText(cell.value, row.value);
      if (cell.rev === row.line.rev) continue;
      cell.rev = row.line.rev;
      const points = row.line.points[state.settings.axis] ?? Object.values(row.line.points)[0];
      const path = cell.line.firstElementChild;
      if (path) setAttr(path, "d", points ? sparkline(points.y, row.top) : "");
    }
  }

  update();
  return subscribeSlowly(store, [], ["series"], update);
}
