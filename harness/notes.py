"""What must be known of the examples that scorers and models have seen, below every table."""

from __future__ import annotations

from collections.abc import Iterable

from harness.results import Cell
from harness.suite import Comparison, ResolvedSuite


def notes_on_trainings(
    suite: ResolvedSuite, comparison: Comparison, cell: Cell, models: Iterable[str]
) -> tuple[str, ...]:
    """What the plan of a cell tells of what its scorer was fitted and its models trained on.

    Arguments:
        suite: Of the cell.
        comparison: Of the cell.
        cell: The notes are the same for others of its comparison, scorer and ID set.
        models: The model of the cell and those that its scorer reads.
    """
    notes = []
    if comparison.fit_overlap == "paper":
        notes.append(
            "scorers were fitted on ID test examples among which the scored ones are "
            '(fit_overlap = "paper"), which flatters them'
        )
    for model in models:
        examples = suite.models[model].recipe.examples
        dataset = suite.trained_on(model, cell.in_dataset)
        own = dataset == cell.in_dataset
        split = "the train split" if own else f"the train split of {dataset}"
        if examples is not None:
            notes.append(f"{model} was trained on {examples:,} examples of {split} only")
        elif not own:
            notes.append(f"{model} was trained on {split}")
    return tuple(dict.fromkeys(notes))
