"""Creation of pins: values from stored results, with tolerances from repeated runs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import events
from harness.errors import BenchError, NothingStoredError
from harness.events import Report
from harness.metrics.placements import Floats
from harness.plan.explain import differences, flatten
from harness.regression.pinned_settings import cell_settings, settings_key
from harness.regression.pins import Pin, Pins, Quantity, cell_name
from harness.results import Cell, Result
from harness.run.command import run_command
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.settings import Settings
from harness.suite import ResolvedSuite

RERUNS = ((16, 1), (256, 2))
"""Batch size and number of threads for each run that measures the spread."""

FACTOR = 4.0
"""Ratio between a tolerance and the largest difference seen in a re-run. It exceeds 1 because
there are few re-runs, and other machines round in more ways than a single machine can show."""

LEAST = 0.004
"""Minimum tolerance for an AUROC: seven times the change caused by a different set of processor
instructions in a small flow, trained for two epochs in single precision."""

SHARE = 3.0
"""Ratio between the tolerance for a median score, in interquartile ranges, and the tolerance for
an AUROC: with two normal distributions of equal width at an AUROC of ½, a shift by 2.6 x
interquartile ranges moves the AUROC by x."""

DIGITS = 2
"""Significant digits of a tolerance."""


def make_pins(
    suite: ResolvedSuite, settings: Settings, report: Report, tolerance: float | None = None
) -> tuple[Pins, list[str]]:
    """Create pins for all cells in a suite that have a number.

    Arguments:
        suite: The resolved suite.
        settings: Where the results are stored, and how to compute.
        report: Receives progress events from the re-runs.
        tolerance: Tolerance for every AUROC. If None, tolerances are measured by running the suite
            again with other batch sizes and numbers of threads, in temporary stores.

    Returns:
        The pins, and a message for each other cell, except for cells that the model cannot have.

    Raises:
        NothingStoredError: No results of the suite are stored.
        BenchError: Some cells are not computed yet, or no cell has a number, or a re-run failed
            although the stored run did not.
    """
    plan = plan_unopened(suite, settings)
    outcome = score_stored(plan, settings, lambda event: None)
    if not outcome.results:
        raise NothingStoredError(str(suite.path), settings.store, run_command(suite, settings))
    if outcome.pending:
        raise BenchError(
            f"{len(outcome.pending)} of {len(plan.cells)} cells are not stored in "
            f"{settings.store.absolute()}; run: {run_command(suite, settings)}"
        )
    problems = [
        f"{cell_name(result.cell)}: {result.message}"
        for result in outcome.results
        if result.status not in ("ok", "unsupported")
    ]
    if not any(result.status == "ok" for result in outcome.results):
        raise BenchError("\n".join([f"{suite.path}: no cell has a number to pin", *problems]))
    reruns = [] if tolerance is not None else _rerun(suite, settings, report)
    least = LEAST if tolerance is None else tolerance
    planned = {item.cell: item for item in plan.cells}
    pins = [
        _pin(
            result,
            cell_settings(plan, planned[result.cell]) or {},
            [run[result.cell] for run in reruns],
            least,
        )
        for result in outcome.results
        if result.status == "ok"
    ]
    return Pins(suite.path, tuple(pins)), problems


def changes(old: Pins | None, new: Pins) -> list[str]:
    """List the differences between old and new pins, one line per cell."""
    before = {pin.cell: pin for pin in old.pins} if old else {}
    after = {pin.cell: pin for pin in new.pins}
    lines = [f"- {cell_name(cell)}" for cell in before if cell not in after]
    for cell, pin in after.items():
        if cell not in before:
            lines.append(f"+ {cell_name(cell)}: AUROC {pin.auroc.value:.5f}")
        elif said := "; ".join(_changes(before[cell], pin)):
            lines.append(f"! {cell_name(cell)}: {said}")
    return lines


def provenance_of(result: Result) -> dict[str, dict[str, Any]]:
    """Return the part of a result's provenance kept in a pin: versions, plugins and weights."""
    reads = result.provenance["statistics"]
    origin = next(iter(reads.values()))
    plugins = {"scorer": result.provenance["scorer"], **reads}
    for read in reads.values():
        if "model" in read:  # a statistic that reads only the examples has no model
            plugins.setdefault("model", read["model"])
    return {
        "versions": origin["versions"],
        "plugins": {
            name: f"{made['distribution']} {made['distribution_version']}"
            for name, made in plugins.items()
        },
        "weights": {name: read["weights"] for name, read in reads.items() if "weights" in read},
    }


def medians(result: Result) -> tuple[float, float]:
    """Return the median scores for ID and OOD groups in a result with status "ok"."""
    assert result.scores_in is not None, "an ok result has scores"
    assert result.scores_out is not None, "an ok result has scores"
    return float(np.median(result.scores_in)), float(np.median(result.scores_out))


def _rerun(
    suite: ResolvedSuite, settings: Settings, report: Report
) -> Sequence[Mapping[Cell, Result]]:
    """Compute the suite from scratch with other batch sizes and numbers of threads."""
    runs = []
    for batch_size, threads in RERUNS:
        report(events.Message(f"run again with batch size {batch_size}, {threads} threads"))
        with tempfile.TemporaryDirectory(prefix="bench-pin-") as folder:
            other = replace(settings, store=Path(folder), batch_size=batch_size, threads=threads)
            results = run(suite, other, report, allow_missing=True).results
        runs.append({result.cell: result for result in results})
    return runs


def _pin(
    result: Result, settings: dict[str, dict[str, Any]], again: Sequence[Result], least: float
) -> Pin:
    assert result.metrics is not None, "only results with a number are pinned"
    failed = [other for other in again if other.status != "ok"]
    if failed:
        raise BenchError(
            f"{cell_name(result.cell)}: a re-run to measure the spread failed: {failed[0].message}"
        )
    auroc = result.metrics.auroc
    aurocs = [other.metrics.auroc for other in again if other.metrics]
    medians_in, medians_out = zip(*map(medians, (result, *again)), strict=True)
    return Pin(
        result.cell,
        _quantity(auroc, aurocs, least),
        result.metrics.auroc_se_examples,
        _median(medians_in, result.scores_in, least),
        _median(medians_out, result.scores_out, least),
        settings_key(settings),
        settings,
        provenance_of(result),
    )


def _median(medians: Sequence[float], scores: Floats | None, least: float) -> Quantity:
    """Return a median score with tolerance; for constant scores, it covers rounding only."""
    assert scores is not None, "an ok result has scores"
    median, *others = medians
    low, high = np.quantile(scores, [0.25, 0.75])
    return _quantity(median, others, max(SHARE * least * float(high - low), 1e-6 * abs(median)))


def _quantity(value: float, others: Sequence[float], least: float) -> Quantity:
    """Return a value with its tolerance, from the values in re-runs and the minimum tolerance."""
    off = max((abs(other - value) for other in others), default=0.0)
    return Quantity(value, _rounded_up(max(least, FACTOR * off)))


def _rounded_up(value: float) -> float:
    """Round up to two significant digits."""
    if value == 0.0:
        return 0.0
    unit = math.floor(math.log10(value)) - DIGITS + 1
    return float(f"{math.ceil(value / 10**unit)}e{unit}")


def _changes(old: Pin, new: Pin) -> list[str]:
    said = []
    if old.auroc.value != new.auroc.value:
        said.append(f"AUROC {old.auroc.value:.5f} -> {new.auroc.value:.5f}")
    for name, before, after in (
        ("tolerance", old.auroc.tolerance, new.auroc.tolerance),
        ("median ID score", old.score_in.value, new.score_in.value),
        ("median OOD score", old.score_out.value, new.score_out.value),
    ):
        if before != after:
            said.append(f"{name} {before:.6g} -> {after:.6g}")
    return said + differences(flatten(new.settings), flatten(old.settings))
