"""Histograms for in-distribution and OOD values with shared bins, in a grid of panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.metrics.placements import Floats
from harness.report.figures.scale import Scale, choose_scale
from harness.report.figures.style import add_legend, fold, key, label, line, new_figure

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


def histogram(samples: Mapping[str, Floats]) -> Histogram:
    """Count every value in shared bins; the first set in `samples` is in-distribution."""
    own, *others = samples.values()
    scale = choose_scale(own, others)
    places = {name: scale.forward(values) for name, values in samples.items()}
    fewest = min(len(values) for values in samples.values())
    # fewer bins for few values, such as groups of five
    bins = min(MOST_BINS, max(10, int(3 * fewest**0.5)))
    edges = np.histogram_bin_edges(np.concatenate([*places.values()]), bins)
    counts = {name: np.histogram(values, edges)[0] for name, values in places.items()}
    return Histogram(scale, edges, counts)


def draw_histograms(
    grid: Sequence[Sequence[Panel]], *, title: str, unit: str, share_of: str
) -> Figure:
    """Draw a figure with a grid of panels; rows may end early.

    A data set has the same colour throughout, and is filled where in-distribution. The height of a
    bin is the share of values from the data set.

    Arguments:
        grid: Panels row by row.
        title: Figure title.
        unit: Axis label for the values.
        share_of: Things counted in the bins, such as `"examples"`.
    """
    columns = max(len(row) for row in grid)
    figure, axes = new_figure(len(grid), columns, width=WIDTH, height=2.0, title=title)
    names = dict.fromkeys(name for row in grid for panel in row for name in panel.samples)
    places = {name: place for place, name in enumerate(names)}
    for row, row_axes in zip(grid, axes, strict=True):
        for panel, ax in zip(row, row_axes, strict=False):
            _draw_panel(ax, panel, places, unit)
        row_axes[0].set_ylabel(f"share of {share_of}")
        for ax in row_axes[len(row) :]:
            ax.set_axis_off()
    add_legend(figure, [key(label(name), **line(place)) for name, place in places.items()])
    return figure


def _draw_panel(ax: Axes, panel: Panel, places: Mapping[str, int], unit: str) -> None:
    found = histogram(panel.samples)
    for number, (name, counts) in enumerate(found.counts.items()):
        look = line(places[name])
        heights = counts / counts.sum()
        if number == 0:
            ax.stairs(heights, found.edges, fill=True, color=look["color"], alpha=0.3)
        ax.stairs(heights, found.edges, **look, linewidth=1.2)
    ax.set_title(fold(panel.title, WIDTH - 0.5))
    ax.set_xlabel(unit + found.scale.remark)
    ax.set_ylim(bottom=0)
    show_ticks(ax, found.scale, float(found.edges[0]), float(found.edges[-1]))


def show_ticks(ax: Axes, scale: Scale, low: float, high: float) -> None:
    """Limit the axis to two positions; on a nonlinear scale, label ticks with the values."""
    margin = 0.01 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    if scale.width is not None:
        ticks = scale.ticks(low, high)
        ax.set_xticks(list(ticks), list(ticks.values()))
