"""What the AUROC tables say, as plain data: every renderer prints the same cells.

One table per model, in data set and group size; a row per scorer and epoch, a column per out data
set. The seeds are averaged inside a cell.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import NamedTuple

from harness.report.significance import (
    Mark,
    Numbers,
    Seeds,
    is_wrong_way,
    marks,
    number,
    numbers,
    status_of,
)
from harness.results import Beaten, Result, Status
from harness.text import one_line


class Average(NamedTuple):
    """Mean over the seeds, and the standard deviation between them if there are several."""

    mean: float
    spread: float | None
    seeds: int


class TableCell(NamedTuple):
    """A number or the reason why there is none.

    Attributes:
        status: None if there is no result at all; otherwise `"ok"` exactly if there is a number.
        auroc: Mean over the seeds that have a number.
        se: Mean of the DeLong standard errors of these seeds: the error of one seed's AUROC.
        mark: How the number stands to the best of its column.
        wrong_way: Whether the 95 % interval of every seed lies below 0.5.
        beaten_by: The trivial baselines that beat it at any seed, each with its largest lead.
    """

    status: Status | None
    auroc: Average | None = None
    se: float | None = None
    mark: Mark | None = None
    wrong_way: bool = False
    beaten_by: tuple[Beaten, ...] = ()


@dataclass(frozen=True)
class Row:
    """One scorer at one epoch. `bits_per_dim` is that of the in data set at this epoch."""

    scorer: str
    epoch: int
    bits_per_dim: Average | None
    cells: tuple[TableCell, ...]


@dataclass(frozen=True)
class Failure:
    """A distinct reason for missing numbers, and how many results it explains."""

    status: Status
    message: str
    count: int


@dataclass(frozen=True)
class ModelTable:
    """A table of one model on one in data set at one group size."""

    model: str
    in_dataset: str
    group_size: int

    @property
    def heading(self) -> str:
        """What the table is about, in words."""
        return one_line(
            f"{self.model}, in-distribution {self.in_dataset}, group size {self.group_size}"
        )


@dataclass(frozen=True)
class Table(ModelTable):
    """AUROC of one model on one in data set at one group size.

    Attributes:
        out_datasets: The columns.
        seeds: How many seeds the results have.
        n_in: The distinct numbers of ID groups scored, ascending; normally a single one.
        n_out: The same of OOD groups, per column.
        notes: What the provenance of the results asks to be printed, each once.
    """

    out_datasets: tuple[str, ...]
    rows: tuple[Row, ...]
    seeds: int
    n_in: tuple[int, ...]
    n_out: tuple[tuple[int, ...], ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]


def auroc_tables(results: Sequence[Result]) -> list[Table]:
    """One table per model, in data set and group size, in the order in which they first occur.

    Scorers and out data sets keep the order of the results, epochs ascend. Of two results for the
    same cell the later one counts.

    The best number of each column is marked, and so is every other one that the paired DeLong test
    cannot tell from it (p > 0.05). With several seeds the test is that of the mean difference with
    the mean of the seeds' standard errors: the seeds share their examples, so dividing by the
    square root of their number would claim too much. The best was chosen on the same examples, and
    the test corrects neither for that nor for the number of rows.
    """
    return [_table(*key, group) for key, group in by_table(results).items()]


def by_table(results: Sequence[Result]) -> dict[tuple[str, str, int], list[Result]]:
    """The last result of each cell, by model, in data set and group size."""
    groups: dict[tuple[str, str, int], list[Result]] = {}
    for cell, result in {result.cell: result for result in results}.items():
        groups.setdefault((cell.model, cell.in_dataset, cell.group_size), []).append(result)
    return groups


def _table(model: str, in_dataset: str, group_size: int, results: Sequence[Result]) -> Table:
    cells: defaultdict[tuple[str, int], defaultdict[str, dict[int, Result]]]
    cells = defaultdict(lambda: defaultdict(dict))
    n_in: set[int] = set()
    n_out: defaultdict[str, set[int]] = defaultdict(set)
    for result in results:
        cell = result.cell
        cells[cell.scorer, cell.epoch][cell.out_dataset][cell.seed] = result
        sizes = n_out[cell.out_dataset]
        if result.metrics is not None:
            n_in.add(result.metrics.n_in)
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
        failures=failures(results),
        notes=provenance_notes(results),
    )


def _columns(columns: Sequence[Sequence[Seeds]]) -> list[list[TableCell]]:
    """The cells of each out data set, with their marks."""
    aurocs = [list(map(numbers, column)) for column in columns]
    return [
        list(map(_cell, *column))
        for column in zip(columns, aurocs, marks(columns, aurocs), strict=True)
    ]


def _cell(seeds: Seeds, aurocs: Numbers, mark: Mark | None) -> TableCell:
    if not aurocs:
        statuses = [status_of(result) for result in seeds.values()]
        return TableCell(statuses[0] if statuses else None)
    if len(seeds) == 1:  # as nearly always, of very many cells
        (result,), (auroc,) = seeds.values(), aurocs.values()
        se = result.metrics.auroc_se if result.metrics else None
        flags = is_wrong_way(result), result.beaten_by
        return TableCell("ok", Average(auroc, None, 1), se, mark, *flags)
    known = [seeds[seed] for seed in aurocs]
    se = fmean(result.metrics.auroc_se for result in known if result.metrics)
    wrong_way = all(is_wrong_way(result) for result in known)
    return TableCell("ok", _average(aurocs.values()), se, mark, wrong_way, _beaten_by(known))


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
    """Bits per dimension of the in data set by epoch: that of each seed's first result."""
    bits: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for result in results:
        epoch, seed = result.cell.epoch, result.cell.seed
        value = result.metrics.bits_per_dim_in if result.metrics else None
        if seed not in bits[epoch] and value is not None and math.isfinite(value):
            bits[epoch][seed] = value
    return {epoch: _average(seeds.values()) for epoch, seeds in bits.items() if seeds}


def failures(results: Sequence[Result]) -> tuple[Failure, ...]:
    """The distinct reasons for missing numbers, in the order in which they first occur."""
    counts = Counter(
        (status_of(result), result.message) for result in results if number(result) is None
    )
    return tuple(Failure(*reason, count) for reason, count in counts.items())


def provenance_notes(results: Sequence[Result]) -> tuple[str, ...]:
    """What the provenance of the results asks to be printed, each once."""
    notes = (str(note) for result in results for note in result.provenance.get("notes", ()))
    return tuple(dict.fromkeys(notes))
