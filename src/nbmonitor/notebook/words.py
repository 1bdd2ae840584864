"""What happened, in words: the lines of the event list and the markers on the curves. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from nbmonitor.events import (
    CommandKind,
    CommandRecord,
    CommandState,
    Epoch,
    Gap,
    LogLine,
    RunState,
    Status,
)
from nbmonitor.notebook.plain import duration, figure, num, text
from nbmonitor.series import classify

if TYPE_CHECKING:
    from nbmonitor.events import Event

LINES = 200
MARKS = 100
VALUES = 6  # of an epoch, in its line

WHAT = {
    CommandKind.PAUSE: "Pause",
    CommandKind.RESUME: "Resume",
    CommandKind.STOP: "Stop",
    CommandKind.SET_LEARNING_RATE: "Learning rate",
    CommandKind.SET_BATCH_SIZE: "Batch size",
}
DONE = {CommandKind.PAUSE: "Paused", CommandKind.RESUME: "Resumed", CommandKind.STOP: "Stopping"}
WHEEL = {  # asked, and done
    "take": ("Take the wheel", "Took the wheel"),
    "give": ("Hand the wheel over", "Handed the wheel over"),
    "release": ("Let go of the wheel", "Let go of the wheel"),
    "lock": ("Lock the wheel", "Locked the wheel"),
    "unlock": ("Unlock the wheel", "Unlocked the wheel"),
}
_WAIT = {
    CommandState.QUEUED: "asked",
    CommandState.SENT: "asked, on its way to the trainer",
    CommandState.DELIVERED: "asked, applied at the next step",
}
_ENDS: dict[RunState, tuple[str, str]] = {
    RunState.COMPLETED: ("Completed", "ok"),
    RunState.FAILED: ("Failed", "no"),
    RunState.STOPPED: ("Stopped", "ok"),
    RunState.INTERRUPTED: ("Interrupted", "warn"),
    RunState.LOST: ("Lost", "warn"),
}


def at(step: int) -> str:
    """Where: ``at step 2,104``."""
    return f"at step {step:,}"


class Chronicle:
    """The lines and markers of one run. Feed it sparse events in order; the same event twice changes nothing."""

    def __init__(self) -> None:
        self.lines: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.marks: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._state: RunState | None = None
        self._paused: tuple[float, str] | None = None  # since when, and the id of its marker

    def take(self, event: Event) -> dict[str, Any] | None:
        """The line that this event adds or changes; None where it says nothing new."""
        payload = event.payload
        line: dict[str, Any] | None = None
        if isinstance(payload, CommandRecord):
            line = self.command(payload, event.step, event.time)
        elif f"e{event.seq}" in self.lines:
            return None
        elif isinstance(payload, Status):
            line = self._status(payload, event.step)
        elif isinstance(payload, Epoch):
            line = {"kind": "epoch", "mark": "", "text": _epoch(payload)}
        elif isinstance(payload, LogLine):
            alert = payload.level == "alert"
            sign = {"warning": "warn", "alert": "warn", "error": "no"}.get(payload.level, "")
            line = {"kind": "alert" if alert else "log", "mark": sign, "text": text(payload.text)}
        elif isinstance(payload, Gap):
            line = self._gap(payload, event)
        if line is None:
            return None
        line = {"id": f"e{event.seq}", "time": event.time} | line
        return self._keep(line)

    def command(self, record: CommandRecord, step: int, when: float) -> dict[str, Any] | None:
        """The line of a command; None where it stood there already."""
        command, state = record.command, record.state
        key = f"c{command.command_id}"
        known = self.lines.get(key)
        if known is not None and (
            known["state"] == state.value or CommandState(known["state"]).final
        ):
            return None
        step = record.step if record.step is not None else step
        what = WHAT.get(command.kind, command.kind.replace("_", " ").capitalize())
        asked = _asked(command.params)
        if command.kind is CommandKind.WHEEL:
            words = WHEEL.get(str(command.params.get("mode")), ("Wheel", "Wheel"))
            what, asked = words[state is CommandState.APPLIED], ""
        line: dict[str, Any] = {
            "id": key,
            "time": record.resolved_at or when,
            "kind": "command",
            "command": command.command_id,
            "state": state.value,
            "who": text(command.actor, 60),
        }
        if state is CommandState.APPLIED:
            line |= {"mark": "ok"} | self._applied(record, what, step)
            took = (record.resolved_at or when) - command.asked_at
            if 0 <= took < 10 and command.kind is not CommandKind.RESUME:
                line["who"] += f" · {took * 1000:.0f} ms"
        elif state in _WAIT:
            line |= {"mark": "wait", "text": f"{what}{asked}", "tail": _WAIT[state]}
        else:
            word = "refused" if state is CommandState.REJECTED else state.value
            why = text(record.error, 1000) or "no reason was given"
            sign = "warn" if state is CommandState.UNCONFIRMED else "no"
            line |= {"mark": sign, "text": f"{what}{asked}", "tail": f"{word}: {why}"}
        return self._keep(line)

    def _applied(self, record: CommandRecord, what: str, step: int) -> dict[str, Any]:
        kind = record.command.kind
        when = record.resolved_at or record.command.asked_at
        key = f"m{record.command.command_id}"
        if kind is CommandKind.PAUSE:
            self._paused = (when, key)
            self._mark(key, step, when, "paused", "command")
            return {"text": DONE[kind], "tail": at(step)}
        if kind is CommandKind.RESUME:
            since, self._paused = self._paused, None
            if since is None:
                return {"text": DONE[kind], "tail": at(step)}
            pause = duration(when - since[0])
            if since[1] in self.marks:
                self.marks[since[1]]["label"] = f"paused {pause}"
            return {"text": DONE[kind], "tail": f"after {pause} {at(step)}"}
        if kind is CommandKind.WHEEL:  # nothing of the training: no marker
            to = text(record.after.get("wheel", ""), 100)
            given = record.command.params.get("mode") == "give" and to
            return {"text": f"{what} to {to}" if given else what}
        line: dict[str, Any] = {"text": DONE.get(kind, what), "tail": at(step)}
        if kind is CommandKind.STOP:  # from state to state: the words say it
            before = after = ""
        else:
            before, after = _values(record.before), _values(record.after)
        label = what.lower()
        if after:
            line |= {"before": before, "after": after} if before else {"after": after}
            value = _brief(after)
            label += f" {_brief(before)} → {value}" if before else f" {value}"
        if record.error:  # applied, with something to know: "counted on by the schedule as 32"
            line["tail"] += f" ({text(record.error)})"
        self._mark(key, step, when, label, "command")
        return line

    def _status(self, status: Status, step: int) -> dict[str, Any] | None:
        before, self._state = self._state, status.state
        if before is status.state:
            return None  # a torn stream or a run taken up under its id repeats where it stands
        line: dict[str, Any] = {"kind": "status", "mark": ""}
        if status.state in _ENDS:
            word, sign = _ENDS[status.state]
            why = text(status.message)
            if status.error_type and not why.startswith(status.error_type):
                why = f"{text(status.error_type, 80)}: {why}" if why else text(status.error_type)
            tail = f"{at(step)}: {why}" if why else at(step)
            return line | {"mark": sign, "text": word, "tail": tail}
        if status.state is RunState.RUNNING:
            if before is None or before is RunState.INITIALIZING:
                return line | {"text": "Started"} | ({"tail": at(step)} if step else {})
            if before is RunState.LOST:
                return line | {"text": "Back", "tail": at(step)}
            if before.ended:
                return line | {"text": "Taken up again", "tail": at(step)}
        return None  # pausing and stopping have the line of their command

    def _gap(self, gap: Gap, event: Event) -> dict[str, Any]:
        count = f"{gap.count:,} " if gap.count else ""
        values = "value is" if gap.count == 1 else "values are"
        self._mark(f"m{event.seq}", event.step, event.time, f"gap: {text(gap.reason, 60)}", "gap")
        words = f"{count}{values} missing {at(event.step)}"
        return {"kind": "gap", "mark": "warn", "text": words.capitalize(), "tail": text(gap.reason)}

    def _mark(self, key: str, step: int, when: float, label: str, kind: str) -> None:
        self.marks[key] = {
            "id": key, "step": step, "time": when, "label": label, "kind": kind,
        }  # fmt: skip
        while len(self.marks) > MARKS:
            self.marks.popitem(last=False)

    def _keep(self, line: dict[str, Any]) -> dict[str, Any]:
        self.lines[line["id"]] = line
        while len(self.lines) > LINES:
            self.lines.popitem(last=False)
        return line


def _values(by_name: Any) -> str:
    return ", ".join(text(v, 300) for v in by_name.values())


def _brief(value: str) -> str:
    """The value alone, for a marker: ``64`` of ``64 from the next epoch; ...``."""
    return value.split(";", maxsplit=1)[0].split(" from ", maxsplit=1)[0]


def _asked(params: Any) -> str:
    """What was asked for, as it stands behind the control's name: ``" 0"``, ``" × 0.1"``."""
    mode, value = params.get("mode", "set"), params.get("value")
    if mode == "release":
        return " released"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "" if value is None else f" {text(value, 40)}"
    shown = num(value)
    words = f"{shown:,}" if isinstance(shown, int) else str(shown)
    return {"scale": f" \u00d7 {words}", "pin": f" {words} (pinned)"}.get(mode, f" {words}")


def set_of(name: str) -> str:
    """The data that a validation series is of, in the word of its own name."""
    low = name.lower()
    return next((word for word in ("test", "eval") if low.startswith(word)), "validation")


def _epoch(epoch: Epoch) -> str:
    shown = []
    for name, value in list(epoch.values.items())[:VALUES]:
        chart, split = classify(text(name, 60))
        whose = f"{set_of(name)} " if split == "val" else ""
        shown.append(f"{whose}{chart} {figure(chart, float(value))}")
    more = len(epoch.values) - len(shown)
    if more > 0:
        shown.append(f"{more} more")
    where = f"Epoch {epoch.epoch}" + (" (validation)" if epoch.split == "val" else "")
    return f"{where}: {', '.join(shown)}" if shown else f"{where} has ended"
