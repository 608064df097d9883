"""Gradient norms by layer, in-distribution against OOD."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.metrics.placements import Floats
from harness.report.figures.style import (
    LETTER,
    Look,
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


QUANTILES = (0.05, 0.5, 0.95)
MOST_BLOCKS = 12
HEIGHT = 1.7
"""Panel height in inches."""

NARROWEST = 0.03
"""Minimum share of all layers for a block to be wide enough for a name."""


@dataclass(frozen=True)
class LayerBand:
    """Quantiles (5 %, 50 %, 95 %) over the groups of phi_l = log f_l, float64 (L,).

    A layer without gradient for any group is NaN; single zeros are left out.
    """

    low: Floats
    middle: Floats
    high: Floats


@dataclass(frozen=True)
class LayerPanel:
    """Layer bands at an epoch, in-distribution and for an OOD data set."""

    epoch: int
    in_band: LayerBand
    out_band: LayerBand


def layer_band(sq_norms: Floats) -> LayerBand:
    """Compute the band from squared gradient norms.

    Arguments:
        sq_norms: float64, (M, L), groups by layers, in `named_parameters` order.
    """
    logs = np.log(np.where(sq_norms > 0, sq_norms, np.nan))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an all-NaN layer has NaN quantiles
        return LayerBand(*np.nanquantile(logs, QUANTILES, axis=0))


def blocks(names: Sequence[str]) -> list[tuple[int, str]]:
    """Divide the model into parts: (first layer, name), with room for every name.

    A part is a run of layers with a common prefix. If several prefixes give the same division, the
    shortest is used.
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
    looks: Looks,
    *,
    in_dataset: str,
    title: str,
    unit: str = "epoch",
) -> Figure:
    """Draw a figure with a row of panels for each OOD data set, and a column for each epoch.

    Arguments:
        rows: Panels by OOD data set, all with the same epochs.
        names: Layer names, in `named_parameters` order.
        looks: Looks of the data sets.
        in_dataset: Name of the in-distribution data set.
        title: Figure title.
        unit: What the epochs axis counts.
    """
    columns = max(len(panels) for panels in rows.values())
    longest = max(len(name) for _, name in blocks(names))
    figure, axes = new_figure(
        len(rows), columns, width=3.3, height=HEIGHT, title=title, below=longest * LETTER
    )
    for place, ((out, panels), row_axes) in enumerate(zip(rows.items(), axes, strict=True), 1):
        for panel, ax in zip(panels, row_axes, strict=True):
            _draw_band(ax, panel.in_band, own_look(looks, in_dataset))
            _draw_band(ax, panel.out_band, out_look(looks, out))
            ax.set_xlim(-0.5, len(names) - 0.5)
            _mark_blocks(ax, names, named=place == len(rows))
            if place == 1:
                ax.set_title(f"{unit} {panel.epoch}")
        row_axes[0].set_ylabel(f"{fold(f'OOD {out}', HEIGHT)}\nlog sq. gradient norm")
    add_legend(figure, dataset_keys(looks, [in_dataset], rows))
    return figure


def _draw_band(ax: Axes, band: LayerBand, look: Look) -> None:
    layers = np.arange(len(band.middle))
    area = {"color": look["color"], "alpha": 0.25, "linewidth": 0}
    ax.fill_between(layers, band.low, band.high, **area)
    # markers: an isolated layer between layers without gradient would have no line
    ax.plot(layers, band.middle, **look, marker=".", markersize=1.5)


def _mark_blocks(ax: Axes, names: Sequence[str], *, named: bool) -> None:
    """Draw lines between model parts, with names below the last row."""
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
