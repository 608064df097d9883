"""Scoring: fit each scorer, score both sides, and create a result for every cell."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.contracts import HasScoreTerms, NeedsFeatureNames, Scorer
from harness.errors import BenchError, ScoreError, UnsupportedError
from harness.metrics.estimates import estimate_of
from harness.metrics.evidence import evidence_of_scores
from harness.metrics.overlap import overlap
from harness.metrics.roc import aupr, fpr95
from harness.plan.jobs import ChainId, PlannedCell
from harness.plan.meaning import require_meaning
from harness.plan.plan import Plan
from harness.results import BITS_UNIT, Cell, Metrics, Result
from harness.scoring.bits import BitsReader
from harness.scoring.examples import ExampleNotes
from harness.scoring.fits import Refits, fit
from harness.scoring.published import beside
from harness.scoring.reader import StatisticReader
from harness.scoring.validity import (
    checked_scores,
    facts_of_fit,
    notes_on_equal_epochs,
    notes_on_fit,
    notes_on_fitted_statistics,
    notes_on_scores,
    notes_on_seen,
)
from harness.store.records import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass
class Scored:
    """The results of a plan, in plan order, and the cells still waiting for jobs.

    `set_aside` counts damaged statistics that were removed from the store, `fresh` counts numbers
    that were not known before.
    """

    results: list[Result] = field(default_factory=list)
    pending: list[Cell] = field(default_factory=list)
    set_aside: int = 0
    fresh: int = 0


def score_plan(
    plan: Plan,
    store: Store,
    report: Callable[[Result], None],
    known: Callable[[Cell], Result | None] = lambda cell: None,
) -> Scored:
    """Score every cell whose statistics are stored.

    Arguments:
        plan: With data sets opened.
        store: The store with the statistics.
        report: Called with each result.
        known: Returns the result of a cell if already known, to skip scoring.
    """
    scored = Scored()
    scorer = _CellScorer(StatisticReader(plan, store))
    for planned in plan.cells:
        result = known(planned.cell)
        if result is None:
            result = scorer.result(planned)
            scored.fresh += result is not None and result.status == "ok"
        if result is None:
            scored.pending.append(planned.cell)
        else:
            if plan.reference is not None:
                result = replace(result, published=beside(plan.reference, result))
            scored.results.append(result)
            report(result)
    scored.set_aside = scorer.reader.set_aside
    return scored


@dataclass(frozen=True, eq=False)
class CellTerms:
    """The score terms of a cell by name, for example a term for each layer.

    Attributes:
        terms_in: For the ID groups, float64, (n_in,) each, higher is more OOD.
        terms_out: For the OOD groups, float64, (n_out,) each, with the same names.
    """

    cell: Cell
    terms_in: Mapping[str, NDArray[np.float64]]
    terms_out: Mapping[str, NDArray[np.float64]]


def score_terms(plan: Plan, store: Store, cells: Container[Cell]) -> Iterator[CellTerms]:
    """Yield the score terms of selected cells, if the scorer provides terms (`HasScoreTerms`).

    Arguments:
        plan: With data sets opened.
        store: The store with the statistics.
        cells: Cells that have a number.

    Raises:
        ScoreError: Same conditions for the terms and the score.
    """
    scorer = _CellScorer(StatisticReader(plan, store))
    for planned in plan.cells:
        if planned.cell in cells and isinstance(planned.scorer.build(), HasScoreTerms):
            yield scorer.terms(planned)


@dataclass(frozen=True)
class _Fitted:
    """A fitted scorer with the ID scores, for all OOD sets in a row; `n_fit` as in `Metrics`."""

    key: Any
    scorer: Scorer
    n_fit: int
    scores_in: NDArray[np.float64]


class _CellScorer:
    """Scores the cells of a plan; neighbours share a fitted scorer and bits per dimension."""

    def __init__(self, reader: StatisticReader) -> None:
        self.reader, self.plan = reader, reader.plan
        self.fitted: _Fitted | None = None
        self.refits: tuple[Any, Refits] | None = None
        self.bits = BitsReader(reader)
        self.examples = ExampleNotes(reader.plan.prepared)

    def result(self, planned: PlannedCell) -> Result | None:
        """Return the result of a cell; None while a required job has not run."""
        lacking = [job for job in planned.required() if self.reader.key(job) is None]
        if lacking:
            obstacle = self.reader.obstacle_of(lacking)
            return None if obstacle is None else Result(planned.cell, *obstacle)
        try:
            return self._score(planned)
        except Exception as error:
            expected = isinstance(error, BenchError)
            message = str(error) if expected else f"{type(error).__name__}: {error}"
            unsupported = isinstance(error, UnsupportedError)
            return Result(planned.cell, "unsupported" if unsupported else "failed", message)

    def _score(self, planned: PlannedCell) -> Result:
        self._check_features(planned)
        kinds = (self.bits.likelihood(job) for job in planned.required() if job.epoch is not None)
        require_meaning(planned.cell.scorer, planned.scorer.build(), kinds)
        fitted = self._fit(planned)
        scores_out = checked_scores(fitted.scorer, self._read(planned, "out"), "OOD", planned.cell)
        refits, problem = self._refit(planned, fitted)
        evidence = evidence_of_scores(
            fitted.scores_in, scores_out, refits, is_by_image=self._is_by_image(planned)
        )
        found = estimate_of(evidence)
        is_known = not problem
        bits = self.bits.of(planned.dequantised)
        midpoint = self.bits.of(planned.midpoint)
        metrics = Metrics(
            auroc=found.auroc,
            auroc_se=found.se if is_known else None,
            auroc_se_examples=found.se_examples,
            auroc_se_fit=found.se_fit if is_known else None,
            auroc_low=found.low if is_known else None,
            auroc_high=found.high if is_known else None,
            aupr=aupr(fitted.scores_in, scores_out),
            fpr95=fpr95(fitted.scores_in, scores_out),
            n_in=len(fitted.scores_in),
            n_out=len(scores_out),
            n_fit=fitted.n_fit,
            bits_per_dim_in=bits.mean_in,
            bits_per_dim_out=bits.mean_out,
            ovl=bits.ovl,
            ovl_scores=overlap(fitted.scores_in, scores_out),
            aupr_in=aupr(-scores_out, -fitted.scores_in),
            bits_per_dim_midpoint_in=midpoint.mean_in,
            bits_per_dim_midpoint_out=midpoint.mean_out,
        )
        cell, unit = planned.cell, self._unit(planned.cell)
        notes = [*notes_on_scores(cell, unit, fitted.scores_in, scores_out)]
        notes += notes_on_fit(cell, unit, problem, metrics)
        return Result(
            planned.cell,
            "ok",
            metrics=metrics,
            scores_in=fitted.scores_in,
            scores_out=scores_out,
            refits=refits,
            provenance=self._provenance(planned, fitted, notes),
        )

    def _unit(self, cell: Cell) -> str:
        return self.plan.unit(ChainId(cell.model, cell.in_dataset, cell.seed))

    def _provenance(
        self, planned: PlannedCell, fitted: _Fitted, notes: Sequence[str]
    ) -> dict[str, Any]:
        """Collect the facts behind a number: scorer, statistics, data splits, fit and notes."""
        cell, prepared = planned.cell, self.plan.prepared
        reads = planned.reads.items()
        return {
            "scorer": planned.scorer.provenance(),
            "statistics": {name: self.reader.origin(jobs.fit) for name, jobs in reads},
            **self._machines(planned),
            "train_split": prepared[cell.in_dataset].fingerprints.get("train"),
            "in_split": prepared[cell.in_dataset].fingerprints["test"],
            "out_split": prepared[cell.out_dataset].fingerprints["test"],
            "draw_seed": next(planned.jobs()).draw.seed,
            "fit": facts_of_fit(fitted.scorer),
            "unit": self._unit(cell),
            "by_image": self._is_by_image(planned),
            "likelihood": planned.midpoint and self.bits.likelihood(planned.midpoint[0]),
            **self._bits_unit(cell.in_dataset),
            "notes": [
                *planned.notes,
                *self.examples.of(planned),
                *notes_on_seen(planned, prepared),
                *notes_on_fitted_statistics(planned),
                *notes_on_equal_epochs(planned, self.plan, self.reader.store),
                *notes,
                *self.bits.notes(planned.dequantised),
            ],
        }

    def _machines(self, planned: PlannedCell) -> dict[str, list[str]]:
        """Return the provenance entry for the kinds of machines; empty for old records."""
        kinds = self.reader.machines(list(planned.required()))
        return {"machines": kinds} if kinds else {}

    def _bits_unit(self, dataset: str) -> dict[str, str]:
        """Return the provenance entry for the unit of bits per dimension; empty for images."""
        unit = self.plan.prepared[dataset].domain.unit
        return {} if unit == BITS_UNIT else {"bits_unit": unit}

    def _is_by_image(self, planned: PlannedCell) -> bool:
        """Check that OOD group i has changed copies of the images in ID group i.

        A draw depends only on the seed and the size of the split, so the order is the same.
        """
        names = planned.cell.in_dataset, planned.cell.out_dataset
        originals = {self.plan.originals.get(name, name) for name in names}
        sizes = {self.plan.prepared[name].counts["test"] for name in names}
        return len(originals) == 1 and len(sizes) == 1

    def terms(self, planned: PlannedCell) -> CellTerms:
        """Return the score terms of a cell; the scorer must be `HasScoreTerms`."""
        scorer = self._fit(planned).scorer
        assert isinstance(scorer, HasScoreTerms)
        terms_in = scorer.score_terms(self._read(planned, "in_"))
        return CellTerms(planned.cell, terms_in, scorer.score_terms(self._read(planned, "out")))

    def _fit(self, planned: PlannedCell) -> _Fitted:
        """Return the fitted scorer of a row, shared by neighbouring cells."""
        reads = planned.reads.items()
        jobs = tuple((name, jobs.fit, jobs.in_) for name, jobs in reads)
        key = (planned.cell.scorer, planned.cell.group_size, jobs)
        if self.fitted is None or self.fitted.key != key:
            scorer = self._built(planned)
            n_fit = fit(scorer, self._read(planned, "fit"))
            scores_in = checked_scores(scorer, self._read(planned, "in_"), "ID", planned.cell)
            self.fitted = _Fitted(key, scorer, n_fit, scores_in)
        return self.fitted

    def _refit(
        self, planned: PlannedCell, fitted: _Fitted
    ) -> tuple[NDArray[np.float64] | None, str]:
        """Return the AUROCs of the refits, None if nothing is fitted or if a problem is named."""
        if not fitted.n_fit:
            return None, ""
        try:
            if self.refits is None or self.refits[0] != fitted.key:
                read = self._read(planned, "fit"), self._read(planned, "in_")
                self.refits = fitted.key, Refits(lambda: self._built(planned), *read)
            return self.refits[1].aurocs(self._read(planned, "out")), ""
        except Exception as error:  # the number exists: an error of a refit must not remove it
            return None, str(error)

    def _built(self, planned: PlannedCell) -> Scorer:
        """Build an unfitted scorer that knows its column names."""
        scorer: Scorer = planned.scorer.build()
        if isinstance(scorer, NeedsFeatureNames):
            reads = planned.reads.items()
            scorer.name_features({name: self.reader.features(jobs.fit) for name, jobs in reads})
        return scorer

    def _read(
        self, planned: PlannedCell, role: Literal["fit", "in_", "out"]
    ) -> dict[str, NDArray[np.float64]]:
        """Read the inputs of a scorer for the groups of a role."""
        size = planned.cell.group_size
        return {
            name: self.reader.groups(getattr(jobs, role), size)
            for name, jobs in planned.reads.items()
        }

    def _check_features(self, planned: PlannedCell) -> None:
        """Refuse a cell with unequal columns across roles: scorers assume equal columns.

        Raises:
            ScoreError: Names the first unequal column.
        """
        for jobs in planned.reads.values():
            expected = self.reader.features(jobs.fit)
            for job in (jobs.in_, jobs.out):
                found = self.reader.features(job)
                for place, (old, new) in enumerate(zip_longest(expected, found)):
                    if old != new:
                        raise ScoreError(
                            f"{job.statistic} has different columns for {job.draw.dataset} "
                            f"({job.draw.role}) and {jobs.fit.draw.dataset} "
                            f"({jobs.fit.draw.role}): column {place} is {new!r}, not {old!r}; "
                            "give the changed plugin a new version, and run again"
                        )
