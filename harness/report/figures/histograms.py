"""Histograms for in-distribution and OOD values with shared bins, in a grid of panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.metrics.placements import Floats
from harness.report.figures.scale import Scale, choose_scale
from harness.report.figures.style import (
    LETTER,
    add_legend,
    dataset_keys,
    fold,
    new_figure,
    out_look,
    own_look,
)
from harness.report.looks import Looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_BINS = 48
WIDTH = 3.3
"""Panel width in inches."""


@dataclass(frozen=True)
class Panel:
    """Values to compare: float64 (n,) by data set in `samples`, in-distribution set first."""

    title: str
    samples: Mapping[str, Floats]


@dataclass(frozen=True)
class Histogram:
    """Counts for every data set in the same bins.

    Attributes:
        scale: Scale for the edges.
        edges: float64, (bins + 1,), ascending, evenly spaced on the axis.
        counts: int64, (bins,), by data set; the sum equals the number of values.
    """

    scale: Scale
    edges: Floats
    counts: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]


def histograms(panels: Sequence[Panel]) -> list[Histogram]:
    """Count the values of panels that share a scale: every panel has the same bins.

    The first set in `samples` is in-distribution. The scale suits the last panel: of the epochs
    of a training, the last one is trained best.
    """
    own = next(iter(panels[-1].samples.values()))
    scale = choose_scale(own, [x for panel in panels for x in panel.samples.values()])
    every = [values for panel in panels for values in panel.samples.values()]
    # fewer bins for few values, such as groups of five
    bins = min(MOST_BINS, max(20, int(3 * min(map(len, every)) ** 0.5)))
    edges = np.histogram_bin_edges(np.concatenate([scale.forward(x) for x in every]), bins)
    return [
        Histogram(
            scale,
            edges,
            {name: np.histogram(scale.forward(x), edges)[0] for name, x in panel.samples.items()},
        )
        for panel in panels
    ]


def draw_histograms(
    grid: Sequence[Sequence[Panel]],
    looks: Looks,
    *,
    title: str,
    unit: str,
    share_of: str,
) -> Figure:
    """Draw a figure with a grid of panels; rows may end early.

    The panels in a column have the same scale and bins. A data set is solid and filled where
    in-distribution, and dashed where OOD. The height of a bin is the share of its set's values.

    Arguments:
        grid: Panels row by row.
        looks: Looks of the data sets.
        title: Figure title.
        unit: Axis label for the values.
        share_of: Things counted in the bins, such as `"examples"`.
    """
    columns = max(len(row) for row in grid)
    figure, axes = new_figure(len(grid), columns, width=WIDTH, height=1.7, title=title)
    for place in range(columns):
        panels = [row[place] for row in grid if place < len(row)]
        for line, (panel, found) in enumerate(zip(panels, histograms(panels), strict=True)):
            ax = axes[line][place]
            _draw_panel(ax, panel, found, looks)
            ax.tick_params(labelbottom=line == len(panels) - 1)
        ax.set_xlabel(unit + found.scale.remark)
    for row, row_axes in zip(grid, axes, strict=True):
        row_axes[0].set_ylabel(f"share of {share_of}")
        for ax in row_axes[len(row) :]:
            ax.set_axis_off()
    sets = [list(panel.samples) for row in grid for panel in row]
    ins, outs = [own for own, *_ in sets], [name for _, *others in sets for name in others]
    add_legend(figure, dataset_keys(looks, ins, outs))
    return figure


def _draw_panel(ax: Axes, panel: Panel, found: Histogram, looks: Looks) -> None:
    for number, (name, counts) in enumerate(found.counts.items()):
        look = out_look(looks, name) if number else own_look(looks, name)
        heights = np.where(counts, counts / counts.sum(), np.nan)  # empty bins have no outline
        if number == 0:
            ax.stairs(heights, found.edges, fill=True, color=look["color"], alpha=0.3)
        ax.stairs(heights, found.edges, **look)
    ax.set_title(fold(panel.title, WIDTH - 0.5))
    ax.set_ylim(bottom=0)
    show_ticks(ax, found.scale, float(found.edges[0]), float(found.edges[-1]), WIDTH - 0.7)


def show_ticks(ax: Axes, scale: Scale, low: float, high: float, inches: float) -> None:
    """Limit the axis to two positions, and label as many round values as have room.

    Arguments:
        ax: Axes, with positions on the scale as x.
        scale: The scale.
        low: Left end, a position.
        high: Right end, a position.
        inches: Width of the axes.
    """
    margin = 0.01 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    shown: dict[float, str] = {}
    left = -float("inf")
    for place, text in sorted(scale.ticks(low, high).items()):
        middle = inches * (place - low) / ((high - low) or 1.0)
        half = LETTER * len(text) / 2
        if middle - half > left:
            shown[place] = text
            left = middle + half
    ax.set_xticks(list(shown), list(shown.values()))
