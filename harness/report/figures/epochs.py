"""Figure of the loss of AUROC along the epochs against the last epoch, with the margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.enough import Loss, losses
from harness.report.figures.curves import HEIGHT, across
from harness.report.figures.series import TrainingResults, along, trained
from harness.report.figures.style import (
    INCHES,
    Drawing,
    Look,
    Width,
    add_legend,
    epoch_axis,
    epoch_label,
    fold_lines,
    key,
    label,
    new_figure,
    pair_title,
    scorer_look,
)
from harness.report.looks import Looks
from harness.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform


LEAST_LINEAR = 0.01
"""Smallest reach of the linear part of the axis, for a margin of 0."""

MARKER = 4.0
"""Size of a marker, in points."""

WIDER = {"P": 1.25}
"""How much larger markers are that would have no area left where hollow."""

WITHIN: dict[str, Any] = {"color": "0.94", "linewidth": 0}
MARGIN_LINE: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1)), "linewidth": 0.9}
SHOWN: dict[str, Any] = {"color": "black", "linestyle": "", "marker": "o"}
NOT_SHOWN: dict[str, Any] = {**SHOWN, "markerfacecolor": "white"}
LIMIT: dict[str, Any] = {"color": "black", "linestyle": "", "marker": "|", "markersize": 8}
APART = 2.0
"""Distance of neighbouring scorers at the same epoch, in points."""


@dataclass(frozen=True)
class LossPanel:
    """Losses by scorer, for an OOD data set at a group size."""

    title: str
    losses: Mapping[str, Sequence[Loss]]


def losses_figure(seeds: Sequence[TrainingResults], drawing: Drawing) -> Figure | None:
    """Draw the losses of a model on an ID set, over all seeds, for the scorers in focus.

    Returns:
        None if no row has two comparable epochs.
    """
    outs = dict.fromkeys(out for training in seeds for out in training.outs)
    sizes = sorted({size for training in seeds for size in training.group_sizes})
    scorers = dict.fromkeys(scorer for training in seeds for scorer in training.scorers)
    panels = [
        LossPanel(
            pair_title(out, size),
            {
                scorer: found
                for scorer in scorers
                if scorer in drawing.looks.focus
                if (found := losses(_by_seed(seeds, out, scorer, size), drawing.margin))
            },
        )
        for out in outs
        for size in sizes
    ]
    if not any(panel.losses for panel in panels):
        return None
    unit = seeds[0].unit
    title = (
        f"{trained(seeds)}: loss of AUROC (AUROC of the last {unit} minus that of this {unit}; "
        f"above 0: the last {unit} is better)"
    )
    return draw_losses(
        panels,
        drawing.looks,
        margin=drawing.margin,
        title=title,
        width=drawing.width,
        sizes=len(sizes),
        unit=unit,
    )


def _by_seed(
    seeds: Sequence[TrainingResults], out: str, scorer: str, size: int
) -> dict[int, dict[int, Result]]:
    """Return the results in a row of a table by epoch, then seed."""
    return {
        epoch: {result.cell.seed: result for result in found}
        for epoch, found in along(seeds, out, scorer, size).items()
    }


def draw_losses(
    panels: Sequence[LossPanel],
    looks: Looks,
    *,
    margin: float,
    title: str,
    width: Width = "two",
    sizes: int = 1,
    unit: str = "epoch",
) -> Figure:
    """Draw a figure with panels that share both axes, from left to right and down.

    A marker is filled if the epoch is shown to be enough, a whisker ends at the upper limit. The
    axis is linear up to twice the margin, then logarithmic. Scorers stand side by side, since
    whiskers at the same epoch would hide one another.

    Arguments:
        panels: The panels.
        looks: Looks of the scorers.
        margin: The largest loss that counts as no loss.
        title: Figure title.
        width: Width of the figure.
        sizes: Number of group sizes: so many panels belong together.
        unit: What the epochs axis counts.
    """
    from matplotlib.patches import Patch

    columns = across(len(panels), sizes, width)
    inches = INCHES[width] / columns
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(rows, columns, width=inches, height=HEIGHT, title=title)
    every = [loss for panel in panels for found in panel.losses.values() for loss in found]
    epochs = sorted({loss.epoch for loss in every})
    low, high = min(x.loss for x in every), max(max(x.loss, x.high) for x in every)
    for place, ax in enumerate(ax for row in axes for ax in row):
        if place >= len(panels):
            ax.set_axis_off()
            continue
        _draw_panel(ax, panels[place], looks, margin)
        ax.set_title(fold_lines(panels[place].title, inches - 0.2))
        _loss_axis(ax, margin, low, high)
        epoch_axis(ax, epochs, inches - 0.4)
        is_first, is_lowest = place % columns == 0, place + columns >= len(panels)
        ax.tick_params(labelleft=is_first, labelbottom=is_lowest)
        ax.set_ylabel("loss of AUROC\n(symlog scale)" if is_first else "")
        ax.set_xlabel(epoch_label(unit) if is_lowest else "")
    found = {scorer for panel in panels for scorer in panel.losses}
    scorers = [key(label(x), **_look(looks, x)) for x in looks.focus if x in found]
    others = [
        key(f"margin {margin:g}", **MARGIN_LINE),
        Patch(label="loss within the margin", **WITHIN),
        key("upper 95 % limit", **LIMIT),
        key("shown to be within the margin", **SHOWN),
        key("not shown to be", **NOT_SHOWN),
    ]
    add_legend(figure, [*scorers, *others])
    return figure


def _draw_panel(ax: Axes, panel: LossPanel, looks: Looks, margin: float) -> None:
    ax.axhspan(-1, margin, **WITHIN, zorder=0)
    ax.axhline(margin, **MARGIN_LINE, zorder=1)
    for scorer, found in panel.losses.items():
        epochs, values = [x.epoch for x in found], [x.loss for x in found]
        look = _look(looks, scorer)
        own = {"color": look["color"], "transform": _beside(ax, looks, scorer)}
        ax.vlines(epochs, values, [x.high for x in found], linewidth=0.6, **own)
        ax.plot(epochs, values, linestyle=look["linestyle"], linewidth=look["linewidth"], **own)
        for is_shown, face in ((True, look["color"]), (False, "white")):
            points = [(x.epoch, x.loss) for x in found if x.is_shown == is_shown]
            if points:  # the layout would make room for an empty line without end
                marks = {**look, "linestyle": "", "markerfacecolor": face, **own}
                ax.plot(*zip(*points, strict=True), **marks, clip_on=False)


def _look(looks: Looks, scorer: str) -> Look:
    """Return the look of a scorer, as thin as any: scorers stand side by side."""
    look = scorer_look(looks, scorer)
    size = MARKER * WIDER.get(look["marker"], 1.0)
    return {**look, "linewidth": 1, "markersize": size, "markeredgewidth": 0.7}


def _beside(ax: Axes, looks: Looks, scorer: str) -> Transform:
    """Return a transform that shifts a scorer sideways, so that scorers stand side by side."""
    from matplotlib.transforms import ScaledTranslation

    place = list(looks.focus).index(scorer) - (len(looks.focus) - 1) / 2
    return ax.transData + ScaledTranslation(place * APART / 72, 0, ax.figure.dpi_scale_trans)


def _loss_axis(ax: Axes, margin: float, low: float, high: float) -> None:
    """Set the scale of an axis of losses; ticks are multiples of the margin."""
    step = max(margin, LEAST_LINEAR)
    ax.set_yscale("symlog", linthresh=2 * step)
    low, high = min(low, -step), max(high, 2 * step)
    sizes = [size for size in (2 * step, 10 * step, 50 * step) if size <= 1]
    ticks = [-size for size in sizes if -size >= low] + [0.0] + [x for x in sizes if x <= high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_ylim(1.2 * low, 1.2 * high)
