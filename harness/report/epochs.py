"""How early is enough, in plain data: epochs shown not to be worse by a margin.

Epoch e is shown to be enough against epoch j if the one-sided 95 % upper limit of A_j - A_e is
below the margin (non-inferiority). From the last epoch, the search goes back while the epochs are
shown. This order is fixed in advance, so it needs no correction for the number of epochs, and a
further epoch in a suite never makes an earlier epoch "shown".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, median
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from harness.metrics.estimates import limits
from harness.metrics.evidence import Evidence, evidence_of, shape_of
from harness.metrics.paired import LEAST_TESTED, difference_limits
from harness.report.significance import Seeds, metrics_of, number
from harness.report.tables import ModelTable, by_table, provenance_notes
from harness.results import Metrics, Result, unit_of

MARGIN = 0.01
"""Default margin: the largest loss of AUROC that counts as no loss."""

Z_ONE_SIDED = 1.6448536269514722
"""The normal quantile at .95, for one-sided limits."""

Rule: TypeAlias = Literal["any", "last", "paper"]
"""How an epoch is found.

- `any`: the earliest epoch shown not to be worse than any other epoch by the margin, going back
  from the last epoch; None if the last epoch itself is not shown.
- `last`: the same, against the last epoch only: the claim of "OOD Detection with Immature Models".
- `paper`: the epoch with the highest AUROC on the scored groups, as that paper chooses it. The
  AUROC of the best of many epochs is too high on the groups that chose it.
"""

RULES: tuple[Rule, ...] = get_args(Rule)


class Answer(NamedTuple):
    """The epoch found by a rule. JSON and CSV have a column for each field.

    Attributes:
        epoch: None if no epoch is shown.
        auroc: AUROC at the epoch, a mean over the seeds; `ovl_scores` is the overlap of scores.
        difference: AUROC at the epoch minus AUROC at the last epoch; `difference_low` and
            `difference_high` are its 95 % interval, None for `paper`.
        training_saved: 1 - epoch / last epoch; None if nothing is saved: the epoch is the last,
            the scorer does not depend on the training, or no epoch is shown to be above chance.
        times: Multiple of the groups, for the fit too, with which the next epoch back would be
            shown if all AUROCs stayed the same; None if its AUROC is lower by the margin or more.
    """

    rule: Rule
    epoch: int | None
    auroc: float | None = None
    ovl_scores: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    training_saved: float | None = None
    times: float | None = None


@dataclass(frozen=True)
class EpochRow:
    """A scorer against an OOD data set.

    Attributes:
        answers: An answer per rule; empty if fewer than two epochs can be compared.
        last_epoch: The last compared epoch; `auroc_last` and `ovl_last` are its numbers.
        n_in: Number of ID groups; `n_out` counts OOD groups.
        compared: Number of epochs compared.
        left_out: Number of epochs skipped because some seed lacks scores for the same groups.
        along: All metrics at each epoch, ascending: means over the seeds with a number, or None if
            any such seed lacks the metric.
    """

    out_dataset: str
    scorer: str
    answers: tuple[Answer, ...]
    last_epoch: int | None = None
    auroc_last: float | None = None
    ovl_last: float | None = None
    n_in: int | None = None
    n_out: int | None = None
    compared: int = 0
    left_out: int = 0
    along: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class EpochTable(ModelTable):
    """How early is enough, for a model on an in-distribution data set at a group size.

    Attributes:
        margin: The largest loss of AUROC that counts as no loss.
        n_fit: Distinct counts of fit groups of the scorers that are fitted.
    """

    margin: float
    rows: tuple[EpochRow, ...]
    seeds: int
    n_fit: tuple[int, ...]
    notes: tuple[str, ...]
    unit: str


def epoch_tables(
    results: Sequence[Result], margin: float = MARGIN, rules: Sequence[Rule] = RULES
) -> list[EpochTable]:
    """Make a table for each model, in-distribution data set and group size, in result order.

    Rows are sorted by OOD data set, then scorer, in the order of the results. If two results are
    for the same cell, the later result counts. With several seeds, numbers are means, and limits
    include the spread between trainings. Time grows with the number of epochs, and for the rule
    `any` with its square.
    """
    return [_table(*key, group, margin, rules) for key, group in by_table(results).items()]


@dataclass(frozen=True)
class EarlyEnough:
    """How early is enough for a scorer, over all rows with an answer.

    Attributes:
        rows: Number of rows.
        shown: Number of rows in which an epoch before the last is enough against the last.
        epoch: Median of these epochs; None without any.
        saved: Median share of training saved in these rows.
    """

    scorer: str
    rows: int
    shown: int
    epoch: float | None
    saved: float | None


def early_enough(results: Sequence[Result], most: int) -> tuple[list[EarlyEnough], int, int]:
    """Summarise for each scorer how early is enough against the last epoch.

    Arguments:
        results: Results whose order determines the order of the scorers.
        most: Approximate maximum number of results to judge. Beyond the maximum, rows are sampled
            at random: the same rows in every call and for every scorer.

    Returns:
        The scorers, the count of judged places (model, data sets, group size), and the total
        count of places.
    """
    places: dict[tuple[str, str, str, int], list[Result]] = {}
    for result in results:
        cell = result.cell
        place = (cell.model, cell.in_dataset, cell.out_dataset, cell.group_size)
        places.setdefault(place, []).append(result)
    count = min(len(places), max(1, most * len(places) // max(1, len(results))))
    chosen = Random(0).sample(list(places), count)
    answers: dict[str, list[Answer]] = {result.cell.scorer: [] for result in results}
    for place in chosen:
        for row in (
            row for table in epoch_tables(places[place], rules=["last"]) for row in table.rows
        ):
            answers[row.scorer] += row.answers
    return [_in_short(*item) for item in answers.items() if item[1]], count, len(places)


def _in_short(scorer: str, answers: Sequence[Answer]) -> EarlyEnough:
    shown = [(x.epoch, x.training_saved) for x in answers if x.epoch is not None]
    early = [(epoch, saved) for epoch, saved in shown if saved is not None]
    if not early:
        return EarlyEnough(scorer, len(answers), 0, None, None)
    epochs, saved = zip(*early, strict=True)
    return EarlyEnough(scorer, len(answers), len(early), median(epochs), median(saved))


class Loss(NamedTuple):
    """The loss of AUROC at an epoch against the last one.

    Attributes:
        loss: AUROC at the last epoch minus AUROC at the epoch, means over the seeds.
        high: One-sided 95 % upper limit of the loss; 0 at the last epoch.
        is_shown: Whether the epoch is enough by the rule `last`.
    """

    epoch: int
    loss: float
    high: float
    is_shown: bool


def losses(epochs: Mapping[int, Seeds], margin: float = MARGIN) -> list[Loss]:
    """Compute the losses at all comparable epochs of a row, ascending; empty without two of them.

    Arguments:
        epochs: Results by seed, by epoch.
        margin: The largest loss that counts as no loss.
    """
    usable = comparable(epochs)
    return _Search(usable, margin).losses() if len(usable) > 1 else []


def to_json(table: EpochTable, row: EpochRow, answer: Answer | None) -> dict[str, Any]:
    """Convert an answer to JSON for `bench report --epochs`; without one, its values are null."""
    values = answer or (None,) * len(Answer._fields)
    return {
        "model": table.model,
        "in": table.in_dataset,
        "out": row.out_dataset,
        "scorer": row.scorer,
        "group_size": table.group_size,
        "seeds": table.seeds,
        "unit": table.unit,
        "epochs_compared": row.compared,
        "epochs_left_out": row.left_out,
        "n_in": row.n_in,
        "n_out": row.n_out,
        "margin": table.margin,
        "last_epoch": row.last_epoch,
        "auroc_last": row.auroc_last,
        "ovl_scores_last": row.ovl_last,
        **dict(zip(Answer._fields, values, strict=True)),
    }


def _table(
    model: str,
    in_dataset: str,
    group_size: int,
    results: Sequence[Result],
    margin: float,
    rules: Sequence[Rule],
) -> EpochTable:
    rows: dict[str, dict[str, dict[int, dict[int, Result]]]] = {}
    for result in results:
        cell = result.cell
        epochs = rows.setdefault(cell.out_dataset, {}).setdefault(cell.scorer, {})
        epochs.setdefault(cell.epoch, {})[cell.seed] = result
    n_fit = {result.metrics.n_fit for result in results if result.metrics}
    return EpochTable(
        model=model,
        in_dataset=in_dataset,
        group_size=group_size,
        margin=margin,
        rows=tuple(
            _row(out, scorer, epochs, margin, rules)
            for out, scorers in rows.items()
            for scorer, epochs in scorers.items()
        ),
        seeds=len({result.cell.seed for result in results}),
        n_fit=tuple(sorted(count for count in n_fit if count)),
        notes=provenance_notes(results),
        unit=unit_of(results),
    )


def _row(
    out: str, scorer: str, epochs: Mapping[int, Seeds], margin: float, rules: Sequence[Rule]
) -> EpochRow:
    usable = comparable(epochs)
    along = tuple({"epoch": epoch, **_means(epochs[epoch])} for epoch in sorted(epochs))
    left_out = len(epochs) - len(usable)
    if len(usable) < 2:
        return EpochRow(out, scorer, (), compared=len(usable), left_out=left_out, along=along)
    search = _Search(usable, margin)
    last = search.numbers[-1]
    return EpochRow(
        out,
        scorer,
        tuple(search.answer(rule) for rule in rules),
        last_epoch=search.epochs[-1],
        auroc_last=last["auroc"],
        ovl_last=last["ovl_scores"],
        n_in=search.evidence.wins_in.shape[-1],
        n_out=search.evidence.wins_out.shape[-1],
        compared=len(usable),
        left_out=left_out,
        along=along,
    )


class _Search:
    """Search for the earliest epoch that is enough, over comparable epochs in ascending order."""

    def __init__(self, epochs: Mapping[int, Seeds], margin: float) -> None:
        self.epochs = list(epochs)
        self.margin = margin
        self.numbers = [_means(seeds) for seeds in epochs.values()]
        rows = [[seeds[seed] for seed in sorted(seeds)] for seeds in epochs.values()]
        self.evidence = evidence_of(rows)
        self.aurocs = self.evidence.aurocs.mean(1)
        self.saves = self._depends_on_training() and self._is_above_chance()

    def answer(self, rule: Rule) -> Answer:
        """Return the answer of a rule."""
        last = len(self.epochs) - 1
        if rule == "paper":
            return self._answer(rule, int(self.aurocs.argmax()), None)
        against = [last] if rule == "last" else list(range(len(self.epochs)))
        return self._answer(rule, *self._back(last, against))

    def losses(self) -> list[Loss]:
        """Return the loss at each epoch against the last one."""
        last = len(self.epochs) - 1
        before = list(range(last))
        pairs = self._take([last] * last), self._take(before)
        _, high = difference_limits(*pairs, "same", Z_ONE_SIDED)
        highs = [*map(float, high), 0.0]
        first = next((e for e in reversed(before) if highs[e] >= self.margin), -1)
        return [
            Loss(epoch, float(self.aurocs[last] - self.aurocs[place]), highs[place], place > first)
            for place, epoch in enumerate(self.epochs)
        ]

    def _back(self, place: int, against: Sequence[int]) -> tuple[int | None, float | None]:
        """Go back from a place while epochs are shown; return the last shown, and `times`."""
        found = None
        while place >= 0:
            is_shown, times = self._judge(place, [other for other in against if other != place])
            if not is_shown:
                return found, times
            found, place = place, place - 1
        return found, None

    def _judge(self, place: int, against: Sequence[int]) -> tuple[bool, float | None]:
        """Judge an epoch against others: is it shown, or with how many times the groups."""
        if not against:
            return True, None
        others, own = self._take(against), self._take([place])
        _, high = difference_limits(others, own, "same", Z_ONE_SIDED)
        difference = self.aurocs[against] - self.aurocs[place]
        if (high < self.margin).all():
            return True, None
        if (difference >= self.margin).any():
            return False, None
        return False, float((((high - difference) / (self.margin - difference)) ** 2).max())

    def _take(self, places: Sequence[int]) -> Evidence:
        parts = (self.evidence.wins_out, self.evidence.wins_in, self.evidence.refits)
        wins_out, wins_in, refits = (part[list(places)] for part in parts)
        return Evidence(wins_out, wins_in, refits, self.evidence.is_by_image)

    def _answer(self, rule: Rule, place: int | None, times: float | None) -> Answer:
        if place is None:
            return Answer(rule, None, times=times)
        last = len(self.epochs) - 1
        low, high = None, None
        if rule != "paper" and place != last:
            ends = difference_limits(self._take([place]), self._take([last]), "same")
            low, high = (float(end[0]) for end in ends)
        saved = 1.0 - self.epochs[place] / self.epochs[last]
        return Answer(
            rule,
            self.epochs[place],
            auroc=self.numbers[place]["auroc"],
            ovl_scores=self.numbers[place]["ovl_scores"],
            difference=float(self.aurocs[place] - self.aurocs[last]),
            difference_low=low,
            difference_high=high,
            training_saved=saved if self.saves and place != last else None,
            times=times,
        )

    def _depends_on_training(self) -> bool:
        """Check that the scores change with the epoch; a trivial baseline has the same at each."""
        wins = self.evidence.wins_out, self.evidence.wins_in
        return any(bool((part != part[:1]).any()) for part in wins)

    def _is_above_chance(self) -> bool:
        """Check that some epoch is above chance by the lower 95 % limit of its AUROC."""
        low, _ = limits(self._take([int(self.aurocs.argmax())]))
        return bool(low[0] > 0.5)


def _means(seeds: Seeds) -> dict[str, float | None]:
    """Average each metric over the seeds with a number."""
    known = [metrics for result in seeds.values() if (metrics := metrics_of(result)) is not None]
    columns = zip(*known, strict=True) if known else [(None,)] * len(Metrics._fields)
    return {
        name: None if None in values else fmean(values)
        for name, values in zip(Metrics._fields, columns, strict=True)
    }


def comparable(epochs: Mapping[int, Seeds]) -> dict[int, Seeds]:
    """Select the epochs, ascending, that share groups and seeds with the last complete epoch."""
    groups = {epoch: _groups(epochs[epoch]) for epoch in sorted(epochs)}
    most = max(len(found) for found in groups.values())
    same = [found for found in groups.values() if found and len(found) == most][-1:]
    return {epoch: epochs[epoch] for epoch, found in groups.items() if found in same}


def _groups(seeds: Seeds) -> tuple[tuple[Any, ...], ...]:
    """Identify the groups scored at an epoch, for each seed with enough scores to be judged."""
    return tuple(
        (seed, *map(len, result.scores), result.provenance.get("draw_seed"))
        for seed, result in sorted(seeds.items())
        if number(result) is not None
        and result.scores is not None
        and shape_of(result) is not None
        and min(map(len, result.scores)) >= LEAST_TESTED
    )
