// The dashboard with a kernel that is not there. In the address: theme, width, state, metrics, size, fps, road, delay,
// names, runs, wheel, locked, hostile, views, lab (0: a page without JupyterLab's theme).
import "../src/styles.css";
import dashboard from "../src/index.ts";
import { createKernel } from "./kernel.ts";

const query = new URLSearchParams(location.search);
const get = (name: string, otherwise: string): string => query.get(name) ?? otherwise;

if (get("lab", "1") === "1") document.body.dataset.jpThemeLight = String(get("theme", "light") === "light");
const width = query.get("width");
if (width) for (const id of ["one", "two"]) (document.getElementById(id) as HTMLElement).style.width = `${width}px`;

const model = createKernel({
  state: get("state", "running"),
  metrics: Number(get("metrics", "2")),
  hostile: query.has("hostile"),
  size: Number(get("size", "32")),
  fps: Number(get("fps", "30")),
  road: get("road", "control"),
  delay: Number(get("delay", "40")),
  names: get("names", "digits"),
  wheel: get("wheel", ""),
  locked: query.has("locked"),
  runs: query.has("runs") ? [{ id: "r0", name: "digits-mlp", state: "failed", started: Date.now() / 1000 - 3600, step: 812 }] : [],
});
const widget = dashboard();
widget.initialize({ model: model as never });
widget.render({ model: model as never, el: document.getElementById("one") as HTMLElement });
if (get("views", "1") === "2") {
  const dispose = widget.render({ model: model as never, el: document.getElementById("two") as HTMLElement });
  document.addEventListener("dispose-second", () => dispose());
}
