"""Densities of bits per dimension, with overlap and AUROC by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.metrics.overlap import bandwidth, kernel_density
from harness.metrics.placements import Floats
from harness.report.figures.curves import plot_scorers
from harness.report.figures.histograms import show_ticks
from harness.report.figures.scale import Scale, choose_scale
from harness.report.figures.style import (
    CHANCE,
    INCHES,
    Look,
    Width,
    add_legend,
    dataset_keys,
    epoch_axis,
    epoch_label,
    fold,
    key,
    new_figure,
    out_look,
    own_look,
    scorer_keys,
)
from harness.report.looks import Looks
from harness.results import BITS_UNIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


POINTS = 400
HEIGHT = 1.45
"""Panel height in inches."""

PANELS: dict[Width, int] = {"one": 1, "two": 3}
"""Most densities in a row, beside the curves."""

MARGIN = 3.0
"""Margin drawn beyond the range of the values, in bandwidths."""


OVL: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1)), "marker": "x"}
"""Line style for OVL."""


@dataclass(frozen=True)
class DensityPanel:
    """Bits per dimension at an epoch, float64 (n,) and (m,), and the OVL of both densities."""

    epoch: int
    bits_in: Floats
    bits_out: Floats
    ovl: float


@dataclass(frozen=True)
class OverlapCurves:
    """OVL and AUROC for all epochs.

    Attributes:
        ovl: OVL by epoch.
        auroc: AUROC by scorer, then epoch.
    """

    ovl: Mapping[int, float]
    auroc: Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Density:
    """Density values, float64 (k,), per unit on the scale.

    A sample without spread is a point mass: all values are zero, and `mass` is the position.
    """

    values: Floats
    mass: float | None


@dataclass(frozen=True)
class Densities:
    """ID and OOD densities at ascending positions, float64 (k,)."""

    scale: Scale
    points: Floats
    own: Density
    other: Density


def densities(bits_in: Floats, bits_out: Floats, scale: Scale) -> Densities:
    """Estimate the kernel densities that define OVL, on an axis covering both."""
    margin_in, margin_out = (MARGIN * bandwidth(bits) for bits in (bits_in, bits_out))
    low = min(bits_in.min() - margin_in, bits_out.min() - margin_out)
    high = max(bits_in.max() + margin_in, bits_out.max() + margin_out)
    if low == high:
        low, high = low - 0.5, high + 0.5
    first, last = scale.forward(np.array([low, high]))
    even = np.linspace(float(first), float(last), POINTS)
    # include the values: the even points alone could miss a very narrow density
    points = np.unique(np.concatenate([even, scale.forward(bits_in), scale.forward(bits_out)]))
    return Densities(
        scale, points, _density(bits_in, scale, points), _density(bits_out, scale, points)
    )


def _density(bits: Floats, scale: Scale, points: Floats) -> Density:
    if bandwidth(bits) == 0.0:
        return Density(np.zeros_like(points), float(scale.forward(bits[:1])[0]))
    values = scale.inverse(points)
    return Density(kernel_density(bits, values) * scale.slope(values), None)


def draw_densities(
    rows: Mapping[str, tuple[Sequence[DensityPanel], OverlapCurves]],
    looks: Looks,
    *,
    in_dataset: str,
    title: str,
    width: Width = "two",
    unit: str = "epoch",
    bits_unit: str = BITS_UNIT,
) -> Figure:
    """Draw a figure with a row for each OOD data set: densities at some epochs, then curves."""
    columns = max(len(panels) for panels, _ in rows.values()) + 1
    inches = INCHES[width] / columns
    figure, axes = new_figure(len(rows), columns, width=inches, height=HEIGHT, title=title)
    scales = _scales([panels for panels, _ in rows.values()])
    for (out, (panels, curves)), row_axes in zip(rows.items(), axes, strict=True):
        for panel, ax in zip(panels, row_axes, strict=False):
            found = densities(panel.bits_in, panel.bits_out, scales[panel.epoch])
            _draw_panel(ax, found, (own_look(looks, in_dataset), out_look(looks, out)), inches)
            ax.set_title(fold(f"{unit} {panel.epoch}: OVL {panel.ovl:.3f}", inches - 0.1))
        for ax in row_axes[len(panels) : -1]:
            ax.set_axis_off()
        _draw_curves(row_axes[-1], curves, looks, inches - 0.35)
        row_axes[0].set_ylabel(f"{fold(f'OOD {out}', HEIGHT)}\ndensity")
        row_axes[-1].set_ylabel("OVL and AUROC")
    axes[-1][-1].set_xlabel(epoch_label(unit))
    for scale, ax in zip(scales.values(), axes[-1], strict=False):
        ax.set_xlabel(bits_unit + scale.remark)
    keys = [
        *dataset_keys(looks, [in_dataset], rows),
        key("OVL (shaded overlap)", **OVL),
        key("chance (AUROC)", **CHANCE),
        *scorer_keys(looks, [scorer for _, curves in rows.values() for scorer in curves.auroc]),
    ]
    add_legend(figure, keys)
    return figure


def _scales(rows: Sequence[Sequence[DensityPanel]]) -> dict[int, Scale]:
    """Choose a scale for each epoch that suits every OOD data set."""
    panels: dict[int, list[DensityPanel]] = {}
    for panel in (panel for row in rows for panel in row):
        panels.setdefault(panel.epoch, []).append(panel)
    return {
        epoch: choose_scale(found[0].bits_in, [panel.bits_out for panel in found])
        for epoch, found in sorted(panels.items())
    }


def _draw_panel(ax: Axes, found: Densities, both: tuple[Look, Look], inches: float) -> None:
    lower = np.minimum(found.own.values, found.other.values)
    own = {"color": both[0]["color"], "alpha": 0.15, "linewidth": 0}
    ax.fill_between(found.points, found.own.values, **own)
    ax.fill_between(found.points, lower, color="0.8", linewidth=0)
    for look, density in zip(both, (found.own, found.other), strict=True):
        if density.mass is None:
            ax.plot(found.points, density.values, **look)
        else:
            ax.axvline(density.mass, **look)
    ax.set_ylim(bottom=0)
    ax.set_yticks([])
    show_ticks(ax, found.scale, float(found.points[0]), float(found.points[-1]), inches - 0.25)


def _draw_curves(ax: Axes, curves: OverlapCurves, looks: Looks, inches: float) -> None:
    ax.axhline(0.5, **CHANCE, zorder=0)
    points = {scorer: (list(x), list(x.values())) for scorer, x in curves.auroc.items()}
    plot_scorers(ax, looks, points, inches)
    ax.plot(list(curves.ovl), list(curves.ovl.values()), **OVL, clip_on=False)
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
    epoch_axis(ax, sorted({*curves.ovl, *(e for x in curves.auroc.values() for e in x)}), inches)
