// A button that keeps its focus and its width: disabled by aria, its label changed in place.
import { h, setAttr, setText, svg } from "../dom.ts";

export const icons = {
  pause: "M1 0h3v10H1zM6 0h3v10H6z",
  play: "M1 0l9 5-9 5z",
  stop: "M0 0h10v10H0z",
  wheel: "M5 .7a4.3 4.3 0 1 0 .01 0zM5 .7v3M1.3 7.2l2.5-1.5M8.7 7.2L6.2 5.7M5 3.7a1.3 1.3 0 1 0 .01 0z",
};

export type ActionButton = {
  node: HTMLButtonElement;
  label(text: string): void;
  icon(path: string): void;
  enable(on: boolean): void;
};

export function actionButton(
  action: string,
  text: string,
  icon: string | null,
  act: () => void,
): ActionButton {
  const label = h("span", {}, text);
  const shape = icon === null ? null : svg("0 0 10 10", icon);
  const node = h("button", { type: "button", "data-action": action }, shape, label);
  node.addEventListener("click", () => {
    if (node.getAttribute("aria-disabled") !== "true") act();
  });
  return {
    node,
    label: (words) => setText(label, words),
    icon: (path) => {
      const drawn = shape?.firstElementChild;
      if (drawn) setAttr(drawn, "d", path);
    },
    enable: (on) => setAttr(node, "aria-disabled", on ? null : "true"),
  };
}

/** A row of choices of which one is pressed. */
export function segments<T extends string>(
  label: string,
  choices: { value: T; text: string; action: string; title?: string }[],
  pick: (value: T) => void,
): { node: HTMLElement; press(value: T): void } {
  const buttons = choices.map((choice) => {
    const one = h("button", {
      type: "button", "data-action": choice.action, "aria-pressed": "false", title: choice.title,
    }, choice.text);
    one.addEventListener("click", () => pick(choice.value));
    return one;
  });
  return {
    node: h("span", { class: "nbm-seg", role: "group", "aria-label": label }, ...buttons),
    press(value) {
      choices.forEach((choice, index) => {
        const one = buttons[index];
        if (one) setAttr(one, "aria-pressed", String(choice.value === value));
      });
    },
  };
}
