"""What a run announces at its start: what it will compute, how, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.events import RunStarted
from harness.plan import Chain, Plan


def run_started(plan: Plan, jobs: int, folder: Path) -> RunStarted:
    """The first event of a run.

    Arguments:
        plan: What was asked for.
        jobs: How many of its jobs are to be done.
        folder: Where the run may leave what it tells.
    """
    return RunStarted(
        plan.suite,
        jobs,
        len(plan.cells),
        folder=str(folder),
        only=plan.only.texts(),
        trainings=[_training(chain) for chain in plan.chains.values()],
        tables=_tables(plan),
    )


def _training(chain: Chain) -> dict[str, Any]:
    return {
        "model": chain.id.model,
        "in": chain.id.dataset,
        "seed": chain.id.seed,
        "plugin": chain.model.registered.provenance(),
        "options": dict(chain.model.options),
        "recipe": chain.model.recipe.model_dump(mode="json"),
        "epochs": sorted(chain.epochs),
    }


def _tables(plan: Plan) -> list[dict[str, Any]]:
    """What the cells are, by model, ID set and group size: not one by one, they may be many."""
    tables: dict[tuple[str, str, int], dict[str, dict[Any, None]]] = {}
    for planned in plan.cells:
        cell = planned.cell
        axes = tables.setdefault((cell.model, cell.in_dataset, cell.group_size), {})
        for axis, value in (
            ("out", cell.out_dataset),
            ("scorers", cell.scorer),
            ("epochs", cell.epoch),
            ("seeds", cell.seed),
        ):
            axes.setdefault(axis, {})[value] = None
    return [
        {"model": model, "in": in_, "group_size": size}
        | {axis: list(values) for axis, values in axes.items()}
        for (model, in_, size), axes in tables.items()
    ]
