"""Model samples at several epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from harness.compute.samples import stored_samples
from harness.domain import Examples
from harness.plan.jobs import ChainId
from harness.plan.plan import Plan
from harness.report.figures.style import new_figure
from harness.store.records import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Images: TypeAlias = Examples


def try_to_sample(
    plan: Plan, store: Store, chain: ChainId, epoch: int, temperature: float
) -> tuple[Images | None, str]:
    """Draw samples from a stored checkpoint, (n, *shape), or return None and a reason."""
    try:
        images = stored_samples(plan, store, chain, epoch, temperature)
    except Exception as error:  # an error in a plugin must not lose the rest of the report
        return None, f"no samples of {chain} at {plan.unit(chain)} {epoch}: {error}"
    return images, f"no samples of {chain}: the model cannot sample" if images is None else ""


def stretched(images: Images, levels: int) -> Images:
    """Stretch images to values from 0 to 255, with three channels for colour or one for grey."""
    shown = images if images.shape[1] == 3 else images[:, :1]
    return np.round(shown * (255.0 / (levels - 1))).astype(np.uint8)


def tiled(images: Images, levels: int) -> Images:
    """Arrange images in a square, from left to right and down, separated by white lines.

    Arguments:
        images: uint8, (n, channels, height, width), with values below `levels`; n is a square.
        levels: Number of values per channel, stretched to 0 to 255.

    Returns:
        uint8, (total height, total width, 3). A single channel is grey; if the channel count is
        neither one nor three, only the first channel is shown.
    """
    count, _, height, width = images.shape
    side = int(count**0.5)
    shown = stretched(images, levels)
    framed = np.full((count, height + 1, width + 1, 3), 255, np.uint8)
    framed[:, :-1, :-1] = shown.transpose(0, 2, 3, 1)
    rows = framed.reshape(side, side, height + 1, width + 1, 3).transpose(0, 2, 1, 3, 4)
    square: Images = rows.reshape(side * (height + 1), side * (width + 1), 3)[:-1, :-1]
    return square


def draw_samples(grids: Mapping[int, Images], *, title: str, unit: str = "epoch") -> Figure:
    """Draw a figure with a square of samples for each epoch; `grids` come from `tiled`."""
    figure, (row,) = new_figure(1, len(grids), width=2.3, height=2.05, title=title)
    for (epoch, grid), ax in zip(grids.items(), row, strict=True):
        ax.imshow(grid, interpolation="nearest")
        ax.set_xlim(-2.5, grid.shape[1] + 1.5)  # a gap wider than the lines between tiles
        ax.set_title(f"{unit} {epoch}")
        ax.set_axis_off()
    return figure
