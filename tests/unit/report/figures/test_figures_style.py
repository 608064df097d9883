"""The looks and sizes that all figures share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.report.figures.style import COLOURS, INCHES, out_look, own_look, scorer_look
from harness.report.looks import Looks, slots

LOOKS = Looks(
    focus={"a": 0},
    others={"_b": 1, "c": 23},
    datasets=slots(map(str, range(9)), 7),
    families={},
    members={},
)


def test_a_column_and_a_page_of_an_article_have_room():
    points = {width: 72.27 * inches for width, inches in INCHES.items()}
    assert 225 < points["one"] < 229.5
    assert 460 < points["two"] < 469


def test_curves_that_coincide_show_around_one_another():
    names = ["a", "b", "c", "d", "e", "f"]
    focus = replace(LOOKS, focus={name: slot for slot, name in enumerate(names)})
    for size in ("linewidth", "markersize"):
        sizes = [scorer_look(focus, name)[size] for name in names]
        assert np.diff(sizes).max() < -0.15
        assert sizes[-1] > 0.9


def test_colours_are_distinct():
    assert len(set(COLOURS)) == 6
    assert not set(COLOURS) & {out_look(LOOKS, name)["color"] for name in LOOKS.datasets}


def test_an_id_set_is_solid_and_ood_sets_are_dashed_each_in_its_way():
    outs = [out_look(LOOKS, name) for name in LOOKS.datasets]
    assert len({repr(look["linestyle"]) for look in outs[:7]}) == 7
    assert len({(look["color"], repr(look["linestyle"])) for look in outs}) == len(outs) == 9
    assert "-" not in [look["linestyle"] for look in outs]
    for name, out in zip(LOOKS.datasets, outs, strict=True):
        assert own_look(LOOKS, name) == {**out, "linestyle": "-"}


def test_a_number_is_as_high_as_any_other():
    def height(scorer):
        look = scorer_look(LOOKS, scorer)
        vertices = look["marker"].vertices
        assert abs(vertices.max(0) + vertices.min(0)).max() < 1e-9
        return look["markersize"] * np.ptp(vertices[:, 1]) / (2 * abs(vertices).max())

    assert height("_b") == pytest.approx(height("c"), rel=0.05)
