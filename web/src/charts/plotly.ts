// The only import of Plotly. Its types are as wide as its options; what is used here is written out.
import bundle from "plotly.js-basic-dist-min";

export type Trace = Record<string, unknown>;
export type Layout = Record<string, unknown>;

export interface GraphDiv extends HTMLDivElement {
  on(event: string, listener: (event: Record<string, unknown> | null) => void): void;
  removeAllListeners(event?: string): void;
}

interface PlotlyModule {
  react(div: HTMLElement, data: Trace[], layout: Layout, config: Record<string, unknown>): Promise<GraphDiv>;
  purge(div: HTMLElement): void;
}

const plotly = bundle as unknown as PlotlyModule;

const CONFIG = {
  displayModeBar: false,
  doubleClick: false, // our own listener gives the whole curve back
  scrollZoom: false,
  responsive: false,
  showTips: false,
};

export function draw(div: HTMLElement, data: Trace[], layout: Layout): void {
  void plotly.react(div, data, layout, CONFIG);
}

export function purge(div: HTMLElement): void {
  plotly.purge(div);
}
