"""Every figure draws what the data say, names every set, and crops nothing."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest

from harness.report.enough import Loss
from harness.report.figures.curves import Curve, CurvePanel, across, draw_curves
from harness.report.figures.densities import DensityPanel, OverlapCurves, densities, draw_densities
from harness.report.figures.epochs import LossPanel, draw_losses
from harness.report.figures.histograms import Panel, draw_histograms, histograms
from harness.report.figures.layers import LayerBand, LayerPanel, draw_layers
from harness.report.figures.samples import draw_samples
from harness.report.figures.scale import Scale
from harness.report.figures.style import (
    save,
    style,
)
from harness.report.looks import Looks, slots
from tests.text_boxes import assert_nothing_is_cropped

HOSTILE = {
    "long": "a-data-set-with-a-name-of-a-hundred-letters-" + "x" * 56,
    "words": "many short words that make a long name " * 2 + "and then some",
    "dollars": r"$x_1$ \alpha",
    "underscore": "_hidden",
    "newline": "two\nlines",
}
rng = np.random.default_rng(0)
LOOKS = Looks(
    focus=slots([HOSTILE["long"], HOSTILE["underscore"], "$a$"], 6),
    others={"_b": 1, "c": 23},
    datasets=slots(["plain", *HOSTILE.values(), "constant", "a", "b", "in", "out"], 7),
    families={},
    members={},
)


@pytest.fixture(autouse=True)
def drawing():
    with style():
        yield


def legend(figure):
    return [shown(text.get_text()) for text in figure.legends[0].get_texts()]


def shown(name):
    """A name however it is folded."""
    return "".join(name.split())


def as_out(name):
    """The name of an OOD set in a legend."""
    return shown(f"{name}(OOD)")


@pytest.fixture
def panels():
    own, outs = "plain", list(HOSTILE.values())
    near = {own: rng.normal(size=200)} | {name: rng.normal(3, size=100) for name in outs}
    far = {own: rng.normal(size=200), outs[0]: rng.normal(900, 50, size=100)}
    return [[Panel("near", near), Panel("far " + outs[0], far)], [Panel("near", near)]]


def test_histograms(panels):
    figure = draw_histograms(panels, LOOKS, title="Title " * 30, unit="score", share_of="groups")
    assert legend(figure) == ["plain(in-distribution)", *map(as_out, HOSTILE.values())]
    counted = [*histograms([panels[0][0], panels[1][0]]), *histograms([panels[0][1]])]
    shown_panels = [panels[0][0], panels[1][0], panels[0][1]]
    axes = [figure.axes[0], figure.axes[2], figure.axes[1]]
    for panel, expected, ax in zip(shown_panels, counted, axes, strict=True):
        filled, *outlines = ax.patches
        assert filled.get_fill()
        assert len(outlines) == len(panel.samples)
        for (name, counts), outline in zip(expected.counts.items(), outlines, strict=True):
            drawn, edges, _ = outline.get_data()
            assert np.array_equal(np.isnan(drawn), counts == 0)  # an empty bin has no outline
            values = np.nan_to_num(drawn)
            assert np.array_equal(edges, expected.edges)
            assert values * len(panel.samples[name]) == pytest.approx(counts)
            assert values.sum() == pytest.approx(1)
        heights = filled.get_data()[0], outlines[0].get_data()[0]
        assert np.array_equal(*heights, equal_nan=True)
        assert [outline.get_linestyle() == "-" for outline in outlines] == [
            name == "plain" for name in panel.samples
        ]
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "score (asinh scale)", "score", ""]
    assert figure.axes[0].get_xlim() == figure.axes[2].get_xlim()
    assert not figure.axes[3].axison
    assert_nothing_is_cropped(figure)


def test_a_data_set_keeps_its_colour_wherever_it_stands():
    a, b = rng.normal(size=50), rng.normal(size=50)
    grid = [[Panel("1", {"a": a, "b": b}), Panel("2", {"b": b, "a": a})]]
    figure = draw_histograms(grid, LOOKS, title="t", unit="u", share_of="s")
    colours = [[patch.get_edgecolor() for patch in ax.patches[1:]] for ax in figure.axes]
    assert colours[0] == colours[1][::-1]
    names = ["a(in-distribution)", "b(in-distribution)", "b(OOD)", "a(OOD)"]
    assert legend(figure) == names
    lines = [line.get_linestyle() for line in figure.legends[0].get_lines()]
    assert [line == "-" for line in lines] == [True, True, False, False]


def band():
    middle = rng.normal(size=40)
    middle[7] = np.nan
    return LayerBand(middle - 1, middle, middle + 2)


def test_layers():
    names = [f"levels.{i // 20}.step.{i}" for i in range(40)]
    rows = {name: [LayerPanel(e, band(), band()) for e in (0, 16)] for name in HOSTILE.values()}
    figure = draw_layers(rows, names, LOOKS, in_dataset="plain", title="Title")
    assert legend(figure) == ["plain(in-distribution)", *map(as_out, HOSTILE.values())]
    expected = [panel for row in rows.values() for panel in row]
    for panel, ax in zip(expected, figure.axes, strict=True):
        own, other = (line for line in ax.lines if len(line.get_ydata()) == 40)
        assert (own.get_linestyle() == "-", other.get_linestyle() == "-") == (True, False)
        assert np.array_equal(own.get_ydata(), panel.in_band.middle, equal_nan=True)
        assert np.array_equal(other.get_ydata(), panel.out_band.middle, equal_nan=True)
        for found, area in zip((panel.in_band, panel.out_band), ax.collections, strict=True):
            heights = np.concatenate([path.vertices[:, 1] for path in area.get_paths()])
            assert set(found.low[~np.isnan(found.low)]) <= set(heights)
            assert set(found.high[~np.isnan(found.high)]) <= set(heights)
    assert [ax.get_title() for ax in figure.axes[:4]] == ["epoch 0", "epoch 16", "", ""]
    bottom = [text.get_text() for text in figure.axes[-1].get_xticklabels()]
    assert bottom == ["levels.0", "levels.1"]
    assert_nothing_is_cropped(figure)


def test_long_names_of_layers_have_room():
    nets = ("log_scale_net", "shift_net")
    names = [f"steps.0.coupling.{net}.{i}.weight" for net in nets for i in range(20)]
    panels = [LayerPanel(epoch, band(), band()) for epoch in (0, 5, 20)]
    figure = draw_layers({"out": panels}, names, LOOKS, in_dataset="in", title="Title")
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels == [f"steps.0.coupling.{net}" for net in nets]
    assert_nothing_is_cropped(figure)
    assert all(ax.get_window_extent().height > 0.5 * figure.dpi for ax in figure.axes)


def test_densities():
    own, near, same = rng.normal(5, size=60), rng.normal(6, size=50), np.full(9, 5.0)
    auroc = {HOSTILE["long"]: {0: 0.5, 4: 0.75}, HOSTILE["underscore"]: {0: 0.25, 4: 1.0}}
    curves = OverlapCurves({0: 0.125, 4: 0.875}, auroc)
    rows = {
        HOSTILE["words"]: ([DensityPanel(0, own, near, 0.125)] * 2, curves),
        "constant": ([DensityPanel(4, own, same, 0.0)], curves),
    }
    figure = draw_densities(rows, LOOKS, in_dataset=HOSTILE["dollars"], title="Title")
    assert legend(figure)[0] == shown(f"{HOSTILE['dollars']}(in-distribution)")
    outs = as_out(HOSTILE["words"]), "constant(OOD)"
    assert legend(figure)[1:] == [*outs, "OVL(shadedoverlap)", "chance(AUROC)", *map(shown, auroc)]
    panel, _, beside, point, blank, _ = figure.axes
    assert [line.get_linestyle() == "-" for line in panel.lines] == [True, False]
    expected = densities(own, near, Scale())
    assert np.array_equal(panel.lines[0].get_ydata(), expected.own.values)
    assert np.array_equal(panel.lines[1].get_ydata(), expected.other.values)
    assert panel.get_title() == "epoch 0: OVL 0.125"
    assert list(point.lines[1].get_xdata()) == [5.0, 5.0]  # a line at the point mass
    assert not blank.axison
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in beside.lines[1:]]
    assert [ax.get_ylabel() for ax in (beside, figure.axes[5])] == ["OVL and AUROC"] * 2
    assert drawn == [([0, 4], [0.5, 0.75]), ([0, 4], [0.25, 1.0]), ([0, 4], [0.125, 0.875])]
    assert_nothing_is_cropped(figure)


def test_curves():
    a = Curve((0, 1, 16), (0.5, 0.75, 1.0), (0.4, 0.65, 0.9), (0.6, 0.85, 1.0))
    b = Curve((1,), (0.25,), (0.125, ), (0.375,))  # fmt: skip
    panels = [
        CurvePanel(f"against {name}", {"_b": b, "$a$": a}, {0: 90.0, 1: 8.0, 16: 3.0})
        for name in HOSTILE.values()
        for _ in range(2)
    ]
    figure = draw_curves(panels, LOOKS, title="Title", sizes=2)
    assert legend(figure) == ["$a$", "_b", "chance", "bits/dim,ID(rightaxis)"]
    left = [ax for ax in figure.axes if ax.get_ylim() == (0, 1) and ax.axison]
    right = [ax for ax in figure.axes if ax.axison and ax not in left]
    assert len(left) == len(right) == 10
    for ax in left:
        *curves, chance = (line for line in ax.lines if line.get_linestyle() != "None")
        (tag,) = (line for line in ax.lines if line.get_linestyle() == "None")
        assert (list(tag.get_xdata()), list(tag.get_ydata())) == ([1], [0.25])
        assert chance.get_ydata() == [0.5, 0.5]
        for drawn, found in zip(curves, (b, a), strict=True):
            assert tuple(drawn.get_xdata()) == found.epochs
            assert tuple(drawn.get_ydata()) == found.values
        (area,) = ax.collections  # of the scorer in focus
        assert set(area.get_paths()[0].vertices[:, 1]) == {*a.low, *a.high}
    for ax in right:
        assert list(ax.lines[0].get_ydata()) == [90.0, 8.0, 3.0]
        assert ax.get_yscale() == "log"
        assert ax.get_ylim() == right[0].get_ylim()
    assert_nothing_is_cropped(figure)


@pytest.mark.parametrize(
    ("panels", "sizes", "width", "expected"),
    [(8, 2, "two", 4), (8, 2, "one", 2), (3, 1, "two", 3), (9, 3, "two", 3), (5, 5, "one", 2)],
)
def test_panels_of_a_data_set_stay_in_a_row(panels, sizes, width, expected):
    assert across(panels, sizes, width) == expected


def test_epochs_have_as_many_labels_as_have_room():
    a = Curve((0, 1, 2, 100000, 100001), (0.5,) * 5, (0.4,) * 5, (0.6,) * 5)
    figure = draw_curves([CurvePanel("p", {"$a$": a}, {})] * 4, LOOKS, title="Title")
    figure.draw_without_rendering()
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "2", "100001"]
    places = ax.transData.transform([(epoch, 0) for epoch in (0, 1, 100001)])[:, 0]
    ratio = (places[1] - places[0]) / (places[2] - places[0])
    assert ratio == pytest.approx(1 / np.log2(100002))


def test_numbers_of_grey_scorers_are_apart_and_beside_the_curves_in_focus():
    others = {f"grey-{number}": number for number in range(1, 25)}
    looks = replace(LOOKS, others=others)
    flat = Curve((0, 1, 4), (0.5,) * 3, (0.4,) * 3, (0.6,) * 3)
    apart = {
        name: Curve((0, 1, 4), (k / 25,) * 3, *[(0.0,) * 3] * 2) for name, k in others.items()
    }

    def tags(curves):
        panels = [CurvePanel("p", {**curves, "$a$": flat}, {})] * 4
        figure = draw_curves(panels, looks, title="Title")
        figure.draw_without_rendering()
        ax = figure.axes[0]
        found = [line for line in ax.lines if line.get_linestyle() == "None"]
        return [line.get_window_extent() for line in found], ax

    assert tags(dict.fromkeys(others, flat))[0] == []  # no number has room
    boxes, ax = tags(apart)
    assert len(boxes) == 20  # of 24, four are too close to the curve in focus
    line = ax.transData.transform((0, 0.5))[1]
    assert not any(box.y0 < line < box.y1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_losses():
    a = [Loss(0, 0.3, 0.4, False), Loss(1, 0.004, 0.008, True), Loss(16, 0.0, 0.0, True)]
    panels = [LossPanel(f"against {name}", {"$a$": a}) for name in HOSTILE.values()]
    figure = draw_losses(panels, LOOKS, margin=0.01, title="Title", unit="step")
    assert legend(figure) == [
        *("$a$", "margin0.01", "losswithinthemargin", "upper95%limit"),
        *("showntobewithinthemargin", "notshowntobe"),
    ]
    entry = figure.legends[0].get_lines()[0]
    drawn = next(line for line in figure.axes[0].lines[1:] if line.get_linestyle() != "None")
    assert entry.get_linewidth() == drawn.get_linewidth()
    for ax in figure.axes[:5]:
        margin, line, shown_, hollow = ax.lines
        assert set(margin.get_ydata()) == {0.01}
        assert list(line.get_ydata()) == [0.3, 0.004, 0.0]
        assert list(shown_.get_xdata()) == [1, 16]
        assert list(hollow.get_xdata()) == [0]
        assert hollow.get_markerfacecolor() == "white"
        (whiskers,) = (c for c in ax.collections if len(c.get_paths()) == 3)
        ends = [path.vertices[:, 1].tolist() for path in whiskers.get_paths()]
        assert ends == [[0.3, 0.4], [0.004, 0.008], [0.0, 0.0]]
    assert_nothing_is_cropped(figure)


def test_without_bits_per_dimension_there_is_no_second_axis():
    a = Curve((0, 1), (0.5, 0.75), (0.4, 0.65), (0.6, 0.85))
    figure = draw_curves([CurvePanel("p", {"$a$": a}, {})], LOOKS, title="Title", unit="step")
    assert figure.axes[0].get_xlabel() == "step (log scale)"
    assert len(figure.axes) == 1
    assert legend(figure) == ["$a$", "chance"]


def test_an_overlap_has_no_line_of_chance():
    a = Curve((0, 1), (0.5, 0.75), (np.nan,) * 2, (np.nan,) * 2)
    panel = CurvePanel("p", {"$a$": a}, {})
    (ax,) = draw_curves([panel], LOOKS, title="Title", metric="ovl_scores").axes
    assert len(ax.lines) == 1
    assert " ".join(ax.get_ylabel().split()) == "overlap of scores (lower separates better)"


def test_samples():
    grids = {epoch: rng.integers(0, 256, (47, 47, 3), dtype=np.uint8) for epoch in (0, 4)}
    figure = draw_samples(grids, title="Title")
    for (epoch, grid), ax in zip(grids.items(), figure.axes, strict=True):
        assert np.array_equal(ax.images[0].get_array(), grid)
        assert ax.get_title() == f"epoch {epoch}"
    assert_nothing_is_cropped(figure)


def test_files_are_the_same_each_time_with_embedded_fonts(tmp_path, panels):
    def draw(name):
        figure = draw_histograms(panels, LOOKS, title="Title", unit="u", share_of="s")
        return [path.read_bytes() for path in save(figure, tmp_path / name)]

    png, pdf = draw("a.b")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.b.pdf", "a.b.png"]
    assert (png, pdf) == tuple(draw("a.b"))
    assert png.startswith(b"\x89PNG")
    assert b"/FontFile2" in pdf
    assert b"/Subtype /Image" not in pdf


def test_nothing_of_the_process_is_changed(panels):
    import matplotlib

    def settings():  # asking for the backend would choose one
        return {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}

    matplotlib.rcParams["font.size"] = 31
    before = settings()
    with style():
        figure = draw_histograms(panels, LOOKS, title="Title", unit="u", share_of="s")
        figure.savefig(io.BytesIO())
        assert matplotlib.rcParams["font.size"] == 8
    assert settings() == before
