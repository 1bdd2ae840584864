"""The one way in which a learning rate is changed: set, scale, pin, release.

Without a scheduler, *set* and *scale* write the optimizer's ``param_groups``. With one, that would be overwritten by
its next step (LambdaLR, OneCycleLR) or drift (CosineAnnealingLR), so hooks scale the rate just for the optimizer's step
and put the scheduled one back: the schedule keeps its shape and never sees the factor. *pin* always goes by hooks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nbmonitor.errors import CommandError, InputError
from nbmonitor.training.capture import read
from nbmonitor.training.device import Pending
from nbmonitor.training.params import real

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmonitor.training.device import Device
    from nbmonitor.training.params import Change

NAME = "learning rate"
DEVICE_LOOKS = 100  # a rate that lies on a device is asked for at one boundary of so many, known at a later one
MODES = ("set", "scale", "pin", "release")


class LearningRate:
    """Rates of an optimizer: the scheduled ones, in ``param_groups``, and the effective ones, in its step.

    Several groups keep their ratio: what is set is the rate of the first group.

    Raises
    ------
    InputError
        When ``optimizer`` has no ``param_groups`` with a rate.
    """

    def __init__(self, optimizer: Any, scheduler: Any = None, device: Device | None = None) -> None:
        groups = getattr(optimizer, "param_groups", None)
        if not groups or any("lr" not in group for group in groups):
            raise InputError(
                f"run.control(optimizer=...) needs an optimizer whose `param_groups` have a rate `lr`, not a "
                f"{type(optimizer).__name__}"
            )
        self.optimizer, self._scheduler = optimizer, scheduler
        self._factor = 1.0
        self._pinned: tuple[float, ...] | None = None
        self._original: tuple[float, ...] | None = (
            None  # before the first write without a scheduler
        )
        self._hooks: list[Any] = []
        self._held: list[
            tuple[Any, Any, float]
        ] = []  # group, its scheduled rate, the rate in its place
        self._told: tuple[float, ...] = ()
        self._looked: list[Any] | None = None  # at these floats, which came to what was told
        self._looks = 0
        self._device = device  # by which rates that lie on one come here without a wait
        self._asked: dict[str, Any] | None = None
        self._known: tuple[float, ...] = ()  # of those, what came last

    @property
    def scheduled(self) -> bool:
        """Whether a scheduler writes the rates: one was given, or wrapped the optimizer's step."""
        step = getattr(self.optimizer, "step", None)
        return (
            self._scheduler is not None
            or getattr(step, "_wrapped_by_lr_sched", False)  # torch from 2.4
            or getattr(step, "_with_counter", False)
        )

    def rates(self) -> tuple[float, ...]:
        """Effective rate of each group: what the optimizer's step will use."""
        if self._held:
            self._put_back()
        scheduled = [_read(group) for group in self.optimizer.param_groups]
        return tuple(self._effective(i, rate) for i, rate in enumerate(scheduled))

    def changed(self) -> dict[str, float]:
        """Effective rates by series name where they changed since the last call, else nothing."""
        written = [group["lr"] for group in self.optimizer.param_groups]
        if written == self._looked and not self._held:  # as after most steps: nobody wrote
            return {}
        rates = self._seen() if self._away else self.rates()
        # A tensor says nothing by being the same one: it may have been filled with something else.
        self._looked = written if all(type(rate) is float for rate in written) else None
        if rates is None or rates == self._told:
            return {}
        self._told = rates
        return {"lr" if i == 0 else f"lr/{i}": rate for i, rate in enumerate(rates)}

    @property
    def _away(self) -> bool:
        """Whether the rate lies on a device: capturable optimizers keep it there."""
        return getattr(self.optimizer.param_groups[0]["lr"], "is_cpu", True) is False

    def _seen(self) -> tuple[float, ...] | None:
        """Rates as they were on their device a moment ago; None when nothing new is known of them."""
        asked = self._asked
        if asked is None:
            self._looks += 1
            if self._looks % DEVICE_LOOKS != 1:
                return None
            asked = {str(i): group["lr"] for i, group in enumerate(self.optimizer.param_groups)}
            held = {i: rate.detach() for i, rate in asked.items() if hasattr(rate, "is_cuda")}
            if self._device is not None and held and all(rate.is_cuda for rate in held.values()):
                asked = self._device.take(asked, held)
            self._asked = asked
        if isinstance(asked, Pending):
            if not asked.ready:
                return None
            asked = asked.settle()
        self._asked = None
        if len(asked) < len(self.optimizer.param_groups):  # lost on the way: another time
            return None
        self._known = tuple(self._effective(i, read(rate)) for i, rate in enumerate(asked.values()))
        return self._known

    def facts(self) -> dict[str, Any]:
        """For display: the effective rate of the first group, and whether a schedule changes it."""
        rates = self._known if self._away else ()
        return {"value": (rates or self.rates())[0], "scheduled": bool(self.scheduled)}

    # --- commands ----------------------------------------------------------------------------------------------------

    def command(self, params: Mapping[str, Any]) -> Change:
        """Carry out ``{"value": number, "mode": "set" | "scale" | "pin" | "release"}``; "set" is the default.

        Raises
        ------
        CommandError
            With the reason, when it cannot be done; nothing was changed then.
        """
        mode = params.get("mode", "set")
        if mode not in MODES:
            raise CommandError(f"mode must be one of {', '.join(MODES)}, not {ascii(mode)[:40]}")
        self._looked = None  # the same written rates now come to something else
        before = self.rates()
        if mode == "release":
            self._release()
        else:
            value = real(params, "the factor" if mode == "scale" else f"the {NAME}")
            if not math.isfinite(value) or value <= 0:
                what = "factor" if mode == "scale" else NAME
                raise CommandError(f"the {what} must be a finite number above 0, not {value:g}")
            getattr(self, f"_{mode}")(value, before)
        after = self._known = self.rates()
        note = {"pin": " (pinned)", "release": ""}.get(mode, "")
        if mode in ("set", "scale") and self.scheduled:
            note = f" (schedule × {self._factor:.4g})"
        return {NAME: f"{before[0]:.4g}"}, {NAME: f"{after[0]:.4g}{note}"}

    def _set(self, value: float, before: tuple[float, ...]) -> None:
        if self.scheduled:
            scheduled = _read(self.optimizer.param_groups[0])
            if scheduled == 0:
                raise CommandError(
                    "the scheduled rate is 0 here, and no factor makes that something else: pin the rate instead"
                )
            self._hold(value / scheduled, None)
        else:
            self._unpin()
            self._write(_in_ratio(value, before))

    def _scale(self, value: float, before: tuple[float, ...]) -> None:
        if self._pinned is not None:
            self._hold(self._factor, _finite(tuple(rate * value for rate in self._pinned)))
        elif self.scheduled:
            _finite(tuple(rate * value for rate in before))
            self._hold(self._factor * value, None)
        else:
            self._write(_finite(tuple(rate * value for rate in before)))

    def _pin(self, value: float, before: tuple[float, ...]) -> None:
        self._hold(self._factor, _in_ratio(value, before))

    def _release(self) -> None:
        if self._factor == 1.0 and self._pinned is None and self._original is None:
            raise CommandError("there is nothing to release: the rate is the script's own")
        self._unpin()
        self._factor = 1.0
        if self._original is not None and not self.scheduled:
            self._write(self._original)
        self._original = None

    def close(self) -> None:
        """Let go of the optimizer: its rates are the script's own again (what was written stays)."""
        if self._held:
            self._put_back()
        self._unpin()
        self._factor = 1.0

    # --- inside ------------------------------------------------------------------------------------------------------

    def _effective(self, index: int, scheduled: float) -> float:
        if self._pinned is not None:
            return self._pinned[min(index, len(self._pinned) - 1)]
        return scheduled * self._factor

    def _write(self, rates: tuple[float, ...]) -> None:
        groups = self.optimizer.param_groups
        if self._original is None:
            self._original = tuple(_read(group) for group in groups)
        for group, rate in zip(groups, rates, strict=False):
            _put(group, rate)

    def _hold(self, factor: float, pinned: tuple[float, ...] | None) -> None:
        """From now on hooks put a factor, or pinned rates, in the place of the scheduled ones during each step."""
        if not self._hooks:
            register = getattr(self.optimizer, "register_step_pre_hook", None)
            after = getattr(self.optimizer, "register_step_post_hook", None)
            if register is None or after is None:
                raise CommandError(
                    f"{type(self.optimizer).__name__} has no step hooks (torch from 2.0 has), without which a schedule "
                    "would overwrite the rate"
                )
            self._hooks = [register(self._before_step), after(self._after_step)]
        self._factor, self._pinned = factor, pinned

    def _unpin(self) -> None:
        self._pinned = None
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _before_step(self, *_: Any) -> None:
        if self._held:
            self._put_back()
        for index, group in enumerate(self.optimizer.param_groups):
            rate = group["lr"]
            kept = rate.clone() if hasattr(rate, "clone") else rate
            _put(group, self._effective(index, _read(group)))
            self._held.append((group, kept, _read(group)))

    def _after_step(self, *_: Any) -> None:
        self._put_back()

    def _put_back(self) -> None:
        """Scheduled rates back in their place; also after a step that raised, which skips the post hook."""
        held, self._held = self._held, []
        for group, kept, ours in held:
            if _read(group) != ours:  # somebody else has written since: their word
                continue
            if hasattr(group["lr"], "copy_"):
                group["lr"].copy_(kept)
            else:
                group["lr"] = kept


def _read(group: Any) -> float:
    rate = group["lr"]
    return float(rate.item() if hasattr(rate, "item") else rate)


def _put(group: Any, rate: float) -> None:
    if hasattr(
        group["lr"], "fill_"
    ):  # capturable and fused optimizers hold a tensor, read where it lies
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def _in_ratio(value: float, rates: tuple[float, ...]) -> tuple[float, ...]:
    """Rates with ``value`` for the first group and the ratio between groups kept; one for all where the first is 0."""
    if rates[0] == 0:
        return (value,) * len(rates)
    return _finite(tuple(rate / rates[0] * value for rate in rates))


def _finite(rates: tuple[float, ...]) -> tuple[float, ...]:
    if not all(math.isfinite(rate) for rate in rates):
        raise CommandError("the rate would be beyond every number")
    return rates
