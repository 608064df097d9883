"""What a result says about its number: what was read, on what it was made, and by whom."""

from __future__ import annotations

from typing import Any

from harness.plan.jobs import PlannedCell
from harness.plan.plan import Plan


def provenance_of(
    plan: Plan,
    planned: PlannedCell,
    scorer: dict[str, Any],
    statistics: dict[str, Any],
    fit: dict[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    """What a result says about its number.

    Arguments:
        plan: With its data sets found.
        planned: The cell.
        scorer: Provenance of the scorer.
        statistics: What made the statistics that it reads, by name.
        fit: Facts of its fit.
        notes: What was noted when it was scored.
    """
    own = plan.prepared[planned.cell.in_dataset].fingerprints
    return {
        "scorer": scorer,
        "statistics": statistics,
        "train_split": own["train"],
        "in_split": own["test"],
        "out_split": plan.prepared[planned.cell.out_dataset].fingerprints["test"],
        "draw_seed": next(planned.jobs()).draw.seed,
        "fit": fit,
        "notes": [*planned.notes, *notes],
    }
