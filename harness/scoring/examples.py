"""Notes on the examples behind a cell: copies, within a role and across roles and splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.data.contents import distinct
from harness.data.folder import PreparedDataset
from harness.data.questions import (
    count_shared,
    notes_on_copies,
    notes_on_training,
    notes_on_values,
)
from harness.data.roles import Draw
from harness.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.data.contents import Contents
    from harness.plan.jobs import PlannedCell


class _Drawn(NamedTuple):
    """Digests of the examples for a role, and their name in a note, with their number."""

    what: str
    digests: NDArray[np.uint64]


class ExampleNotes:
    """Writes the notes on the examples of cells; cells with the same examples share the notes.

    A split whose contents are neither stored nor on this machine has no notes.

    Arguments:
        prepared: The data sets by name.
    """

    def __init__(self, prepared: Mapping[str, PreparedDataset]) -> None:
        self._prepared = prepared
        self._contents = cache(self._find)
        self._drawn = cache(self._draw)
        self._notes = cache(self._write)

    def of(self, planned: PlannedCell) -> tuple[str, ...]:
        """Return the notes on the examples of a cell.

        Arguments:
            planned: A cell with all statistics stored.
        """
        first = next(iter(planned.reads.values()))
        read = (jobs.fit for jobs in planned.reads.values() if jobs.fit.epoch is not None)
        trained_on = tuple(dict.fromkeys(job.chain.dataset for job in read))
        return self._notes(tuple(job.draw for job in first), trained_on)

    def _find(self, name: str, split: str) -> Contents | None:
        prepared = self._prepared[name]  # the ID set of saved epochs may have no train split
        return prepared.contents(split) if split in prepared.counts else None

    def _draw(self, draw: Draw) -> _Drawn | None:
        contents = self._contents(draw.dataset, "test")
        if contents is None:
            return None
        ids = draw.ids(len(contents.digests))
        return _Drawn(_what(draw, len(ids)), contents.digests[ids])

    def _write(self, draws: tuple[Draw, Draw, Draw], trained_on: Sequence[str]) -> tuple[str, ...]:
        _, in_, out = draws
        tested = dict.fromkeys((in_.dataset, out.dataset))
        notes = [
            f"{name}: {note}"
            for name in dict.fromkeys((*trained_on, *tested))
            for note in self._prepared[name].notes
        ]
        splits = [(name, "train") for name in trained_on] + [(name, "test") for name in tested]
        for name, split in splits:
            if contents := self._contents(name, split):
                notes += notes_on_values(self._prepared[name], split, contents)
        for name in trained_on:
            notes += self._on_training(in_.dataset, name)
        return tuple(dict.fromkeys([*notes, *self._on_roles(*draws, trained_on)]))

    def _on_training(self, name: str, trained_on: str) -> list[str]:
        test, train = self._contents(name, "test"), self._contents(trained_on, "train")
        if test is None or train is None:
            return []
        return notes_on_training(self._prepared[name], test, self._prepared[trained_on], train)

    def _on_roles(self, fit: Draw, in_: Draw, out: Draw, trained_on: Sequence[str]) -> list[str]:
        noun = self._prepared[in_.dataset].domain.example
        drawn = {draw: found for draw in (fit, in_, out) if (found := self._drawn(draw))}
        notes = [
            note
            for found in drawn.values()
            for note in notes_on_copies(f"the {found.what}", found.digests, noun)
        ]
        if fit.fit_overlap == "none" and {fit, in_} <= drawn.keys():
            notes += _on_shared(
                drawn[in_], distinct(drawn[fit].digests), f"among the {drawn[fit].what}"
            )
        if out not in drawn:
            return notes
        equal = self._equal_splits(in_.dataset, out.dataset)
        notes += [
            f"the test split of {out.dataset} has the {noun}s of the {split} split of "
            f"{in_.dataset}"
            for split in equal
        ]
        if in_ in drawn and "test" not in equal:
            notes += _on_shared(
                drawn[out], distinct(drawn[in_].digests), f"among the {drawn[in_].what}"
            )
        for name in trained_on:
            train = self._contents(name, "train")
            if train is not None and not (name == in_.dataset and "train" in equal):
                notes += _on_shared(drawn[out], train.distinct, f"in the train split of {name}")
        return notes

    def _equal_splits(self, name: str, out: str) -> list[str]:
        """List the splits of a data set with the same images as an OOD set, in any order."""
        test = self._contents(out, "test")
        return [
            split
            for split in self._prepared[name].counts
            if test is not None
            and (contents := self._contents(name, split)) is not None
            and np.array_equal(np.sort(test.digests), np.sort(contents.digests))
        ]


def _what(draw: Draw, count: int) -> str:
    """Name the examples for a role, for example `150 scored ID examples of digits`."""
    kinds = {"fit": "fit example", "in": "scored ID example", "out": "OOD example"}
    return f"{counted(count, kinds[draw.role])} of {draw.dataset}"


def _on_shared(drawn: _Drawn, others: NDArray[np.uint64], where: str) -> list[str]:
    """Write a note on the examples for a role that are also elsewhere, by ascending digests."""
    count = count_shared(drawn.digests, others)
    return [f"{count:,} of the {drawn.what} are also {where}"] if count else []
