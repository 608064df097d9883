"""Style for all figures: colours, lines and sizes, and output to disk.

Colours follow Okabe and Ito and are distinguishable for colour-blind readers; lines and markers
differ too, for prints in grey. The user's matplotlib configuration is neither used nor changed: no
backend, no pyplot, and settings only apply inside `style()`.
"""

from __future__ import annotations

import io
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.records import replace_file
from harness.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Color Universal Design (Okabe and Ito, 2008), without yellow, which is too faint on paper."""

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

LETTER = 0.075
"""Letter width in inches, deliberately overestimated."""

SETTINGS: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "figure.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # embedded TrueType, required by journals
    "text.parse_math": False,  # a dollar sign in a name stays a dollar sign
    "savefig.dpi": 160,
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the figure settings for drawing and saving; the previous settings are restored."""
    _import_matplotlib()
    import matplotlib.style

    with matplotlib.style.context(["default", SETTINGS]):
        yield


def _import_matplotlib() -> None:
    """Import matplotlib, even if $MPLBACKEND names no backend: figures here need none.

    For other code in this process, the backend is the same as after a plain import.
    """
    backend = os.environ.get("MPLBACKEND")
    if backend is None or "matplotlib" in sys.modules:
        return
    del os.environ["MPLBACKEND"]
    try:
        import matplotlib
    finally:
        os.environ["MPLBACKEND"] = backend
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = backend


def new_figure(
    rows: int, columns: int, *, width: float, height: float, title: str, below: float = 0.0
) -> tuple[Figure, list[list[Axes]]]:
    """Make a figure with a grid of panels, and return the axes row by row.

    Arguments:
        rows: Number of panel rows.
        columns: Number of panel columns.
        width: Approximate panel width in inches.
        height: Approximate panel height in inches.
        title: Figure title.
        below: Extra space for the labels below the last row, in inches.
    """
    from matplotlib.figure import Figure

    size = (max(columns * width, 3.6), rows * height + below + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(fold(title, 0.9 * size[0]))
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def colour(place: int) -> str:
    """Return the colour for the n-th item."""
    return COLOURS[place % len(COLOURS)]


def line(place: int) -> dict[str, Any]:
    """Return colour and line style for the n-th item, in matplotlib arguments."""
    return {"color": colour(place), "linestyle": LINES[place % len(LINES)]}


def marked_line(place: int) -> dict[str, Any]:
    """Return `line` with a marker for the n-th item."""
    return {**line(place), "marker": MARKERS[place % len(MARKERS)]}


def key(text: str, **look: Any) -> Line2D:
    """Make a legend entry that shows a line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=text, **look)


def fold(text: str, inches: float) -> str:
    """Wrap a text to a width in inches, to avoid cropped words."""
    return textwrap.fill(one_line(text), max(10, int(inches / LETTER)))


def label(name: str) -> str:
    """Prepare a name for a legend: matplotlib hides labels with a leading underscore."""
    text = fold(name, 2.6)
    return f" {text}" if text.startswith("_") else text


def add_legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Add a single legend below all panels, using the full figure width."""
    lines = [line for handle in handles for line in handle.get_label().splitlines()]
    widest = max(len(line) for line in lines)
    columns = int(figure.get_figwidth() / (LETTER * widest + 0.55))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=max(1, min(columns, len(handles)))
    )


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem.png` and `stem.pdf`; equal figures give equal bytes."""
    paths = []
    without = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}
    for kind, metadata in without.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        path = stem.with_name(f"{stem.name}.{kind}")
        replace_file(path, buffer.getvalue())
        paths.append(path)
    return paths
