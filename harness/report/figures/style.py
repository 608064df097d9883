"""Style for all figures: colours, lines and sizes, and output to disk.

Colours are distinguishable for colour-blind readers; lines and markers differ too, for prints in
grey. The user's matplotlib configuration is neither used nor changed: no
backend, no pyplot, and settings only apply inside `style()`.
"""

from __future__ import annotations

import io
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from harness.metrics.placements import Floats
from harness.report.enough import MARGIN
from harness.report.looks import Looks
from harness.store.records import replace_file
from harness.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours of scorers and models: Color Universal Design (Okabe and Ito, 2008).

Yellow is too faint on paper, and black is for what is no scorer.
"""

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "0.76"

CHANCE: dict[str, Any] = {"color": "0.5", "linestyle": (0, (4, 4)), "linewidth": 0.6}
"""Line at an AUROC of 0.5: dashed, as grey scorers are not."""

DATASET_COLOURS = ("#332288", "#CC6677", "#999933", "#882255", "#117733", "#AA4499", "#4D2A00")
"""Colours of data sets: muted ones by Paul Tol, and a brown."""

DATASET_LINES = (
    *("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2))),
    *((0, (3, 1)), (0, (5, 1.5, 2, 1.5))),
)
"""Lines of OOD sets: an in-distribution set is solid in every figure."""

Look: TypeAlias = dict[str, Any]
"""Colour, line and marker, in matplotlib arguments."""

Width: TypeAlias = Literal["one", "two"]
"""Width of a figure: one column of a paper with two columns, or both."""

INCHES: dict[Width, float] = {"one": 3.17, "two": 6.48}
"""A column (229.5 pt) and a page (469 pt) of LaTeX's article in two columns have room."""

DIGIT = 4.4
"""Height of the numbers of grey scorers, in points."""


@dataclass(frozen=True)
class Drawing:
    """Settings for all figures.

    Attributes:
        looks: Looks of scorers, models and data sets.
        width: Width of the figures for a paper.
        margin: The largest loss of AUROC that counts as no loss.
        temperature: Temperature for drawing samples.
    """

    looks: Looks
    width: Width = "two"
    margin: float = MARGIN
    temperature: float = 1.0


LETTER = 0.075
"""Letter width in inches, deliberately overestimated."""

LEGEND_LETTER = 0.062
"""Mean width of the letters of a long name in a legend, in inches."""

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
    "legend.handlelength": 4,  # more than a period of each line
    "legend.columnspacing": 1.2,
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

    size = (max(columns * width, INCHES["one"]), rows * height + below + 0.55)
    figure = Figure(figsize=size, layout="constrained")
    heading = figure.suptitle(fold(title, 0.9 * size[0]))
    figure.set_size_inches(size[0], size[1] + 0.15 * heading.get_text().count("\n"))
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def scorer_look(looks: Looks, scorer: str) -> Look:
    """Return colour, line and marker of a scorer, in matplotlib arguments.

    A scorer that is not in focus is a thin grey line with its number as marker. Those in focus
    become thinner one by one: of curves that coincide, the earlier show around the later.
    """
    slot = looks.focus.get(scorer)
    if slot is None:
        return {
            **{"color": GREY, "linewidth": 0.7, "zorder": 1.5},
            **_number(looks.others[scorer]),
        }
    place = list(looks.focus).index(scorer)
    return {
        **{"color": COLOURS[slot], "linestyle": LINES[slot], "marker": MARKERS[slot]},
        **{"linewidth": 2.2 - 0.2 * place, "markersize": 5.4 - 0.3 * place},
    }


def model_look(looks: Looks, model: str) -> Look:
    """Return colour, line and marker of a model; the models of a family share the colour."""
    slot, member = looks.families[model], looks.members[model]
    count = len(COLOURS)
    # families that share a colour differ from the members of either
    shape = (slot + 3 * (slot // count) + member) % count
    return {"color": COLOURS[slot % count], "linestyle": LINES[shape], "marker": MARKERS[shape]}


def own_look(looks: Looks, dataset: str) -> Look:
    """Return colour and line of a data set where it is in-distribution: a solid line."""
    return {**out_look(looks, dataset), "linestyle": "-"}


def out_look(looks: Looks, dataset: str) -> Look:
    """Return colour and line of a data set where it is OOD, in matplotlib arguments."""
    count = len(DATASET_COLOURS)
    slot = looks.datasets[dataset]
    lines = DATASET_LINES[(slot + slot // count) % count]
    return {"color": DATASET_COLOURS[slot % count], "linestyle": lines, "linewidth": 1.2}


@cache
def _number(number: int) -> Look:
    """Return a number as a centred marker, with the same height for every number."""
    from matplotlib.path import Path as Path2D
    from matplotlib.textpath import TextPath

    text = TextPath((0, 0), str(number), size=10)
    box = text.get_extents()
    middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    size = DIGIT * max(box.width, box.height) / box.height  # matplotlib fits the longer side
    is_drawn = text.codes != Path2D.CLOSEPOLY  # others have no place
    path = Path2D((text.vertices - middle) * is_drawn[:, np.newaxis], text.codes)
    return {"marker": path, "markersize": size, "markerfacecolor": "0.2", "markeredgewidth": 0}


def scorer_keys(looks: Looks, scorers: Iterable[str]) -> list[Line2D]:
    """Make the legend entries of scorers, those in focus first."""
    found = set(scorers)
    return [
        key(label(scorer), **scorer_look(looks, scorer))
        for scorer in looks.scorers
        if scorer in found
    ]


def epoch_axis(ax: Axes, epochs: Sequence[int], inches: float) -> None:
    """Give an axis of epochs the scale log2(1 + epoch), with as many labels as have room.

    Arguments:
        ax: Axes, with epochs as x.
        epochs: The epochs, ascending; the last one always has a label.
        inches: Width of the axes.
    """
    ax.set_xscale("function", functions=(_place, _epoch))
    places = [math.log2(1 + epoch) for epoch in epochs]
    reach = max(places[-1] - places[0], 1.0)
    ends = [inches * (place - places[0]) / reach for place in places]
    shown: list[int] = []
    left = math.inf
    for epoch, end in reversed([*zip(epochs, ends, strict=True)]):
        half = LETTER * len(str(epoch)) / 2
        if end + half < left:
            shown.append(epoch)
            left = end - half - LETTER / 2
    ax.set_xticks(shown[::-1], [str(epoch) for epoch in shown[::-1]])
    ax.minorticks_off()
    low, high = places[0] - 0.04 * reach, places[-1] + 0.04 * reach
    ax.set_xlim(2.0**low - 1, 2.0**high - 1)


def epoch_label(unit: str) -> str:
    """Label an axis that has the scale of `epoch_axis`."""
    return f"{unit} (log scale)"


def _place(epoch: Floats) -> Floats:
    return np.asarray(np.log2(1 + np.maximum(epoch, -0.99)))


def _epoch(place: Floats) -> Floats:
    return np.asarray(np.exp2(place) - 1)


def key(text: str, **look: Any) -> Line2D:
    """Make a legend entry that shows a line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=text, **look)


def fold(text: str, inches: float) -> str:
    """Wrap a text to a width in inches, to avoid cropped words."""
    return textwrap.fill(one_line(text), max(10, int(inches / LETTER)))


def pair_title(out: str, size: int) -> str:
    """Make the title of a panel: OOD set and group size, on a line each."""
    return f"OOD {one_line(out)}\ngroup size {size}"


def fold_lines(text: str, inches: float) -> str:
    """Wrap each line of a text to a width in inches."""
    return "\n".join(fold(line, inches) for line in text.splitlines())


def dataset_keys(looks: Looks, ins: Iterable[str], outs: Iterable[str]) -> list[Line2D]:
    """Make the legend entries of data sets; one with both roles in a figure has two entries."""
    return [
        *(key(label(f"{x} (in-distribution)"), **own_look(looks, x)) for x in dict.fromkeys(ins)),
        *(key(label(f"{x} (OOD)"), **out_look(looks, x)) for x in dict.fromkeys(outs)),
    ]


def label(name: str) -> str:
    """Prepare a name for a legend: matplotlib hides labels with a leading underscore."""
    text = fold(name, 2.6)
    return f" {text}" if text.startswith("_") else text


def add_legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Add a single legend below all panels, in a figure that grows for it."""
    width, height = figure.get_size_inches()
    widest = max(len(line) for handle in handles for line in handle.get_label().splitlines())
    columns = max(1, min(int(width / (LEGEND_LETTER * widest + 0.54)), len(handles)))
    lines = max(handle.get_label().count("\n") + 1 for handle in handles)
    figure.set_size_inches(width, height + 0.145 * lines * -(-len(handles) // columns))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


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
