"""Validation of scores and fit facts, and the notes shown with a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contracts import HasFitInfo, Scorer
from harness.errors import ScoreError
from harness.results import Cell, Metrics
from harness.store.hashing import canonical_json
from harness.text import listed

SMALL_FIT = 75
"""Number of fit groups below which intervals are approximate, if many more groups are scored: in
simulations with 30 fit groups and 1,000 scored, .88 to .97 of intervals hold the true value."""

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness.data.folder import PreparedDataset
    from harness.plan.jobs import PlannedCell
    from harness.plan.plan import Plan
    from harness.store.records import Store


def checked_scores(
    scorer: Scorer, read: dict[str, NDArray[np.float64]], side: str, cell: Cell
) -> NDArray[np.float64]:
    """Score the groups and check the scores: shape (M,), finite.

    Raises:
        ScoreError: The scores are invalid; names the first bad group.
    """
    groups = len(next(iter(read.values())))
    array = np.asarray(scorer.score(read), dtype=np.float64)
    if array.shape != (groups,):
        raise ScoreError(f"{cell.scorer} returned scores of shape {array.shape}, not ({groups},)")
    finite = np.isfinite(array)
    if not finite.all():
        first = int(np.flatnonzero(~finite)[0])
        raise ScoreError(
            f"{cell.scorer} returned non-finite scores for {int((~finite).sum())} of {len(array)} "
            f"{side} groups; the first is {array[first]}, for group {first}"
        )
    return array


def notes_on_scores(
    cell: Cell, unit: str, scores_in: NDArray[np.float64], scores_out: NDArray[np.float64]
) -> list[str]:
    """Write a note for a meaningless number: all scores are equal."""
    if min(scores_in.min(), scores_out.min()) < max(scores_in.max(), scores_out.max()):
        return []
    where = f"{cell.scorer} at {unit} {cell.epoch} against {cell.out_dataset}"
    return [f"{where}: all scores are equal, so the AUROC is 0.5 and says nothing"]


def notes_on_fit(cell: Cell, unit: str, problem: str, metrics: Metrics) -> list[str]:
    """Write a note on a doubtful error of the fit, or the problem by which it is unknown."""
    where = f"{cell.scorer} at {unit} {cell.epoch}, group size {cell.group_size}"
    if problem:
        return [f"{where}: no interval and no test, because a refit is impossible: {problem}"]
    n_fit = metrics.n_fit or 0
    if 0 < n_fit < SMALL_FIT and max(metrics.n_in, metrics.n_out) > 2 * n_fit:
        return [
            f"group size {cell.group_size}: scorers are fitted to only {n_fit} groups, so their "
            "intervals are approximate"
        ]
    return []


def notes_on_fitted_statistics(planned: PlannedCell) -> list[str]:
    """Write a note on each fitted statistic that the scorer reads."""
    fitted = [name for name, jobs in planned.reads.items() if jobs.fit.fit is not None]
    return [
        f"{name} is fitted to ID examples: intervals and tests of scorers that read it do not "
        "cover this fit"
        for name in fitted
    ]


def notes_on_seen(planned: PlannedCell, prepared: Mapping[str, PreparedDataset]) -> list[str]:
    """Write notes on models read by the scorer and trained on a split of the OOD set.

    The check compares content, so the same images under another name are detected.

    Arguments:
        planned: A cell with all statistics stored.
        prepared: The data sets by name.
    """
    cell = planned.cell
    read = (jobs.fit for jobs in planned.reads.values() if jobs.fit.epoch is not None)
    general = dict.fromkeys(job.chain for job in read if job.chain.dataset != cell.in_dataset)
    return [
        f"against {cell.out_dataset}, {cell.scorer} has seen OOD data: {chain.model}, which it "
        f"reads, was trained on the {split} split of {cell.out_dataset}"
        for chain in general
        for split, fingerprint in prepared[cell.out_dataset].fingerprints.items()
        if fingerprint == prepared[chain.dataset].fingerprints.get("train")
    ]


def facts_of_fit(scorer: Scorer) -> dict[str, Any]:
    """Return the fit facts of a scorer, empty by default; raise if JSON cannot hold the facts."""
    facts = scorer.fit_info() if isinstance(scorer, HasFitInfo) else {}
    try:
        canonical_json(facts)
    except (TypeError, ValueError) as error:
        raise ScoreError(f"fit_info: {error}") from None
    return dict(facts)


def notes_on_equal_epochs(planned: PlannedCell, plan: Plan, store: Store) -> list[str]:
    """Write a note on saved epochs that the cell reads and that have the same weights."""
    keys, notes = plan.keys(store), dict[str, None]()
    for job in planned.jobs():
        if job.epoch is None or plan.chains[job.chain].model.saved is None:
            continue
        equal = keys.equal_epochs(job.chain, job.epoch)
        if len(equal) > 1:
            seed = f", seed {job.chain.seed}" if job.chain.seed else ""
            what = f"{job.chain.model}{seed}: {job.unit}s {listed(equal)}"
            notes[f"{what} have the same weights, which the suite allows"] = None
    return list(notes)
