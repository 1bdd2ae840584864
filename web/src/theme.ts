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
  ground: string;
  hold: string;
  accent: string;
  font: string;
  series: string[];
};

export function readColours(root: HTMLElement): Colours {
  const style = getComputedStyle(root);
  const value = (name: string): string => style.getPropertyValue(name).trim();
  return {
    text: value("--nbm-text"),
    quiet: value("--nbm-quiet"),
    grid: value("--nbm-line"),
    ground: value("--nbm-ground"),
    hold: value("--nbm-hold"),
    accent: value("--nbm-accent"),
    font: style.fontFamily,
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((k) => value(`--nbm-s${k}`)),
  };
}
