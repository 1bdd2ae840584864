// The few DOM helpers that every panel uses. Text goes in as text nodes only: nothing from a run is ever HTML.
import { clean } from "./format.ts";

type Attributes = Record<string, string | number | boolean | EventListener | null | undefined>;
type Child = Node | string | null | undefined;

/** Create an element; `on…` attributes are listeners, `true` is an empty attribute, `false` and null are none. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined) {
      node.append(typeof child === "string" ? clean(child) : child);
    }
  }
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(viewBox: string, path: string, attributes: Record<string, string> = {}): SVGSVGElement {
  const root = document.createElementNS(SVG, "svg");
  root.setAttribute("viewBox", viewBox);
  root.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
  root.append(shape);
  return root;
}

/** Set the text only where it differs: at 60 updates a second an equal write would still cost a layout. */
export function setText(node: Node, text: string): void {
  const wanted = clean(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function setAttr(node: Element, name: string, value: string | number | boolean | null): void {
  if (value === null || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const wanted = value === true ? "" : clean(String(value));
  if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
}

export function show(node: HTMLElement, visible: boolean): void {
  if (node.hidden === visible) node.hidden = !visible;
}
