"""Numbers of scorers along the epochs, with intervals, and bits per dimension of the ID set."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from harness.metrics.estimates import estimate
from harness.report.figures.series import TrainingResults, along, trained
from harness.report.figures.style import (
    CHANCE,
    INCHES,
    Drawing,
    Width,
    add_legend,
    epoch_axis,
    epoch_label,
    fold_lines,
    key,
    new_figure,
    pair_title,
    scorer_keys,
    scorer_look,
)
from harness.report.looks import Looks
from harness.report.significance import metrics_of
from harness.results import BITS_UNIT, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


ACROSS: dict[Width, int] = {"one": 2, "two": 4}
"""Most panels side by side."""

HEIGHT = 1.45
"""Panel height in inches."""

WIDE_RANGE = 10.0
"""Ratio between largest and smallest bits per dimension beyond which the axis is logarithmic."""

BITS: dict[str, Any] = {"color": "black", "linestyle": ":", "linewidth": 0.9}
"""Line style for bits per dimension."""

Metric: TypeAlias = Literal["auroc", "ovl_scores"]
"""Metrics that a curve can show; only the AUROC has an interval."""

NAMES: dict[Metric, str] = {"auroc": "AUROC", "ovl_scores": "overlap of ID and OOD scores"}

LABELS: dict[Metric, str] = {
    "auroc": "AUROC",
    "ovl_scores": "overlap of scores\n(lower separates\nbetter)",
}
"""What the vertical axis shows."""

TAG_HEIGHT = 0.075
"""Room of the number of a grey scorer, in inches; `TAG_WIDTH` is across."""

TAG_WIDTH = 0.1
INNER = 0.8
"""Height of the axes, in inches."""


@dataclass(frozen=True)
class Curve:
    """Curve for a scorer: values and 95 % interval bounds, by ascending epoch.

    An unknown bound is NaN: the band then has a gap.
    """

    epochs: tuple[int, ...]
    values: tuple[float, ...]
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


def curve(results: Mapping[int, Sequence[Result]], metric: Metric = "auroc") -> Curve:
    """Make a curve from the results by epoch, one result for each seed.

    Values are means over the seeds with a number, and the interval of the AUROC includes the
    spread between trainings. Epochs without a number are left out.
    """
    found = []
    for epoch, seeds in sorted(results.items()):
        known = [result for result in seeds if metrics_of(result) is not None]
        if known:
            values = [getattr(result.metrics, metric) for result in known]
            found.append((epoch, fmean(values), *_interval(known, metric)))
    return Curve(*zip(*found, strict=True)) if found else Curve((), (), (), ())


def _interval(results: Sequence[Result], metric: Metric) -> tuple[float, float]:
    found = estimate(results) if metric == "auroc" else None
    if found is None or found.low is None or found.high is None:
        return math.nan, math.nan
    return found.low, found.high


def curves_figure(seeds: Sequence[TrainingResults], drawing: Drawing, metric: Metric) -> Figure:
    """Draw a metric by epoch, a mean over the seeds, and with the AUROC bits per dimension."""
    first = seeds[0]
    outs = dict.fromkeys(out for training in seeds for out in training.outs)
    sizes = sorted({size for training in seeds for size in training.group_sizes})
    scorers = dict.fromkeys(scorer for training in seeds for scorer in training.scorers)
    panels = [
        CurvePanel(
            pair_title(out, size),
            {
                scorer: found
                for scorer in scorers
                if (found := curve(along(seeds, out, scorer, size), metric)).epochs
            },
            _own_bits(seeds, out) if metric == "auroc" else {},
        )
        for out in outs
        for size in sizes
    ]
    return draw_curves(
        panels,
        drawing.looks,
        title=_title(seeds, metric, any(panel.bits for panel in panels)),
        width=drawing.width,
        sizes=len(sizes),
        metric=metric,
        unit=first.unit,
        bits_unit=first.bits_unit,
    )


def _title(seeds: Sequence[TrainingResults], metric: Metric, has_bits: bool) -> str:
    first = seeds[0]
    shown = NAMES[metric] + (f" and {first.bits_name}" if has_bits else "")
    spread = " with the spread between trainings" if len(seeds) > 1 else ""
    bands = f", bands are 95 % intervals{spread}" if metric == "auroc" else ""
    return f"{trained(seeds)}: {shown} along the {first.unit}s{bands}"


def _own_bits(seeds: Sequence[TrainingResults], out: str) -> dict[int, float]:
    """Return bits per dimension for the scored ID examples by epoch, a mean over the seeds."""
    found: dict[int, list[float]] = {}
    for training in seeds:
        for epoch, planned in training.with_bits(out).items():
            if (bits := training.metrics(planned.cell).bits_per_dim_in) is not None:
                found.setdefault(epoch, []).append(bits)
    return {epoch: fmean(values) for epoch, values in sorted(found.items())}


def draw_curves(
    panels: Sequence[CurvePanel],
    looks: Looks,
    *,
    title: str,
    width: Width = "two",
    sizes: int = 1,
    metric: Metric = "auroc",
    unit: str = "epoch",
    bits_unit: str = BITS_UNIT,
) -> Figure:
    """Draw a figure with panels that share both axes, from left to right and down.

    Arguments:
        panels: The panels.
        looks: Looks of the scorers; bands are drawn for scorers in focus.
        title: Figure title.
        width: Width of the figure.
        sizes: Number of group sizes: so many panels belong together.
        metric: What the curves show.
        unit: What the epochs axis counts.
        bits_unit: Unit of bits per dimension.
    """
    columns = across(len(panels), sizes, width)
    inches = INCHES[width] / columns
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(rows, columns, width=inches, height=HEIGHT, title=title)
    epochs = sorted(
        {e for panel in panels for found in panel.curves.values() for e in found.epochs}
    )
    limits = _bits_limits(panels)
    for place, ax in enumerate(ax for row in axes for ax in row):
        if place >= len(panels):
            ax.set_axis_off()
            continue
        is_last = place % columns == columns - 1 or place == len(panels) - 1
        _draw_panel(ax, panels[place], looks, inches)
        if metric == "auroc":
            ax.axhline(0.5, **CHANCE, zorder=0)
        _draw_bits(ax, panels[place].bits, limits, bits_unit if is_last else "")
        epoch_axis(ax, epochs, inches - 0.3)
        ax.tick_params(labelleft=place % columns == 0)
        if place % columns == 0:
            ax.set_ylabel(LABELS[metric])
        if place + columns >= len(panels):
            ax.set_xlabel(epoch_label(unit))
        else:
            ax.tick_params(labelbottom=False)
    keys = scorer_keys(looks, [scorer for panel in panels for scorer in panel.curves])
    if metric == "auroc":
        keys.append(key("chance", **CHANCE))
    if limits:
        keys.append(key(f"{bits_unit}, ID (right axis)", **BITS))
    add_legend(figure, keys)
    return figure


def across(panels: int, sizes: int, width: Width) -> int:
    """Return the number of panels side by side: those that belong together stay in a row."""
    most = ACROSS[width]
    columns = most // sizes * sizes if sizes <= most else most
    return max(1, min(columns, panels))


def _draw_panel(ax: Axes, panel: CurvePanel, looks: Looks, inches: float) -> None:
    points = {scorer: (found.epochs, found.values) for scorer, found in panel.curves.items()}
    plot_scorers(ax, looks, points, inches - 0.3)
    for scorer, found in panel.curves.items():
        if scorer in looks.focus:
            band = {"color": scorer_look(looks, scorer)["color"], "alpha": 0.15, "linewidth": 0}
            ax.fill_between(found.epochs, found.low, found.high, **band)
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
    ax.set_title(fold_lines(panel.title, inches - 0.2))


def plot_scorers(
    ax: Axes,
    looks: Looks,
    curves: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    inches: float,
) -> None:
    """Draw the curve of each scorer, with the number of a grey one where there is room.

    Arguments:
        ax: Axes whose y is from 0 to 1.
        looks: Looks of the scorers.
        curves: Epochs and values by scorer.
        inches: Width of the axes.
    """
    shown = {scorer: places(*found) for scorer, found in curves.items()}
    reach = max((x for points in shown.values() for x, _ in points), default=0) or 1
    size = TAG_WIDTH / inches * reach, TAG_HEIGHT / INNER
    taken = [
        point for scorer, points in shown.items() if scorer in looks.focus for point in points
    ]
    for scorer, (epochs, values) in curves.items():
        look = scorer_look(looks, scorer)
        if scorer in looks.others and epochs:
            turn = looks.others[scorer] % len(shown[scorer])  # neighbours differ
            free = free_place(shown[scorer][turn:] + shown[scorer][:turn], taken, size)
            if free is not None:
                taken.append(free)
                at = 2.0 ** free[0] - 1
                ax.plot([at], [free[1]], **{**look, "linestyle": "", "zorder": 3}, clip_on=False)
            look["marker"] = ""
        ax.plot(epochs, values, **look, clip_on=False)


def places(epochs: Sequence[int], values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the points of a curve and those halfway between them, as the axis of epochs has them.

    Example:
        >>> places([0, 3], [0.5, 1.0])
        [(0.0, 0.5), (1.0, 0.75), (2.0, 1.0)]
    """
    points = [(math.log2(1 + x), y) for x, y in zip(epochs, values, strict=True)]
    halves = [((a + c) / 2, (b + d) / 2) for (a, b), (c, d) in itertools.pairwise(points)]
    return sorted([*points, *halves])


def free_place(
    wanted: Sequence[tuple[float, float]],
    taken: Sequence[tuple[float, float]],
    size: tuple[float, float],
) -> tuple[float, float] | None:
    """Return the first place with room for a box of this size beside those that are taken."""
    for x, y in wanted:
        if all(abs(x - a) >= size[0] or abs(y - b) >= size[1] for a, b in taken):
            return x, y
    return None


def _bits_limits(panels: Sequence[CurvePanel]) -> tuple[float, float] | None:
    """Return the smallest and the largest bits per dimension in all panels."""
    values = [value for panel in panels for value in panel.bits.values()]
    return (min(values), max(values)) if values else None


def _draw_bits(
    ax: Axes, bits: Mapping[int, float], limits: tuple[float, float] | None, name: str
) -> None:
    """Draw bits per dimension, with the same axis in every panel; an empty name has no labels."""
    if limits is None:
        return
    least, most = limits
    right = ax.twinx()
    right.plot(list(bits), list(bits.values()), **BITS)
    if least > 0 and most > WIDE_RANGE * least:
        right.set_yscale("log")
        right.yaxis.set_major_formatter("{x:,g}")
        right.set_ylim(least / 1.1, most * 1.1)
    else:
        air = 0.05 * (most - least) or 0.5
        right.set_ylim(least - air, most + air)
    right.minorticks_off()
    right.spines["right"].set(visible=bool(name), color="0.35")
    right.tick_params(axis="y", colors="0.35", right=bool(name), labelright=bool(name))
    right.set_ylabel(name, color="0.35")
