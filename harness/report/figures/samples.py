"""Samples of a model at several epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.compute.samples import stored_samples
from harness.plan.jobs import ChainId
from harness.plan.plan import Plan
from harness.report.figures.style import new_figure
from harness.store.records import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Images: TypeAlias = NDArray[np.uint8]


def try_to_sample(
    plan: Plan, store: Store, chain: ChainId, epoch: int, temperature: float
) -> tuple[Images | None, str]:
    """Samples of a stored checkpoint, uint8 (n, *shape), or None and why there are none."""
    try:
        images = stored_samples(plan, store, chain, epoch, temperature)
    except Exception as error:  # of a plugin, and no reason to lose the rest of a report
        return None, f"no samples of {chain} at epoch {epoch}: {error}"
    return images, f"no samples of {chain}: the model cannot sample" if images is None else ""


def stretched(images: Images, levels: int) -> Images:
    """Images with values of 0 to 255, the three channels of colours or a single one of grey."""
    shown = images if images.shape[1] == 3 else images[:, :1]
    return np.round(shown * (255.0 / (levels - 1))).astype(np.uint8)


def tiled(images: Images, levels: int) -> Images:
    """Images in a square, from left to right and down, with a white line between them.

    Arguments:
        images: uint8, (n, channels, height, width), with values below `levels`; n is a square.
        levels: Values that a channel can take; they are stretched to 0 to 255.

    Returns:
        uint8, (height of all, width of all, 3); one channel is shown as grey, of other numbers
        than three the first.
    """
    count, _, height, width = images.shape
    side = int(count**0.5)
    shown = stretched(images, levels)
    framed = np.full((count, height + 1, width + 1, 3), 255, np.uint8)
    framed[:, :-1, :-1] = shown.transpose(0, 2, 3, 1)
    rows = framed.reshape(side, side, height + 1, width + 1, 3).transpose(0, 2, 1, 3, 4)
    square: Images = rows.reshape(side * (height + 1), side * (width + 1), 3)[:-1, :-1]
    return square


def draw_samples(grids: Mapping[int, Images], *, title: str) -> Figure:
    """A figure with a square of samples for each epoch; `grids` are as `tiled` returns them."""
    figure, (row,) = new_figure(1, len(grids), width=2.3, height=2.05, title=title)
    for (epoch, grid), ax in zip(grids.items(), row, strict=True):
        ax.imshow(grid, interpolation="nearest")
        ax.set_xlim(-2.5, grid.shape[1] + 1.5)  # apart from its neighbours by more than a line
        ax.set_title(f"epoch {epoch}")
        ax.set_axis_off()
    return figure
