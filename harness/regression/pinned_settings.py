"""The settings that determine a cell's number, in clear, and the key derived from them."""

from __future__ import annotations

from typing import Any

from harness.plan.jobs import ChainId, PlannedCell
from harness.plan.plan import Plan
from harness.store.hashing import digest

SEEDED = frozenset({"examples.draw_seed"} | {f"examples.{x}.ids" for x in ("fit", "in", "out")})
"""The settings affected by `draw_seed` alone."""


def cell_settings(plan: Plan, planned: PlannedCell) -> dict[str, dict[str, Any]] | None:
    """Return the settings that determine a cell's number, besides epoch, group size and seed.

    Checksums of weights are not included: rounding on another machine leads to other weights.
    The content of a saved epoch is included, because it does not depend on the machine.

    Arguments:
        plan: A plan with its data sets found.
        planned: A cell in this plan.

    Returns:
        Settings by part: `scorer`, `training`, `examples`, and a part `statistic NAME` for each
        statistic that the scorer reads. None while a data set has not been opened.

    Raises:
        DataError: A data set has fewer examples than requested.
    """
    inputs = {
        job: plan.checkpoint_inputs(job.chain, job.epoch)
        for job in planned.jobs()
        if job.epoch is not None
    }
    reads = next(iter(planned.reads.values()))
    prepared = [plan.prepared.get(job.draw.dataset) for job in reads]
    if None in inputs.values() or None in prepared:
        return None
    examples: dict[str, Any] = {"draw_seed": reads[0].draw.seed}
    for job, found in zip(reads, prepared, strict=True):
        assert found is not None, "checked above"
        drawn, count = plan.examples(job.draw, found)
        examples[job.draw.role] = {**drawn, "count": count}
    parts: dict[str, dict[str, Any]] = {
        "scorer": planned.scorer.identity(),
        "training": {},
        "examples": examples,
    }
    cell = planned.cell
    own = ChainId(cell.model, cell.in_dataset, cell.seed)
    for text, jobs in planned.reads.items():
        job = jobs.fit
        part = parts[f"statistic {text}"] = plan.chains[job.chain].jobs[job].identity()
        if job.epoch is None:
            continue
        is_saved = plan.chains[job.chain].model.saved is not None
        if job.chain == own and not (is_saved and job.epoch != cell.epoch):
            parts["training"] = inputs[job] or {}
        else:
            part["training"] = inputs[job]
        if job.epoch != cell.epoch:
            part["epoch"] = job.epoch
    return parts


def settings_key(settings: dict[str, dict[str, Any]]) -> str:
    """Return the key for a cell: the digest of the cell's settings."""
    return digest(settings)
