"""The search for the earliest epoch that is enough: shown not to be worse by a margin.

Epoch e is shown to be enough against epoch j if the one-sided 95 % upper limit of A_j - A_e is
below the margin (non-inferiority). From the last epoch, the search goes back while the epochs are
shown. This order is fixed in advance, so it needs no correction for the number of epochs, and a
further epoch in a suite never makes an earlier epoch "shown".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from harness.metrics.estimates import limits
from harness.metrics.evidence import Evidence, evidence_of, shape_of
from harness.metrics.paired import LEAST_TESTED, difference_limits
from harness.report.significance import Seeds, metrics_of, number
from harness.results import Metrics

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
    return Search(usable, margin).losses() if len(usable) > 1 else []


class Search:
    """Search for the earliest epoch that is enough, over comparable epochs in ascending order."""

    def __init__(self, epochs: Mapping[int, Seeds], margin: float) -> None:
        self.epochs = list(epochs)
        self.margin = margin
        self.numbers = [means(seeds) for seeds in epochs.values()]
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


def means(seeds: Seeds) -> dict[str, float | None]:
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
