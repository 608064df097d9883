"""Comparison by place: the AUROC of run B minus the AUROC of run A on the same groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, TypeAlias

from harness.errors import BenchError
from harness.metrics.intervals import LEVEL
from harness.metrics.multiple import holm
from harness.metrics.paired import Difference, Kind, compared
from harness.regression.runs import Run
from harness.results import STATUS_WORDS, Cell, Result
from harness.text import known_names

Judgement: TypeAlias = Literal["better", "worse", "tie"]
EXAMPLES = ("in_split", "out_split", "draw_seed")
"""Entries in a provenance that, together with the group counts, determine the scored examples: a
role gets the first examples in a permutation of the split, fixed by the seed and split size."""

Names: TypeAlias = Mapping[str, str]
"""Names in run A with their names in run B: models, data sets and scorers."""


@dataclass(frozen=True)
class Compared:
    """A place with numbers in both runs: a cell without its seed.

    Attributes:
        cell: The cell in run A, with the first seed.
        auroc_a: AUROC in run A, a mean over `seeds_a`.
        auroc_b: AUROC in run B, a mean over `seeds_b`.
        difference: AUROC in B minus AUROC in A.
        low: Lower end of the 95 % interval for the difference; None with fewer than five groups.
        high: Upper end of this interval.
        p_value: P-value for a difference of 0; None with fewer than ten groups on a side.
        p_adjusted: The p-value after Holm's correction over all places.
        trainings: Number of trainings whose spread is in interval and test; 1 if it is not.
        n_fit: Numbers of fit groups whose choice is in interval and test.
        judgement: "better" or "worse" for B at `p_adjusted` <= 0.05; "tie" otherwise.
    """

    cell: Cell
    seeds_a: tuple[int, ...]
    seeds_b: tuple[int, ...]
    auroc_a: float
    auroc_b: float
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    p_adjusted: float | None
    trainings: int
    n_fit: tuple[int, ...]
    judgement: Judgement

    def to_json(self) -> dict[str, Any]:
        """Return the place in the form printed by `bench compare --json`."""
        row = _place(self.cell)
        return row | {name: value for name, value in vars(self).items() if name != "cell"}


@dataclass(frozen=True)
class LeftOut:
    """A place with a number in run A that cannot be compared, and the reason."""

    cell: Cell
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the place in the form printed by `bench compare --json`."""
        return {**_place(self.cell), "reason": self.reason}


def _place(cell: Cell) -> dict[str, Any]:
    return {name: value for name, value in cell.as_row().items() if name != "seed"}


def checked_names(pairs: Sequence[str], a: Run, b: Run) -> dict[str, str]:
    """Parse `OLD=NEW` pairs: names of models, data sets and scorers in A, and their names in B.

    Raises:
        BenchError: A pair is malformed, or a name does not occur in its run.
    """
    names = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not equals:
            raise BenchError(f"--map {pair}: expected OLD=NEW, a name in A and its name in B")
        for name, run, side in ((old, a, "A"), (new, b, "B")):
            known = {part for cell in run.results for part in cell[:4]}
            if name not in known:
                raise BenchError(
                    f"--map {pair}: {name!r} is not in {side}: {known_names(name, known)}"
                )
        names[old] = new
    return names


def compare_runs(a: Run, b: Run, names: Names) -> tuple[list[Compared], list[LeftOut]]:
    """Compare run B with run A in every place that has a number in run A.

    Results of the same trainings are compared training by training. Otherwise the means over the
    seeds of both runs are compared, and the seeds may differ.

    Arguments:
        a: Run A.
        b: Run B.
        names: Names of run A that have another name in run B.

    Returns:
        The compared places, and the places left out because run B has no comparable result.
    """
    of_a, of_b = _by_place(a), _by_place(b)
    tests: list[tuple[Cell, list[Result], list[Result], Difference]] = []
    left_out = []
    for place, all_a in of_a.items():
        mine = [result for result in all_a if result.status == "ok"]
        if not mine:
            continue
        found = of_b.get(_renamed(place, names), [])
        its = [result for result in found if result.status == "ok"]
        cell = mine[0].cell
        if reason := _obstacle(mine, found):
            left_out.append(LeftOut(cell, reason))
        elif test := _test(mine, its):
            tests.append((cell, mine, its, test))
        else:
            left_out.append(LeftOut(cell, "the error of the fit is unknown in A or B"))
    adjusted = iter(holm([x.p_value for *_, x in tests if x.p_value is not None]))
    return [
        _compared(*item, None if item[-1].p_value is None else next(adjusted)) for item in tests
    ], left_out


def _by_place(run: Run) -> dict[Cell, list[Result]]:
    """Group the results of a run by cell without seed, in order of the seeds."""
    places: dict[Cell, list[Result]] = {}
    for cell in sorted(run.results, key=lambda cell: cell.seed):
        places.setdefault(cell._replace(seed=0), []).append(run.results[cell])
    order = dict.fromkeys(cell._replace(seed=0) for cell in run.results)
    return {place: places[place] for place in order}


def _renamed(place: Cell, names: Names) -> Cell:
    model, in_dataset, out_dataset, scorer = (names.get(name, name) for name in place[:4])
    return place._replace(
        model=model, in_dataset=in_dataset, out_dataset=out_dataset, scorer=scorer
    )


def _test(a: Sequence[Result], b: Sequence[Result]) -> Difference | None:
    return compared(b, a, kind_of(a, b))


def kind_of(a: Sequence[Result], b: Sequence[Result]) -> Kind:
    """Say whether two rows of results read the same trainings, or trainings of their own."""
    return "same" if list(map(_training, a)) == list(map(_training, b)) else "separate"


def _training(result: Result) -> Any:
    """Identify the weights that a result read."""
    origins = result.provenance.get("statistics", {}).values()
    return result.cell.seed, sorted({str(origin.get("weights")) for origin in origins})


def _obstacle(a: Sequence[Result], b: Sequence[Result]) -> str:
    """Say why two rows of results cannot be compared; empty if they can."""
    if not b:
        return "the cell is missing in B"
    for result in b:
        if result.status != "ok":
            return f"{STATUS_WORDS[result.status]} in B: {result.message}"
    sizes = [(len(x.scores[0]), len(x.scores[1])) for x in (a[0], b[0]) if x.scores is not None]
    if sizes[0] != sizes[1]:
        return "A scored {} and {} groups, B {} and {}".format(*sizes[0], *sizes[1])
    for name in EXAMPLES:
        if a[0].provenance[name] != b[0].provenance[name]:
            return f"different examples were scored: {name} differs"
    return ""


def _compared(
    cell: Cell, a: Sequence[Result], b: Sequence[Result], test: Difference, p: float | None
) -> Compared:
    judgement: Judgement = "tie"
    if p is not None and p <= LEVEL and test.difference:
        judgement = "better" if test.difference > 0 else "worse"
    return Compared(
        cell,
        tuple(result.cell.seed for result in a),
        tuple(result.cell.seed for result in b),
        fmean(result.metrics.auroc for result in a if result.metrics),
        fmean(result.metrics.auroc for result in b if result.metrics),
        test.difference,
        test.low,
        test.high,
        test.p_value,
        p,
        min(len(a), len(b)) if test.covers_training else 1,
        tuple(sorted({count for x in (*a, *b) if x.metrics and (count := x.metrics.n_fit)})),
        judgement,
    )
