"""One look for each scorer, model and data set, the same in every figure and on the page.

A look is a small number, a *slot*; figures and the page have a colour, line and marker for each
slot. A slot follows from the name, so that a scorer tends to look the same in every suite: crc32
of the name, or the next free slot if another name has taken this one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

from harness.contracts import Landmark
from harness.errors import BenchError
from harness.plan.plan import Plan
from harness.report.common_cells import compare
from harness.results import Result
from harness.scoring.baselines import is_baseline
from harness.suite import ScorerComponent
from harness.text import known_names

MOST_IN_FOCUS = 6
"""Most scorers in colour: more colours are hard to tell apart, for colour-blind readers above all.
"""

DATASET_SLOTS = 7
"""Number of colours of data sets; further data sets share a colour, with another line."""


@dataclass(frozen=True)
class Looks:
    """The looks of everything in a suite.

    Attributes:
        focus: Slot by scorer in focus, from 0 to 5, in suite order.
        others: Number by scorer that is not in focus, from 1, in suite order. These scorers are
            grey, and the number tells one from another.
        datasets: Slot by data set.
        families: Slot by model, that of its family: models of one plugin share the slot.
        members: Place of each model within its family, from 0.
    """

    focus: dict[str, int]
    others: dict[str, int]
    datasets: dict[str, int]
    families: dict[str, int]
    members: dict[str, int]

    @property
    def scorers(self) -> list[str]:
        """All scorers: those in focus first."""
        return [*self.focus, *self.others]


def looks(plan: Plan, results: Sequence[Result], focus: Sequence[str] = ()) -> Looks:
    """Choose the looks for a suite.

    Arguments:
        plan: Plan whose order determines all orders.
        results: Results, for the best scorers.
        focus: Scorers to show in colour; by default those of `default_focus`.

    Raises:
        BenchError: A scorer in `focus` is unknown, or `focus` has too many.
    """
    scorers = {planned.cell.scorer: planned.scorer for planned in plan.cells}
    chosen = _checked(focus, scorers) if focus else default_focus(scorers, results)
    kept = [name for name in scorers if name in chosen]
    first = [name for name in kept if _is_landmark(scorers[name])]
    taken = slots([*first, *kept], MOST_IN_FOCUS)
    others = [name for name in scorers if name not in chosen]
    datasets = [name for x in plan.cells for name in (x.cell.in_dataset, x.cell.out_dataset)]
    plugins = {
        chain.model.name: chain.model.registered.entry.name for chain in plan.chains.values()
    }
    families = slots(plugins.values(), MOST_IN_FOCUS)
    members = {
        model: sum(plugins[other] == plugin for other in list(plugins)[:place])
        for place, (model, plugin) in enumerate(plugins.items())
    }
    return Looks(
        focus={name: taken[name] for name in kept},
        others={name: number for number, name in enumerate(others, 1)},
        datasets=slots(datasets, DATASET_SLOTS),
        families={model: families[plugin] for model, plugin in plugins.items()},
        members=members,
    )


def default_focus(
    scorers: dict[str, ScorerComponent], results: Sequence[Result]
) -> Collection[str]:
    """Choose the scorers in focus: all, or the landmarks, the best baseline, and the best.

    The best are those with the highest mean AUROC over common cells (`compare`).
    """
    if len(scorers) <= MOST_IN_FOCUS:
        return scorers
    baselines = [name for name, scorer in scorers.items() if is_baseline(scorer.build())]
    comparison = compare(list({result.cell: result for result in results}.values()), baselines)
    ranked = list(comparison.means) if comparison else []
    ordered = [*ranked, *(name for name in scorers if name not in ranked)]
    chosen = [
        *(name for name, scorer in scorers.items() if _is_landmark(scorer)),
        *[name for name in ordered if name in baselines][:1],
        *ordered,
    ]
    return list(dict.fromkeys(chosen))[:MOST_IN_FOCUS]


def slots(names: Iterable[str], count: int) -> dict[str, int]:
    """Give each name a slot of its own: below `count` while one of these is free.

    Earlier names choose first. Names beyond `count` get the slots from `count` to 2 `count` - 1,
    and so on.

    Example:
        >>> slots(["log-likelihood", "typicality"], 6)
        {'log-likelihood': 0, 'typicality': 1}
    """
    found: dict[str, int] = {}
    for name in dict.fromkeys(names):
        start = len(found) // count * count
        wanted = (crc32(name.encode()) + step for step in range(count))
        free = (start + slot % count for slot in wanted)
        found[name] = next(slot for slot in free if slot not in found.values())
    return found


def _is_landmark(scorer: ScorerComponent) -> bool:
    """Check for a landmark under its own name: another name stands for other options."""
    built = scorer.build()
    is_own = scorer.name == scorer.registered.entry.name
    return is_own and isinstance(built, Landmark) and built.landmark is True


def _checked(focus: Sequence[str], scorers: Collection[str]) -> Collection[str]:
    for name in focus:
        if name not in scorers:
            raise BenchError(f"--focus: no scorer {name!r} ({known_names(name, scorers)})")
    if len(set(focus)) > MOST_IN_FOCUS:
        raise BenchError(
            f"--focus: {len(set(focus))} scorers, but at most {MOST_IN_FOCUS} can be told apart"
        )
    return set(focus)
