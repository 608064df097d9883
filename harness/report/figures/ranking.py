"""Critical-difference diagram: mean ranks, and bars that join what is not shown to differ.

References:
    | Statistical comparisons of classifiers over multiple data sets (Demšar, 2006), Fig. 1
    | https://www.jmlr.org/papers/v7/demsar06a.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.metrics.ranks import Ranked
from harness.report.figures.style import INCHES, LEGEND_LETTER, LETTER, Look, Width, fold
from harness.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LINE = 0.16
"""Distance between two names, in inches."""

BAR = 0.075
"""Distance between two bars, in inches."""

SIDES: dict[Width, int] = {"one": 1, "two": 2}
"""Sides of the axis with names: a single column has no room on the right."""

AXIS: dict[Width, float] = {"one": 1.0, "two": 2.6}
"""Least length of the axis, in inches; longer names are shortened."""

MARGIN = 3
"""Room beside the longest name, in letters; the widths of letters differ by versions of fonts."""

EDGE = 0.2
"""Room beside the axis where there are no names, in inches."""

TAIL = 8
"""Letters at the end of a shortened name."""


def cliques(ranks: Sequence[float], apart: float) -> list[tuple[int, int]]:
    """Find the largest runs of ranks not shown to differ: first and last place of each.

    Arguments:
        ranks: Mean ranks, ascending.
        apart: Smallest significant difference.

    Example:
        >>> cliques([1.0, 1.5, 2.2, 4.0], 1.0)
        [(0, 1), (1, 2)]
    """
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(k for k, other in enumerate(ranks) if other - rank < apart)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def draw_ranking(
    ranked: Ranked[str],
    looks: Mapping[str, Look],
    *,
    title: str,
    width: Width = "two",
) -> Figure:
    """Draw the diagram, the best on the left.

    Arguments:
        ranked: Mean ranks with a critical difference.
        looks: Look by name.
        title: Figure title.
        width: Width of the figure.
    """
    from matplotlib.figure import Figure

    apart = ranked.critical_difference
    assert apart is not None, "only tested rankings are drawn"
    bars = cliques(list(ranked.mean_ranks.values()), apart)
    heading = fold(title, 0.95 * INCHES[width])
    top = 0.15 * (heading.count("\n") + 1) + 0.45
    sides = SIDES[width]
    lines = -(-len(ranked.mean_ranks) // sides)
    height = top + BAR * (len(bars) + 1) + LINE * (lines + 1)
    figure = Figure(figsize=(INCHES[width], height))
    figure.suptitle(heading, y=1 - 0.05 / height, va="top")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, INCHES[width]), ylim=(height, 0))  # the unit is an inch
    ax.set_axis_off()
    room = int((INCHES[width] - AXIS[width]) / sides / LEGEND_LETTER) - MARGIN
    names = {name: _short(name, room) for name in ranked.mean_ranks}
    critical = f"critical difference {apart:.2f}"
    side = LEGEND_LETTER * (max(map(len, [critical, *names.values()])) + MARGIN)
    ends = side, INCHES[width] - (side if sides == 2 else EDGE)
    at = _axis(ax, len(names), ends, top, apart)
    for y, text in ((0.25, critical), (0.12, "mean rank (1 is best)")):
        ax.text(ends[0] - 0.12, top - y, text, ha="right", va="center", fontsize=7)
    _write_names(ax, ranked, names, looks, at, (top, top + BAR * (len(bars) + 1)), lines)
    for level, (first, last) in enumerate(bars, 1):
        ranks = list(ranked.mean_ranks.values())
        ends = at(ranks[first]), at(ranks[last])  # no further: neighbours are not members
        ax.plot(ends, [top + BAR * level] * 2, color="black", linewidth=2.5, solid_capstyle="butt")
    return figure


def _axis(
    ax: Axes, count: int, ends: tuple[float, float], top: float, apart: float
) -> Callable[[float], float]:
    """Draw the axis of ranks with the critical difference; return the place of a rank."""
    width = ends[1] - ends[0]

    def at(rank: float) -> float:
        return ends[0] + width * (rank - 1) / (count - 1)

    ax.plot([at(1), at(count)], [top, top], color="black", linewidth=0.8)
    step = math.ceil(LETTER * (len(str(count)) + 1) * (count - 1) / width)
    for rank in range(1, count + 1, step):
        ax.plot([at(rank)] * 2, [top - 0.05, top], color="black", linewidth=0.8)
        ax.text(at(rank), top - 0.07, str(rank), ha="center", va="bottom", fontsize=7)
    reach = min(at(1 + apart), at(count))
    ax.plot([at(1), reach], [top - 0.25] * 2, color="black", linewidth=1.2, marker="|")
    return at


def _write_names(
    ax: Axes,
    ranked: Ranked[str],
    names: Mapping[str, str],
    looks: Mapping[str, Look],
    at: Callable[[float], float],
    tops: tuple[float, float],
    lines: int,
) -> None:
    """Write the best names on the left, as many as there are lines, and others on the right.

    `tops` are the heights of the axis and of the first line.
    """
    count = len(ranked.mean_ranks)
    ends = at(1) - 0.08, at(count) + 0.08
    for place, (name, rank) in enumerate(ranked.mean_ranks.items()):
        is_left = place < lines
        line = place if is_left else count - 1 - place
        y = tops[1] + LINE * (line + 0.5)
        end = ends[0] if is_left else ends[1]
        shown = {key: value for key, value in looks[name].items() if key == "color"}
        ax.plot([at(rank), at(rank), end], [tops[0], y, y], linewidth=0.8, **shown)
        if isinstance(looks[name]["marker"], str):  # numbers would hide one another
            ax.plot([at(rank)], [tops[0]], **{**looks[name], "linestyle": "", "zorder": 4})
        ha = "right" if is_left else "left"
        ax.text(
            end + (-0.04 if is_left else 0.04), y, names[name], ha=ha, va="center", fontsize=7.5
        )


def _short(name: str, room: int) -> str:
    """Shorten a name in the middle to at most so many letters."""
    text = one_line(name)
    return text if len(text) <= room else f"{text[: room - TAIL - 1]}…{text[-TAIL:]}"
