"""Heat map of AUROCs: scorers down, models and pairs of data sets across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.metrics.placements import Floats
from harness.report.figures.style import COLOURS, INCHES, Drawing, Width, fold
from harness.report.looks import Looks
from harness.report.significance import number
from harness.results import Result, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


CELL = 0.265
"""Width of a cell in inches."""

ROW = 0.155
"""Height of a row in inches."""

SMALL = 0.062
"""Width of a letter of a tick label in inches, deliberately overestimated."""

LEAST_CELLS = 3
"""Width of the narrowest group, in cells: the name of the model has room."""

NOTES = (
    "white: .5, blue: above, orange: below; bold: best of its column as shown; –: no number; "
    "coloured names: in focus"
)

GAP = 0.4
"""Gap between two groups, in cells."""


@dataclass(frozen=True)
class Group:
    """Columns that share a model and an ID set.

    Attributes:
        epoch: The last epoch.
        outs: The OOD sets.
        values: Mean AUROC over the seeds by scorer and OOD set, of those with a number.
    """

    model: str
    in_dataset: str
    epoch: int
    outs: tuple[str, ...]
    values: Mapping[tuple[str, str], float]

    @property
    def cells(self) -> float:
        """Width in cells."""
        return max(len(self.outs), LEAST_CELLS)


def heatmap_figure(results: Sequence[Result], drawing: Drawing, group_size: int) -> Figure:
    """Draw the heat map of a suite at a group size, for the last epoch of each model."""
    unit = unit_of(results)
    title = f"AUROC at the last {unit} of each model, group size {group_size}"
    found = groups(results, group_size)
    return draw_heatmap(found, drawing.looks, title=title, width=drawing.width, unit=unit)


def groups(results: Sequence[Result], group_size: int) -> list[Group]:
    """Collect the AUROCs at the last epoch of each model on an ID set, in result order."""
    found: dict[tuple[str, str], dict[int, dict[tuple[str, str], list[float]]]] = {}
    for result in results:
        cell, auroc = result.cell, number(result)
        if cell.group_size == group_size and auroc is not None:
            epochs = found.setdefault((cell.model, cell.in_dataset), {})
            values = epochs.setdefault(cell.epoch, {})
            values.setdefault((cell.scorer, cell.out_dataset), []).append(auroc)
    made = []
    for (model, in_dataset), epochs in found.items():
        last = {place: fmean(seeds) for place, seeds in epochs[max(epochs)].items()}
        outs = tuple(dict.fromkeys(out for _, out in last))
        made.append(Group(model, in_dataset, max(epochs), outs, last))
    return made


def by_mean(found: Sequence[Group]) -> list[str]:
    """Sort the scorers by their mean AUROC over the columns, the highest first."""
    values: dict[str, list[float]] = {}
    for group in found:
        for (scorer, _), auroc in group.values.items():
            values.setdefault(scorer, []).append(auroc)
    return sorted(values, key=lambda scorer: -fmean(values[scorer]))


def draw_heatmap(
    found: Sequence[Group],
    looks: Looks,
    *,
    title: str,
    width: Width = "two",
    unit: str = "epoch",
) -> Figure:
    """Draw a heat map; columns that have no room continue below, with the scorers they have."""
    from matplotlib.figure import Figure

    scorers = by_mean(found)
    label = SMALL * max(map(len, scorers)) + 0.1
    most = int((INCHES[width] - label) / CELL)
    blocks = _blocks([part for group in found for part in _parts(group, most)], most)
    heading = fold(title, 0.95 * INCHES[width])
    notes = fold(NOTES, 1.4 * INCHES[width])  # in smaller letters
    under = 0.17 * (heading.count("\n") + 1)
    top = under + 0.11 * (notes.count("\n") + 1) + 0.03
    rows = [_rows(block, scorers) for block in blocks]
    heights = [
        (_above(block, unit), ROW * len(shown), _below(block))
        for block, shown in zip(blocks, rows, strict=True)
    ]
    size = INCHES[width], top + sum(map(sum, heights))
    figure = Figure(figsize=size)
    figure.suptitle(heading, y=1 - 0.02 / size[1], va="top")
    figure.text(0.5, 1 - under / size[1], notes, fontsize=7, va="top", ha="center")
    for block, shown, (above, inner, below) in zip(blocks, rows, heights, strict=True):
        top += above
        reach = sum(group.cells + GAP for group in block) - GAP
        # measured in inches: the layout engine would take seconds
        left, low = label / size[0], (size[1] - top - inner) / size[1]
        ax = figure.add_axes((left, low, CELL * reach / size[0], inner / size[1]))
        _draw_block(ax, block, shown, looks, unit)
        ax.set_xlim(0, reach)
        top += inner + below
    return figure


def _rows(block: Sequence[Group], scorers: Sequence[str]) -> list[str]:
    """Return the scorers with a number in a block."""
    known = {scorer for group in block for scorer, _ in group.values}
    return [scorer for scorer in scorers if scorer in known]


def _above(block: Sequence[Group], unit: str) -> float:
    """Return the height of the names of the groups above a block, in inches."""
    return 0.11 * max(_name(group, unit).count("\n") + 1 for group in block) + 0.1


def _below(block: Sequence[Group]) -> float:
    """Return the height of the axis of OOD sets below a block, in inches."""
    return SMALL * max(len(out) for group in block for out in group.outs) + 0.27


def _name(group: Group, unit: str) -> str:
    words = (group.model, f"ID {group.in_dataset}", f"{unit} {group.epoch}")
    return "\n".join(fold(word, group.cells * CELL) for word in words)


def _parts(group: Group, most: int) -> list[Group]:
    """Split a group of columns into parts that each fit into the figure."""
    parts = [group.outs[start : start + most] for start in range(0, len(group.outs), most)]
    return [replace(group, outs=outs) for outs in parts]


def _blocks(parts: Sequence[Group], most: int) -> list[list[Group]]:
    """Arrange groups in lines that have room for at most so many cells."""
    blocks: list[list[Group]] = [[]]
    for part in parts:
        taken = sum(group.cells + GAP for group in blocks[-1])
        if blocks[-1] and taken + part.cells > most:
            blocks.append([])
        blocks[-1].append(part)
    return blocks


def _draw_block(
    ax: Axes, block: Sequence[Group], scorers: Sequence[str], looks: Looks, unit: str
) -> None:
    ticks: dict[float, str] = {}
    left = 0.0
    for group in block:
        values = [[group.values.get((s, out), np.nan) for out in group.outs] for s in scorers]
        _draw_group(ax, np.array(values), left)
        ax.text(
            left, -0.25, _name(group, unit), fontsize=7, va="bottom", ha="left", linespacing=1.1
        )
        ticks |= {left + place + 0.5: out for place, out in enumerate(group.outs)}
        left += group.cells + GAP
    ax.set_xticks(list(ticks), list(ticks.values()), rotation=90)
    ax.set_xlabel("OOD set", labelpad=1)
    ax.set_yticks([place + 0.5 for place in range(len(scorers))], scorers)
    for text, scorer in zip(ax.get_yticklabels(), scorers, strict=True):
        if scorer in looks.focus:
            text.set(color=COLOURS[looks.focus[scorer]], fontweight="bold")
    ax.set_ylim(len(scorers), 0)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _draw_group(ax: Axes, values: Floats, left: float) -> None:
    """Draw the cells of a group: colours from 0 to 1, numbers, the best of each column bold."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("auroc", [COLOURS[1], "white", COLOURS[0]])
    rows, columns = values.shape
    edges = left + np.arange(columns + 1)
    shades: dict[str, Any] = {"cmap": colours, "vmin": 0.0, "vmax": 1.0}
    lines: dict[str, Any] = {"edgecolors": "white", "linewidth": 0.5}
    shown = np.ma.masked_invalid(values)
    ax.pcolormesh(edges, np.arange(rows + 1), shown, **shades, **lines)
    rounded = np.array([[float(f"{value:.2f}") for value in row] for row in values])
    best = np.nanmax(np.where(np.isnan(rounded), -1.0, rounded), axis=0)
    for (row, column), value in np.ndenumerate(values):
        is_dark = abs(value - 0.5) > 0.35
        ax.text(
            left + column + 0.5,
            row + 0.53,
            "–" if np.isnan(value) else f"{value:.2f}".removeprefix("0"),
            ha="center",
            va="center",
            fontsize=6,
            color="white" if is_dark else "black",
            fontweight="bold" if rounded[row, column] == best[column] else "normal",
        )
