"""AUROC tables in plain data, shared by all renderers.

Every model, in-distribution data set and group size has a table, with a row per scorer and epoch
and a column per OOD data set. Each cell averages over the seeds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import NamedTuple

from harness.metrics.estimates import Estimate, estimate
from harness.report.notes import machine_notes
from harness.report.significance import (
    Mark,
    Numbers,
    Seeds,
    marks,
    number,
    numbers,
    status_of,
)
from harness.results import Beaten, Result, Status, bits_unit_of, unit_of
from harness.text import one_line

BITS_SIGNS = {"lower_bound": "≤", "estimate": "≈"}
"""Signs before bits per dimension by the likelihood of the model: a lower bound of the
log-probability gives an upper bound of bits per dimension."""


class Average(NamedTuple):
    """Mean over the seeds, and the standard deviation between seeds, None for a single seed."""

    mean: float
    spread: float | None
    seeds: int


class TableCell(NamedTuple):
    """A number, or the reason for a missing number.

    Attributes:
        status: None without any result; `"ok"` if and only if the cell has a number.
        auroc: Mean AUROC over the seeds with a number.
        estimate: Standard errors by part and 95 % interval of the mean; None if unknown.
        mark: Relation to the best number in the column.
        wrong_way: Whether the 95 % interval of the mean lies below 0.5.
        beaten_by: Trivial baselines with a higher AUROC at any seed, each with the largest lead.
    """

    status: Status | None
    auroc: Average | None = None
    estimate: Estimate | None = None
    mark: Mark | None = None
    wrong_way: bool = False
    beaten_by: tuple[Beaten, ...] = ()


@dataclass(frozen=True)
class Row:
    """A scorer at an epoch, with the bits per dimension for the in-distribution data set."""

    scorer: str
    epoch: int
    bits_per_dim: Average | None
    cells: tuple[TableCell, ...]


@dataclass(frozen=True)
class Failure:
    """A distinct reason for missing numbers, and the count of results with this reason."""

    status: Status
    message: str
    count: int


@dataclass(frozen=True)
class ModelTable:
    """Base for tables about a model on an in-distribution data set at a group size."""

    model: str
    in_dataset: str
    group_size: int

    @property
    def heading(self) -> str:
        """Table heading: model, in-distribution data set and group size."""
        return one_line(
            f"{self.model}, in-distribution {self.in_dataset}, group size {self.group_size}"
        )


@dataclass(frozen=True)
class Table(ModelTable):
    """AUROC table for a model on an in-distribution data set at a group size.

    Attributes:
        out_datasets: OOD data sets, in column order.
        seeds: Number of seeds among the results.
        n_in: Distinct counts of scored ID groups, ascending; normally a single count.
        n_out: Distinct counts of scored OOD groups, per column.
        n_fit: Distinct counts of fit groups of the scorers that are fitted, ascending.
        notes: Distinct notes found in result provenance.
        likelihood: What the log-probability of the model is; None if unknown.
        unit: What the epochs axis counts.
        bits_unit: Unit of bits per dimension.
    """

    out_datasets: tuple[str, ...]
    rows: tuple[Row, ...]
    seeds: int
    n_in: tuple[int, ...]
    n_out: tuple[tuple[int, ...], ...]
    n_fit: tuple[int, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    likelihood: str | None
    unit: str
    bits_unit: str


def auroc_tables(results: Sequence[Result]) -> list[Table]:
    """Make a table for each model, in-distribution data set and group size, in result order.

    Scorers and OOD data sets keep the order in the results; epochs are ascending. If two results
    are for the same cell, the later result counts.

    Each column marks the best number, and every number that does not differ significantly from the
    best (see `harness.report.significance.marks`). With several seeds, numbers are means, and
    intervals and tests include the spread between trainings.
    """
    return [_table(*key, group) for key, group in by_table(results).items()]


def by_table(results: Sequence[Result]) -> dict[tuple[str, str, int], list[Result]]:
    """Group the last result for each cell by model, in-distribution data set and group size."""
    groups: dict[tuple[str, str, int], list[Result]] = {}
    for cell, result in {result.cell: result for result in results}.items():
        groups.setdefault((cell.model, cell.in_dataset, cell.group_size), []).append(result)
    return groups


def _table(model: str, in_dataset: str, group_size: int, results: Sequence[Result]) -> Table:
    cells: defaultdict[tuple[str, int], defaultdict[str, dict[int, Result]]]
    cells = defaultdict(lambda: defaultdict(dict))
    n_in: set[int] = set()
    n_fit: set[int] = set()
    n_out: defaultdict[str, set[int]] = defaultdict(set)
    for result in results:
        cell = result.cell
        cells[cell.scorer, cell.epoch][cell.out_dataset][cell.seed] = result
        sizes = n_out[cell.out_dataset]
        if result.metrics is not None:
            n_in.add(result.metrics.n_in)
            n_fit.add(result.metrics.n_fit or 0)
            sizes.add(result.metrics.n_out)
    place = {scorer: i for i, scorer in enumerate(dict.fromkeys(scorer for scorer, _ in cells))}
    keys = sorted(cells, key=lambda key: (place[key[0]], key[1]))
    columns = _columns([[cells[key].get(out, {}) for key in keys] for out in n_out])
    bits = _bits_per_dim(results)
    return Table(
        model=model,
        in_dataset=in_dataset,
        group_size=group_size,
        out_datasets=tuple(n_out),
        rows=tuple(
            Row(scorer, epoch, bits.get(epoch), row)
            for (scorer, epoch), row in zip(keys, zip(*columns, strict=True), strict=True)
        ),
        seeds=len({result.cell.seed for result in results}),
        n_in=tuple(sorted(n_in)),
        n_out=tuple(tuple(sorted(sizes)) for sizes in n_out.values()),
        n_fit=tuple(sorted(n_fit - {0})),
        failures=failures(results),
        notes=provenance_notes(results),
        likelihood=next((x.likelihood for x in results if x.likelihood is not None), None),
        unit=unit_of(results),
        bits_unit=bits_unit_of(results),
    )


def _columns(columns: Sequence[Sequence[Seeds]]) -> list[list[TableCell]]:
    """Make the cells for each OOD data set, with marks."""
    aurocs = [list(map(numbers, column)) for column in columns]
    return [
        list(map(_cell, *column))
        for column in zip(columns, aurocs, marks(columns, aurocs), strict=True)
    ]


def _cell(seeds: Seeds, aurocs: Numbers, mark: Mark | None) -> TableCell:
    if not aurocs:
        statuses = [status_of(result) for result in seeds.values()]
        # A seed that failed must not look as if nothing was to be done.
        statuses.sort(key=lambda status: status == "unsupported")
        return TableCell(statuses[0] if statuses else None)
    known = [seeds[seed] for seed in aurocs]
    found = estimate(known)
    wrong_way = found is not None and found.high is not None and found.high < 0.5
    return TableCell("ok", _average(aurocs.values()), found, mark, wrong_way, _beaten_by(known))


def _beaten_by(results: Sequence[Result]) -> tuple[Beaten, ...]:
    worst: dict[str, Beaten] = {}
    for beaten in (beaten for result in results for beaten in result.beaten_by):
        before = worst.get(beaten.scorer)
        if before is None or beaten.difference > before.difference:
            worst[beaten.scorer] = beaten
    return tuple(worst.values())


def _average(values: Collection[float]) -> Average:
    return Average(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def _bits_per_dim(results: Sequence[Result]) -> dict[int, Average]:
    """Average the bits per dimension for the in-distribution data set by epoch.

    Each seed counts once, with the first result for the seed.
    """
    bits: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for result in results:
        epoch, seed = result.cell.epoch, result.cell.seed
        value = result.metrics.bits_per_dim_in if result.metrics else None
        if seed not in bits[epoch] and value is not None and math.isfinite(value):
            bits[epoch][seed] = value
    return {epoch: _average(seeds.values()) for epoch, seeds in bits.items() if seeds}


def failures(results: Sequence[Result]) -> tuple[Failure, ...]:
    """Count the distinct reasons for missing numbers, in result order."""
    counts = Counter(
        (status_of(result), result.message) for result in results if number(result) is None
    )
    return tuple(Failure(*reason, count) for reason, count in counts.items())


def provenance_notes(results: Sequence[Result]) -> tuple[str, ...]:
    """Collect the distinct notes that result provenance requires reports to print."""
    notes = (str(note) for result in results for note in result.provenance.get("notes", ()))
    return tuple(dict.fromkeys([*notes, *machine_notes(results)]))
