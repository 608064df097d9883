"""The gradient of each layer, in-distribution against OOD."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.metrics.placements import Floats
from harness.report.figures.style import LETTER, add_legend, colour, fold, label, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


QUANTILES = (0.05, 0.5, 0.95)
MOST_BLOCKS = 12
HEIGHT = 1.7
"""Of a panel, in inches."""

NARROWEST = 0.03
"""The least share of all layers that makes a block wide enough for its name."""


@dataclass(frozen=True)
class LayerBand:
    """Quantiles over the groups of phi_l = log f_l, float64 (L,): 5 %, 50 % and 95 %.

    NaN where a layer has no gradient for any group; single zeros are left out.
    """

    low: Floats
    middle: Floats
    high: Floats


@dataclass(frozen=True)
class LayerPanel:
    """One epoch of a model: its layers' bands in-distribution and for one OOD data set."""

    epoch: int
    in_band: LayerBand
    out_band: LayerBand


def layer_band(sq_norms: Floats) -> LayerBand:
    """The band of squared gradient norms, float64 (M, L), in `named_parameters` order."""
    logs = np.log(np.where(sq_norms > 0, sq_norms, np.nan))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a layer of NaN only has NaN quantiles
        return LayerBand(*np.nanquantile(logs, QUANTILES, axis=0))


def blocks(names: Sequence[str]) -> list[tuple[int, str]]:
    """Where parts of a model begin: (first layer, name), as many parts as have room for a name.

    A part is a run of layers with one prefix; of prefixes that part alike, the shortest names it.
    """
    found: list[tuple[int, str]] = []
    for depth in range(1, max(name.count(".") for name in names) + 1):
        prefixes = [".".join(name.split(".")[:depth]) for name in names]
        begins = [
            (place, prefix)
            for place, prefix in enumerate(prefixes)
            if place == 0 or prefix != prefixes[place - 1]
        ]
        if len(found) < len(begins) <= MOST_BLOCKS:
            found = begins
    return found or [(0, "")]


def draw_layers(
    rows: Mapping[str, Sequence[LayerPanel]],
    names: Sequence[str],
    *,
    in_dataset: str,
    title: str,
) -> Figure:
    """A figure with a row of panels for each OOD data set, an epoch in each column.

    Arguments:
        rows: By OOD data set, all with the same epochs.
        names: Of the layers, in `named_parameters` order.
        in_dataset: Name of the in-distribution data set.
        title: Of the figure.
    """
    from matplotlib.patches import Patch

    columns = max(len(panels) for panels in rows.values())
    longest = max(len(name) for _, name in blocks(names))
    figure, axes = new_figure(
        len(rows), columns, width=3.3, height=HEIGHT, title=title, below=longest * LETTER
    )
    for place, ((out, panels), row_axes) in enumerate(zip(rows.items(), axes, strict=True), 1):
        for panel, ax in zip(panels, row_axes, strict=True):
            _draw_band(ax, panel.in_band, colour(0), "-")
            _draw_band(ax, panel.out_band, colour(place), "--")
            ax.set_xlim(-0.5, len(names) - 0.5)
            _mark_blocks(ax, names, named=place == len(rows))
            if place == 1:
                ax.set_title(f"epoch {panel.epoch}")
        row_axes[0].set_ylabel(f"{fold(f'against {out}', HEIGHT)}\nlog sq. gradient norm")
    sets = [in_dataset, *rows]
    add_legend(
        figure,
        [Patch(color=colour(place), label=label(name)) for place, name in enumerate(sets)],
    )
    return figure


def _draw_band(ax: Axes, band: LayerBand, color: str, style: str) -> None:
    layers = np.arange(len(band.middle))
    ax.fill_between(layers, band.low, band.high, color=color, alpha=0.25, linewidth=0)
    # points, because a layer between two without gradient would have no line
    ax.plot(layers, band.middle, style, color=color, linewidth=0.9, marker=".", markersize=1.5)


def _mark_blocks(ax: Axes, names: Sequence[str], *, named: bool) -> None:
    """Lines between parts of the model, their names below the last row."""
    begins = blocks(names)
    ends = [place for place, _ in begins[1:]] + [len(names)]
    for place, _ in begins[1:]:
        ax.axvline(place - 0.5, color="0.75", linewidth=0.5, zorder=0)
    wide = [
        ((place + end - 1) / 2, name)
        for (place, name), end in zip(begins, ends, strict=True)
        if end - place >= NARROWEST * len(names)
    ]
    ax.set_xticks([middle for middle, _ in wide], [name for _, name in wide] if named else [])
    ax.tick_params(axis="x", length=0, rotation=90)
    if named:
        ax.set_xlabel("layers in their order (blank: no gradient)")
