"""AUROC by epoch with an interval, and bits per dimension for the in-distribution set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.figures.style import add_legend, fold, key, label, marked_line, new_figure
from harness.results import BITS_UNIT, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WIDTH = 3.5
"""Panel width in inches."""

WIDE_RANGE = 10.0
"""Ratio between largest and smallest bits per dimension beyond which the axis is logarithmic."""


BITS: dict[str, Any] = {"color": "0.45", "linestyle": ":", "marker": "x"}
"""Line style for bits per dimension."""


@dataclass(frozen=True)
class Curve:
    """Curve for a scorer: AUROC and 95 % interval bounds, by ascending epoch."""

    epochs: tuple[int, ...]
    auroc: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class CurvePanel:
    """Panel for an OOD data set at a group size.

    Attributes:
        curves: Curves by scorer.
        bits: Bits per dimension of the scored in-distribution examples, by epoch; may be empty.
    """

    title: str
    curves: Mapping[str, Curve]
    bits: Mapping[int, float]


def curve(results: Mapping[int, Result]) -> Curve:
    """Make a curve from results by epoch; results without a number are left out."""
    found = [
        (
            epoch,
            result.metrics.auroc,
            _known(result.metrics.auroc_low),
            _known(result.metrics.auroc_high),
        )
        for epoch, result in sorted(results.items())
        if result.metrics is not None
    ]
    epochs, auroc, low, high = zip(*found, strict=True) if found else ((), (), (), ())
    return Curve(epochs, auroc, low, high)


def _known(limit: float | None) -> float:
    """Return an end of an interval, NaN if unknown: the band then has a gap."""
    return math.nan if limit is None else limit


def draw_curves(
    grid: list[list[CurvePanel]], *, title: str, unit: str = "epoch", bits_unit: str = BITS_UNIT
) -> Figure:
    """Draw a figure with a full grid of panels; `unit` is what the epochs axis counts."""
    figure, axes = new_figure(len(grid), len(grid[0]), width=WIDTH, height=2.1, title=title)
    scorers = dict.fromkeys(scorer for row in grid for panel in row for scorer in panel.curves)
    places = {scorer: place for place, scorer in enumerate(scorers)}
    for row, row_axes in zip(grid, axes, strict=True):
        for panel, ax in zip(row, row_axes, strict=True):
            _draw_panel(ax, panel, places, bits_unit if panel is row[-1] else "")
        row_axes[0].set_ylabel("AUROC")
    for ax in axes[-1]:
        ax.set_xlabel(unit)
    keys = [key(label(scorer), **marked_line(place)) for scorer, place in places.items()]
    if any(panel.bits for row in grid for panel in row):
        keys.append(key(f"{bits_unit}, in-distribution (right)", **BITS))
    add_legend(figure, keys)
    return figure


def _draw_panel(ax: Axes, panel: CurvePanel, places: Mapping[str, int], bits_label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.axhline(0.5, color="0.75", linewidth=0.6, zorder=0)
    for scorer, found in panel.curves.items():
        look = marked_line(places[scorer])
        band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
        ax.fill_between(found.epochs, found.low, found.high, **band)
        ax.plot(found.epochs, found.auroc, **look, clip_on=False)
    ax.set_ylim(0, 1)
    ax.set_title(fold(panel.title, WIDTH - 0.7))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if panel.bits:
        _draw_bits(ax, panel.bits, bits_label)


def _draw_bits(ax: Axes, bits: Mapping[int, float], name: str) -> None:
    right = ax.twinx()
    right.plot(list(bits), list(bits.values()), **BITS)
    least, most = min(bits.values()), max(bits.values())
    if least > 0 and most > WIDE_RANGE * least:
        right.set_yscale("log")
        right.yaxis.set_major_formatter("{x:,g}")
    right.spines["right"].set(visible=True, color="0.35")
    right.tick_params(axis="y", colors="0.35")
    right.set_ylabel(name, color="0.35")
