"""Verification: compare the cells in a suite with their pinned values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq
from typing import Any, Literal, TypeAlias

from harness.errors import DataError
from harness.metrics.intervals import Z_95
from harness.plan.explain import differences, flatten
from harness.plan.jobs import PlannedCell
from harness.plan.plan import Plan
from harness.regression.make_pins import medians, provenance_of
from harness.regression.pinned_settings import SEEDED, cell_settings, settings_key
from harness.regression.pins import Pin, Pins, cell_name
from harness.results import STATUS_WORDS, Cell, Metrics, Result

State: TypeAlias = Literal["holds", "value moved", "key changed", "cell failed", "cell missing"]

REGRESSED = 3
UNVERIFIED = 1


@dataclass(frozen=True)
class Verdict:
    """Outcome of checking one pin.

    Attributes:
        pin: The pin.
        state: "holds", or the reason why the pin does not hold.
        message: Description of the differences; empty if the pin holds.
        result: Current result for the cell, if available.
    """

    pin: Pin
    state: State
    message: str
    result: Result | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the verdict in the form printed by `bench verify --json`."""
        pin, metrics = self.pin, self.result.metrics if self.result else None
        return {
            "cell": cell_name(pin.cell),
            "state": self.state,
            "message": self.message,
            "pinned": pin.auroc.value,
            "tolerance": pin.auroc.tolerance,
            "se": pin.se,
            "auroc": metrics and metrics.auroc,
            "auroc_se": metrics and metrics.auroc_se_examples,
        }


def verify_pins(pins: Pins, plan: Plan, results: Iterable[Result]) -> list[Verdict]:
    """Check each pin against the current results.

    Arguments:
        pins: Pins as read from disk.
        plan: Plan for the current suite, with its data sets found.
        results: Results for this plan, with scores.
    """
    planned = {item.cell: item for item in plan.cells}
    found = {result.cell: result for result in results}
    return [_verdict(pin, plan, planned, found.get(pin.cell)) for pin in pins.pins]


def unpinned(pins: Pins, plan: Plan, results: Iterable[Result]) -> list[Cell]:
    """List the cells in a suite that have no pin, without cells that the model cannot have."""
    known = {pin.cell for pin in pins.pins}
    known.update(result.cell for result in results if result.status == "unsupported")
    return [item.cell for item in plan.cells if item.cell not in known]


def exit_status(verdicts: Sequence[Verdict]) -> int:
    """Return 3 if a value moved; 0 if all pins hold; 1 otherwise, also if there are no pins."""
    found = {item.state for item in verdicts}
    if "value moved" in found:
        return REGRESSED
    return 0 if found == {"holds"} else UNVERIFIED


def _verdict(
    pin: Pin, plan: Plan, planned: Mapping[Cell, PlannedCell], result: Result | None
) -> Verdict:
    if pin.cell not in planned:
        return Verdict(pin, "cell missing", _not_in_suite(pin.cell, planned))
    if result is None:
        return Verdict(pin, "cell missing", "the cell is not computed yet; run bench run")
    if result.status != "ok":
        return Verdict(
            pin, "cell failed", f"{STATUS_WORDS[result.status]}: {result.message}", result
        )
    try:
        settings = cell_settings(plan, planned[pin.cell]) or {}
    except DataError as error:
        return Verdict(pin, "cell failed", str(error), result)
    return _compared(pin, settings, result)


def _not_in_suite(cell: Cell, planned: Iterable[Cell]) -> str:
    """Explain why a cell is missing: name the values that the suite does not request."""
    nearest = max(planned, key=lambda other: sum(map(eq, cell, other)), default=None)
    if nearest is None:
        return "the suite has no cells"
    said = ", ".join(
        f"{name.removesuffix('_dataset')} is {found!r}, not {wanted!r}"
        for name, found, wanted in zip(Cell._fields, nearest, cell, strict=True)
        if found != wanted
    )
    return f"the suite does not include the cell; in the nearest cell {said}"


def _compared(pin: Pin, settings: dict[str, dict[str, Any]], result: Result) -> Verdict:
    """Compare a pin with the current number."""
    metrics = result.metrics
    assert metrics is not None, "its status is ok"
    is_other_draw = False
    if settings_key(settings) != pin.key:
        now, then = flatten(settings), flatten(pin.settings)
        changed = {path for path in {*now, *then} if now.get(path) != then.get(path)}
        is_other_draw = bool(changed) and changed <= SEEDED
        if not is_other_draw:
            said = "; ".join(differences(now, then)) or "in a way that the record does not show"
            message = f"{said}. AUROC is {metrics.auroc:.5f}, pinned {pin.auroc.value:.5f}"
            return Verdict(pin, "key changed", message, result)
    moved = _auroc_moved(pin, metrics, is_other_draw)
    if not is_other_draw:
        moved += _scores_moved(pin, result)
    if not moved:
        return Verdict(pin, "holds", "", result)
    return Verdict(pin, "value moved", f"{'; '.join(moved)}. {_origins(pin, result)}", result)


def _auroc_moved(pin: Pin, metrics: Metrics, is_other_draw: bool) -> list[str]:
    """Describe a change in AUROC beyond the tolerance.

    If only the seed for drawing test examples changed, the sampling errors of both numbers are
    added to the tolerance: 1.96 (se² + se'²)^½.
    """
    allowed, seeds = pin.auroc.tolerance, ""
    if is_other_draw:
        allowed += Z_95 * math.hypot(pin.se, metrics.auroc_se_examples)
        seeds = ", examples drawn with another seed"
    off = metrics.auroc - pin.auroc.value
    if abs(off) <= allowed:
        return []
    errors = (
        f"{abs(off) / pin.se:.1f} standard errors of {pin.se:.4f}" if pin.se else "its error is 0"
    )
    return [
        f"AUROC is {metrics.auroc:.5f}, pinned {pin.auroc.value:.5f}: {off:+.5f}, {errors} "
        f"(tolerance {allowed:.2g}{seeds})"
    ]


def _scores_moved(pin: Pin, result: Result) -> list[str]:
    """Describe changes in the median scores beyond their tolerances."""
    median_in, median_out = medians(result)
    sides = (("ID", pin.score_in, median_in), ("OOD", pin.score_out, median_out))
    return [
        f"median {side} score is {now:.6g}, pinned {pinned.value:.6g}: "
        f"{now - pinned.value:+.3g} (tolerance {pinned.tolerance:.2g})"
        for side, pinned, now in sides
        if not abs(now - pinned.value) <= pinned.tolerance
    ]


def _origins(pin: Pin, result: Result) -> str:
    """Describe the differences between the two provenances."""
    now = provenance_of(result)
    changed = differences(flatten(now), flatten(pin.provenance))
    made = ", ".join(f"{name} {version}" for name, version in now["versions"].items())
    if not changed:
        return f"Weights and versions match the pin ({made})"
    return f"Provenance: {'; '.join(changed)} (now {made})"
