"""The texts that a figure draws, with their boxes: whether they are whole and apart."""

from __future__ import annotations

from matplotlib.artist import Artist
from matplotlib.text import Text

SLACK = 1.0
"""Pixels by which a box may reach over another or the edge: boxes are larger than the letters."""


def drawn_texts(figure):
    """Every text that is drawn, with its box in pixels."""
    figure.draw_without_rendering()
    axes = [ax for ax in figure.axes if ax.axison]
    ticks = [tick for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in _ticks(axis)]
    hidden = {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
    hidden |= {
        id(text)
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        if not (ax.axison and axis.get_visible())
        for text in axis.findobj(Text)
    }
    found = [text for text in figure.findobj(Text) if id(text) not in hidden]
    for ax in axes:
        for axis in filter(Artist.get_visible, (ax.xaxis, ax.yaxis)):
            for tick in axis._update_ticks():
                found += [tick.label1, tick.label2]
    return [
        (text.get_text(), text.get_window_extent())
        for text in found
        if text.get_visible() and text.get_text().strip()
    ]


def _ticks(axis):
    return [*axis.get_major_ticks(), *axis.get_minor_ticks()]


def assert_nothing_is_cropped(figure):
    """Every text lies within the figure."""
    _assert_within(figure, drawn_texts(figure))


def assert_texts_are_whole_and_apart(figure):
    """Every text lies within the figure, and no two share more than a pixel."""
    found = sorted(drawn_texts(figure), key=lambda item: item[1].x0)
    _assert_within(figure, found)
    for place, (text, box) in enumerate(found):
        for other, beside in found[place + 1 :]:
            if beside.x0 > box.x1 - SLACK:
                break
            shared = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert shared <= SLACK, f"{text!r} and {other!r} overlap"


def _assert_within(figure, found):
    for text, box in found:
        assert min(box.x0, box.y0) >= -SLACK, text
        assert box.x1 <= figure.bbox.x1 + SLACK, text
        assert box.y1 <= figure.bbox.y1 + SLACK, text
