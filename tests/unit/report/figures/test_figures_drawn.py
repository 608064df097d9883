"""Every figure draws what the data say, names every set, and crops nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest

from harness.report.figures.curves import Curve, CurvePanel, draw_curves
from harness.report.figures.densities import DensityPanel, OverlapCurves, densities, draw_densities
from harness.report.figures.histograms import Panel, draw_histograms, histogram
from harness.report.figures.layers import LayerBand, LayerPanel, draw_layers
from harness.report.figures.samples import draw_samples
from harness.report.figures.style import COLOURS, save, style

HOSTILE = {
    "long": "a-data-set-with-a-name-of-a-hundred-letters-" + "x" * 56,
    "words": "many short words that make a long name " * 2 + "and then some",
    "dollars": r"$x_1$ \alpha",
    "underscore": "_hidden",
    "newline": "two\nlines",
}
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def drawing():
    with style():
        yield


def legend(figure):
    return [shown(text.get_text()) for text in figure.legends[0].get_texts()]


def shown(name):
    """A name however it is folded."""
    return "".join(name.split())


def assert_nothing_is_cropped(figure):
    """Every text that is drawn lies within the figure, and is as long as it should be."""
    figure.draw_without_rendering()
    texts = [figure._suptitle]
    for found in figure.legends:
        texts += found.get_texts()
    for ax in figure.axes:
        texts.append(ax.title)
        if ax.axison:
            texts += [ax.xaxis.label, ax.yaxis.label]
            for axis in (ax.xaxis, ax.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
                texts += [text for place, text in ticks if low <= place <= high]
    for text in texts:
        if text.get_visible() and text.get_text():
            box = text.get_window_extent()
            assert min(box.x0, box.y0) >= -1, text
            assert box.x1 <= figure.bbox.x1 + 1, text
            assert box.y1 <= figure.bbox.y1 + 1, text


@pytest.fixture
def panels():
    own, outs = "plain", list(HOSTILE.values())
    near = {own: rng.normal(size=200)} | {name: rng.normal(3, size=100) for name in outs}
    far = {own: rng.normal(size=200), outs[0]: rng.normal(900, 50, size=100)}
    return [[Panel("near", near), Panel("far " + outs[0], far)], [Panel("near", near)]]


def test_histograms(panels):
    figure = draw_histograms(panels, title="Title " * 30, unit="score", share_of="groups")
    assert legend(figure) == ["plain", *map(shown, HOSTILE.values())]
    for panel, ax in zip([*panels[0], *panels[1]], figure.axes, strict=False):
        expected = histogram(panel.samples)
        filled, *outlines = ax.patches
        assert filled.get_fill()
        assert len(outlines) == len(panel.samples)
        for (name, counts), outline in zip(expected.counts.items(), outlines, strict=True):
            values, edges, _ = outline.get_data()
            assert np.array_equal(edges, expected.edges)
            assert values * len(panel.samples[name]) == pytest.approx(counts)
            assert values.sum() == pytest.approx(1)
        assert np.array_equal(filled.get_data()[0], outlines[0].get_data()[0])
    assert [ax.get_xlabel() for ax in figure.axes] == ["score", "score (asinh scale)", "score", ""]
    assert not figure.axes[3].axison
    assert_nothing_is_cropped(figure)


def test_a_data_set_keeps_its_colour_wherever_it_stands():
    a, b = rng.normal(size=50), rng.normal(size=50)
    grid = [[Panel("1", {"a": a, "b": b}), Panel("2", {"b": b, "a": a})]]
    figure = draw_histograms(grid, title="t", unit="u", share_of="s")
    colours = [[patch.get_edgecolor() for patch in ax.patches[1:]] for ax in figure.axes]
    assert colours[0] == colours[1][::-1]


def band():
    middle = rng.normal(size=40)
    middle[7] = np.nan
    return LayerBand(middle - 1, middle, middle + 2)


def test_layers():
    names = [f"levels.{i // 20}.step.{i}" for i in range(40)]
    rows = {name: [LayerPanel(e, band(), band()) for e in (0, 16)] for name in HOSTILE.values()}
    figure = draw_layers(rows, names, in_dataset="plain", title="Title")
    assert legend(figure) == ["plain", *map(shown, HOSTILE.values())]
    expected = [panel for row in rows.values() for panel in row]
    for panel, ax in zip(expected, figure.axes, strict=True):
        own, other = (line for line in ax.lines if len(line.get_ydata()) == 40)
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
    figure = draw_layers({"out": panels}, names, in_dataset="in", title="Title")
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
    figure = draw_densities(rows, in_dataset=HOSTILE["dollars"], title="Title")
    assert legend(figure)[0] == shown(f"in-distribution {HOSTILE['dollars']}")
    assert legend(figure)[2:] == ["OVL", *(shown(f"AUROC of {name}") for name in auroc)]
    panel, _, beside, point, blank, _ = figure.axes
    expected = densities(own, near)
    assert np.array_equal(panel.lines[0].get_ydata(), expected.own.values)
    assert np.array_equal(panel.lines[1].get_ydata(), expected.other.values)
    assert panel.get_title() == "epoch 0: OVL 0.125"
    assert list(point.lines[1].get_xdata()) == [5.0, 5.0]  # a line at the point mass
    assert not blank.axison
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in beside.lines[1:]]
    assert drawn == [([0, 4], [0.5, 0.75]), ([0, 4], [0.25, 1.0]), ([0, 4], [0.125, 0.875])]
    assert_nothing_is_cropped(figure)


def test_curves():
    a = Curve((0, 1, 16), (0.5, 0.75, 1.0), (0.4, 0.65, 0.9), (0.6, 0.85, 1.0))
    b = Curve((1,), (0.25,), (0.125, ), (0.375,))  # fmt: skip
    grid = [
        [CurvePanel(f"against {name}", {"$a$": a, "_b": b}, {0: 90.0, 1: 8.0, 16: 3.0})] * 2
        for name in HOSTILE.values()
    ]
    figure = draw_curves(grid, title="Title")
    assert legend(figure) == ["$a$", "_b", "bits/dim,in-distribution(right)"]
    left = [ax for ax in figure.axes if ax.get_ylim() == (0, 1)]
    right = [ax for ax in figure.axes if ax not in left]
    assert len(left) == len(right) == 10
    for ax in left:
        for drawn, found, area in zip(ax.lines[1:], (a, b), ax.collections, strict=True):
            assert tuple(drawn.get_xdata()) == found.epochs
            assert tuple(drawn.get_ydata()) == found.auroc
            heights = set(area.get_paths()[0].vertices[:, 1])
            assert heights == {*found.low, *found.high}
    for ax in right:
        assert list(ax.lines[0].get_ydata()) == [90.0, 8.0, 3.0]
        assert ax.get_yscale() == "log"
    assert_nothing_is_cropped(figure)


def test_without_bits_per_dimension_there_is_no_second_axis():
    a = Curve((0, 1), (0.5, 0.75), (0.4, 0.65), (0.6, 0.85))
    figure = draw_curves([[CurvePanel("p", {"a": a}, {})]], title="Title", unit="step")
    assert figure.axes[0].get_xlabel() == "step"
    assert len(figure.axes) == 1
    assert legend(figure) == ["a"]


def test_samples():
    grids = {epoch: rng.integers(0, 256, (47, 47, 3), dtype=np.uint8) for epoch in (0, 4)}
    figure = draw_samples(grids, title="Title")
    for (epoch, grid), ax in zip(grids.items(), figure.axes, strict=True):
        assert np.array_equal(ax.images[0].get_array(), grid)
        assert ax.get_title() == f"epoch {epoch}"
    assert_nothing_is_cropped(figure)


def test_files_are_the_same_each_time_with_embedded_fonts(tmp_path, panels):
    def draw(name):
        figure = draw_histograms(panels, title="Title", unit="u", share_of="s")
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
        figure = draw_histograms(panels, title="Title", unit="u", share_of="s")
        figure.savefig(io.BytesIO())
        assert matplotlib.rcParams["font.size"] == 8
    assert settings() == before


def test_colours_are_distinct():
    assert len(set(COLOURS)) == 7
