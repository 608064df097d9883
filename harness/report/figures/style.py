"""How every figure looks: colours, lines and sizes, and how it is written to disk.

Colours are those of Okabe and Ito, which the colour-blind can tell apart; lines and markers differ
too, so that a grey print can be read. Nothing of the user's matplotlib is used or changed: no
backend, no pyplot, and settings hold inside `style()` only.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.records import replace_file
from harness.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""After Color Universal Design (Okabe and Ito, 2008); their yellow is too faint on paper."""

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

LETTER = 0.075
"""Width of a letter in inches, rather too much than too little."""

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
    "pdf.fonttype": 42,  # embedded TrueType, which journals ask for
    "text.parse_math": False,  # a dollar in a name is a dollar
    "savefig.dpi": 160,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save inside; the settings of the process are as before afterwards."""
    import matplotlib.style

    with matplotlib.style.context(["default", SETTINGS]):
        yield


def new_figure(
    rows: int, columns: int, *, width: float, height: float, title: str, below: float = 0.0
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of panels of about a size in inches, and its axes row by row.

    Arguments:
        rows: Of panels.
        columns: Of panels.
        width: Of a panel, in inches.
        height: Of a panel, in inches.
        title: Above all.
        below: What the labels of the last row take beyond a line, in inches.
    """
    from matplotlib.figure import Figure

    size = (max(columns * width, 3.6), rows * height + below + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(fold(title, 0.9 * size[0]))
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def colour(place: int) -> str:
    """The colour of the n-th thing drawn."""
    return COLOURS[place % len(COLOURS)]


def line(place: int) -> dict[str, Any]:
    """Colour and line style of the n-th thing drawn, as arguments of matplotlib."""
    return {"color": colour(place), "linestyle": LINES[place % len(LINES)]}


def marked_line(place: int) -> dict[str, Any]:
    """`line` with the marker of the n-th thing drawn."""
    return {**line(place), "marker": MARKERS[place % len(MARKERS)]}


def key(text: str, **look: Any) -> Line2D:
    """An entry of a legend that shows a line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=text, **look)


def fold(text: str, inches: float) -> str:
    """Wrap a text to the lines that fit a width in inches, so that no word is cropped."""
    return textwrap.fill(one_line(text), max(10, int(inches / LETTER)))


def label(name: str) -> str:
    """A name in a legend, which would not show one that begins with an underscore."""
    text = fold(name, 2.6)
    return f" {text}" if text.startswith("_") else text


def add_legend(figure: Figure, handles: Sequence[Any]) -> None:
    """One legend below all panels, as wide as the figure allows."""
    lines = [line for handle in handles for line in handle.get_label().splitlines()]
    widest = max(len(line) for line in lines)
    columns = int(figure.get_figwidth() / (LETTER * widest + 0.55))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=max(1, min(columns, len(handles)))
    )


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem.png` and `stem.pdf`; the same figure gives the same bytes."""
    paths = []
    without = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}
    for kind, metadata in without.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        path = stem.with_name(f"{stem.name}.{kind}")
        replace_file(path, buffer.getvalue())
        paths.append(path)
    return paths
