// Light or dark, and the colours that Plotly has to be told: JupyterLab says it on the body, VS Code in its own way,
// and where nobody says it the system's preference holds.

export type Theme = "light" | "dark";

export function themeNow(): Theme {
  const { body } = document;
  const lab = body.getAttribute("data-jp-theme-light");
  if (lab !== null) return lab === "false" ? "dark" : "light";
  const code = body.getAttribute("data-vscode-theme-kind");
  if (code !== null) return code.includes("dark") || code === "vscode-high-contrast" ? "dark" : "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Call at once and at every change; a theme's style sheet may land after its attribute, so twice. */
export function watchTheme(changed: (theme: Theme) => void): () => void {
  let timers: ReturnType<typeof setTimeout>[] = [];
  const again = (): void => {
    for (const timer of timers) clearTimeout(timer);
    changed(themeNow());
    timers = [150, 800].map((ms) => setTimeout(() => changed(themeNow()), ms));
  };
  const observer = new MutationObserver(again);
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind"],
  });
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", again);
  changed(themeNow());
  return () => {
    observer.disconnect();
    media.removeEventListener("change", again);
    for (const timer of timers) clearTimeout(timer);
  };
}

export type Colours = {
  text: string;
  quiet: string;
  grid: string;
  faint: string;
  ground: string;
  hold: string;
  accent: string;
  font: string;
  series: string[];
};

const plain = new Map<string, string>();
let pixel: CanvasRenderingContext2D | null = null;

/** Any CSS colour as rgba(): Plotly knows neither color-mix() nor the newer colour spaces that a theme may use. */
function asRgba(colour: string): string {
  const known = plain.get(colour);
  if (known) return known;
  pixel ??= Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  if (!pixel) return colour;
  pixel.clearRect(0, 0, 1, 1);
  pixel.fillStyle = colour;
  pixel.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data as unknown as [number, number, number, number];
  const made = `rgba(${r},${g},${b},${(a / 255).toFixed(3)})`;
  plain.set(colour, made);
  return made;
}

/** The dashboard's own colours by name ("good" is `--nbm-good`), as they are under `root` now. */
export function readVariables<K extends string>(root: HTMLElement, names: readonly K[]): Record<K, string> {
  const style = getComputedStyle(root);
  const pairs = names.map((name) => [name, asRgba(style.getPropertyValue(`--nbm-${name}`).trim())]);
  return Object.fromEntries(pairs) as Record<K, string>;
}

export function readColours(root: HTMLElement): Colours {
  const style = getComputedStyle(root);
  const value = (name: string): string => asRgba(style.getPropertyValue(name).trim());
  return {
    text: value("--nbm-text"),
    quiet: value("--nbm-quiet"),
    grid: value("--nbm-line"),
    faint: value("--nbm-faint"),
    ground: value("--nbm-ground"),
    hold: value("--nbm-hold"),
    accent: value("--nbm-accent"),
    font: style.fontFamily,
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((k) => value(`--nbm-s${k}`)),
  };
}
