"""Heat maps and rankings draw what the results of a whole suite say."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.ranks import Ranked
from harness.report.figures.heatmap import draw_heatmap, groups
from harness.report.figures.ranking import draw_ranking
from harness.report.figures.style import style
from harness.report.looks import Looks, slots
from harness.results import Cell
from tests.made_results import made_result
from tests.text_boxes import assert_nothing_is_cropped

LOOKS = Looks(
    focus=slots(["_b", "$a$"], 6), others={"c": 23}, datasets={}, families={}, members={}
)


@pytest.fixture(autouse=True)
def drawing():
    with style():
        yield


def test_a_heat_map_shows_the_last_epoch_and_the_best_of_each_column():
    def cell(model, scorer, out, epoch, seed=0):
        return Cell(model, "in", out, scorer, epoch, 1, seed)

    results = [
        made_result(cell("m", "$a$", "x", 4), auroc=0.25),
        made_result(cell("m", "$a$", "x", 16, 0), auroc=0.7),
        made_result(cell("m", "$a$", "x", 16, 1), auroc=0.8),
        made_result(cell("m", "_b", "x", 16), auroc=1.0),
        made_result(cell("m", "_b", "y", 16), "failed"),
        made_result(cell("m", "c", "x", 16), auroc=0.9951),
        made_result(cell("m", "c", "y", 16), auroc=0.894),
        made_result(cell("m", "$a$", "y", 16), auroc=0.9),
        *(made_result(cell("n" * 40, "_b", f"{k}", 2), auroc=0.1) for k in range(30)),
    ]
    found = groups(results, 1)
    assert groups(results, 5) == []
    assert (found[0].model, found[0].outs) == ("m", ("x", "y"))
    assert found[0].values == {
        **{("$a$", "x"): 0.75, ("_b", "x"): 1.0, ("c", "x"): 0.9951},
        **{("$a$", "y"): 0.9, ("c", "y"): 0.894},
    }
    figure = draw_heatmap(found, LOOKS, title="Title", width="two")
    ax = figure.axes[0]
    numbers = [text for text in ax.texts if text.get_fontsize() == 6]
    rows = [text.get_text() for text in ax.get_yticklabels()]
    assert rows == ["c", "$a$", "_b"]
    assert "m\nID in\nepoch 16" in [text.get_text() for text in ax.texts]
    assert figure.texts[1].get_text().startswith("white: .5, blue: above, orange: below;")
    shown_ = {tuple(np.round(text.get_position(), 2)): text for text in numbers}
    texts = [shown_[x, y] for y in (0.53, 1.53, 2.53) for x in (0.5, 1.5)]
    assert [text.get_text() for text in texts] == ["1.00", ".89", ".75", ".90", "1.00", "–"]
    weights = [text.get_fontweight() == "bold" for text in texts]  # as far as digits are shown
    assert weights == [True, False, False, True, True, False]
    assert len(figure.axes) > 1  # thirty columns continue below
    names = [text.get_text() for text in figure.axes[-1].get_yticklabels()]
    assert names == ["_b"]  # the only scorer with numbers there
    assert_nothing_is_cropped(figure)


def test_a_ranking_joins_what_is_not_shown_to_differ():
    names = ["a", "b" * 70, "c", "d"]
    ranks = np.tile([1.0, 2.0, 3.0, 4.0], (12, 1))
    means = dict(zip(names, (1.0, 2.0, 3.0, 4.0), strict=True))
    ranked = Ranked(means, dict.fromkeys(names, 0.5), 12, 12, ranks)
    assert 1 < ranked.critical_difference < 2
    looks = {name: {"color": "red", "marker": "o"} for name in names}
    figure = draw_ranking(ranked, looks, title="Title", width="one")
    (ax,) = figure.axes
    bars = [line for line in ax.lines if line.get_linewidth() == 2.5]
    assert len(bars) == 3
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert np.allclose(np.diff(dots), dots[1] - dots[0])
    for bar, first, last in zip(bars, dots, dots[1:], strict=False):
        assert list(bar.get_xdata()) == pytest.approx([first, last])
        assert bar.get_solid_capstyle() == "butt"
    texts = [text.get_text() for text in ax.texts]
    assert texts[:2] == ["1", "2"]
    assert f"critical difference {ranked.critical_difference:.2f}" in texts
    assert "mean rank (1 is best)" in texts
    box = figure.bbox
    figure.draw_without_rendering()
    for text in ax.texts:
        extent = text.get_window_extent()
        assert extent.x0 >= -1
        assert extent.x1 <= box.x1 + 1
