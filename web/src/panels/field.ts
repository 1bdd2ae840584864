// A labelled number with a "Set" that appears once the number was changed. While a person types, the run's own value
// does not overwrite what they typed. Which numbers are allowed is for the run to say: its refusal comes back in words.
import { h, setAttr, setText, show } from "../dom.ts";

export type NumberField = {
  node: HTMLElement;
  after: HTMLElement;
  value(text: string, enabled: boolean): void;
};

let serial = 0;

export function numberField(options: {
  label: string;
  input: string;
  action: string;
  submit: (value: number) => void;
}): NumberField {
  const id = `nbm-field-${(serial += 1)}`;
  const input = h("input", {
    id, class: "nbm-num", type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false",
    "data-input": options.input, "aria-describedby": `${id}-wrong`,
  });
  const set = h("button", { type: "button", "data-action": options.action }, "Set");
  const wrong = h("span", { id: `${id}-wrong`, class: "nbm-said", role: "status", "data-tone": "bad" });
  const after = h("span", { class: "nbm-after" });
  let current = "";

  const changed = (): boolean => input.value.trim() !== "" && input.value.trim() !== current;
  const edited = (): void => {
    show(set, changed());
    say("");
  };
  const say = (words: string): void => {
    setText(wrong, words);
    show(wrong, words !== "");
    setAttr(input, "aria-invalid", words !== "" ? "true" : null);
  };
  const submit = (): void => {
    if (input.readOnly || input.value.trim() === "") return;
    const value = Number(input.value.trim().replace(",", "."));
    if (!Number.isFinite(value)) {
      say("not a number");
      return;
    }
    options.submit(value);
    input.value = current; // not optimistic: the new value shows when the run has it
    edited();
  };
  input.addEventListener("input", edited);
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", (event) => {
    // Leaving the field for anything but its own button takes the words back.
    if ((event as FocusEvent).relatedTarget === set) return;
    input.value = current;
    edited();
  });
  input.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook's own shortcuts must not hear what is typed here
    if (event.key === "Enter") submit();
    if (event.key === "Escape") {
      input.value = current;
      edited();
    }
  });
  set.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus, and with it the number
  set.addEventListener("click", submit);
  show(set, false);
  show(wrong, false);

  return {
    node: h("span", { class: "nbm-field" }, h("label", { for: id }, options.label), input, set, after, wrong),
    after,
    value(text, enabled) {
      const editing = changed() && document.activeElement === input;
      current = text;
      if (!editing && input.value !== text) input.value = text;
      input.readOnly = !enabled;
      setAttr(input, "aria-disabled", enabled ? null : "true");
      if (!editing) show(set, false);
    },
  };
}
