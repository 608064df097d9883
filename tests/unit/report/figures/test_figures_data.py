"""What goes into figures, as arrays: bins, scales, bands, densities, squares of samples."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.estimates import estimate
from harness.metrics.overlap import overlap
from harness.report.figures.curves import Curve, curve
from harness.report.figures.densities import densities
from harness.report.figures.gallery import chosen
from harness.report.figures.histograms import Panel, histograms
from harness.report.figures.layers import blocks, layer_band
from harness.report.figures.samples import tiled
from harness.report.figures.scale import Scale, choose_scale
from harness.results import Cell
from tests.made_results import made_result, scored_result

rng = np.random.default_rng(0)


def histogram(samples):
    (found,) = histograms([Panel("panel", samples)])
    return found


OWN, NEAR, FAR = rng.normal(5, 1, 300), rng.normal(8, 1, 200), rng.normal(4000, 900, 100)


@pytest.mark.parametrize("other", [NEAR, FAR, np.full(50, 5.0)], ids=["near", "far", "constant"])
def test_every_value_is_counted_in_shared_bins(other):
    found = histogram({"own": OWN, "other": other})
    assert found.counts["own"].sum() == len(OWN)
    assert found.counts["other"].sum() == len(other)
    assert found.counts["own"].shape == found.counts["other"].shape == (len(found.edges) - 1,)
    values = found.scale.inverse(found.edges)
    expected = ((values[7] <= OWN) & (values[8] > OWN)).sum()
    assert found.counts["own"][7] == expected


def test_constant_sets_have_bins_too():
    found = histogram({"own": np.full(9, 2.0), "other": np.full(9, 2.0)})
    assert found.counts["own"].sum() == found.counts["other"].sum() == 9


def test_few_groups_have_few_bins():
    assert len(histogram({"own": OWN, "other": NEAR[:60]}).edges) - 1 == 23
    assert len(histogram({"own": OWN, "other": NEAR[:20]}).edges) - 1 == 20


def test_panels_share_a_scale_that_suits_the_last():
    first, last = histograms([Panel("1", {"own": FAR, "b": NEAR}), Panel("2", {"own": OWN})])
    assert first.scale == last.scale == choose_scale(OWN, [FAR, NEAR, OWN])
    assert first.scale.width is not None
    assert np.array_equal(first.edges, last.edges)
    assert first.counts["own"].sum() == len(FAR)
    assert last.counts["own"].sum() == len(OWN)


def test_an_axis_is_linear_unless_the_own_set_would_be_a_sliver():
    assert choose_scale(OWN, [NEAR]) == Scale()
    assert choose_scale(np.full(9, 5.0), [FAR]) == Scale()
    scale = choose_scale(OWN, [NEAR, FAR])
    assert scale.center == np.median(OWN)
    places = scale.forward(np.array([OWN.min(), OWN.max(), FAR.min(), FAR.max()]))
    assert (places[1] - places[0]) / (places[3] - places[0]) > 0.15


@pytest.mark.parametrize("scale", [Scale(), Scale(5.0, 2.0)])
def test_scales_go_both_ways_and_their_slope_is_the_derivative(scale):
    x = np.linspace(-40.0, 90.0, 14)
    t = scale.forward(x)
    assert scale.inverse(t) == pytest.approx(x)
    step = 1e-6
    numerical = (scale.inverse(t + step) - scale.inverse(t - step)) / (2 * step)
    assert scale.slope(x) == pytest.approx(numerical, rel=1e-6)


@pytest.mark.parametrize(("center", "width"), [(5.0, 2.0), (-300.0, 20.0), (390.0, 3.0)])
def test_ticks_are_round_values_at_their_places_within_the_axis(center, width):
    scale = Scale(center, width)
    low, high = scale.forward(np.array([center - width, center + 900 * width]))
    ticks = scale.ticks(low, high)
    assert len(ticks) >= 5
    for place, text in ticks.items():
        assert low <= place <= high
        value = float(text.replace(",", ""))
        assert scale.forward(np.array([value]))[0] == pytest.approx(place, abs=1e-4)
        assert len(text.replace(",", "").strip("-0").replace(".", "")) <= 3


def test_bands_are_quantiles_of_the_log_and_zeros_are_left_out():
    sq_norms = np.exp(rng.normal(size=(200, 3)))
    sq_norms[:, 1] = 0.0
    sq_norms[:50, 2] = 0.0
    band = layer_band(sq_norms)
    for values, q in ((band.low, 0.05), (band.middle, 0.5), (band.high, 0.95)):
        assert values[0] == pytest.approx(np.quantile(np.log(sq_norms[:, 0]), q))
        assert np.isnan(values[1])
        assert values[2] == pytest.approx(np.quantile(np.log(sq_norms[50:, 2]), q))


def test_blocks_are_as_many_as_have_room_by_the_shortest_prefix():
    deep = [f"levels.{i}.steps.{j}.{name}" for i in (0, 1) for j in range(4) for name in "abc"]
    assert blocks([*deep, "top.bias"])[:2] == [(0, "levels.0.steps.0"), (3, "levels.0.steps.1")]
    assert blocks([*deep, "top.bias"])[-1] == (24, "top.bias")
    many = [f"steps.{j}.{name}" for j in range(40) for name in "abc"]
    assert blocks(many) == [(0, "steps")]
    one = [f"steps.0.net.{j}.weight" for j in range(4)]
    assert blocks(one) == [(j, f"steps.0.net.{j}") for j in range(4)]
    assert blocks([name for name in one for _ in "ab"])[1] == (2, "steps.0.net.1")
    assert blocks([*one[:1], "top.a.b", "top.a.c"])[1:] == [(1, "top.a.b"), (2, "top.a.c")]
    assert blocks([*many, "top.bias"]) == [(0, "steps"), (120, "top")]
    assert blocks(["weight", "bias"]) == [(0, "")]


@pytest.mark.parametrize("other", [NEAR, FAR], ids=["near", "far"])
def test_densities_have_area_1_and_overlap_by_ovl_on_every_scale(other):
    found = densities(OWN, other, choose_scale(OWN, [other]))
    assert np.all(np.diff(found.points) > 0)
    for density in (found.own, found.other):
        assert np.trapezoid(density.values, found.points) == pytest.approx(1, abs=5e-3)
        assert density.mass is None
    lower = np.minimum(found.own.values, found.other.values)
    # the paper's OVL leaves out the tails beyond all values
    assert np.trapezoid(lower, found.points) == pytest.approx(overlap(OWN, other), abs=5e-3)


def test_a_set_without_spread_is_a_point_mass():
    found = densities(OWN, np.full(9, 4.0), Scale())
    assert (found.own.mass, found.other.mass) == (None, 4.0)
    assert not found.other.values.any()
    assert len(densities(np.full(3, 4.0), np.full(3, 4.0), Scale()).points) > 1


def test_curves_ascend_and_leave_out_what_has_no_number():
    cell = Cell("m", "i", "o", "s", 0, 1, 0)
    known = {"auroc_se": 0.05, "ovl_scores": 0.3}
    results = {
        4: [made_result(cell, "ok", auroc=0.6, auroc_low=0.5, auroc_high=0.7, **known)],
        2: [made_result(cell, "failed")],
        1: [made_result(cell, "ok", auroc=0.8, auroc_low=0.7, auroc_high=0.9, **known)],
    }
    assert curve(results) == Curve((1, 4), (0.8, 0.6), (0.7, 0.5), (0.9, 0.7))
    assert curve(results, "ovl_scores").values == (0.3, 0.3)
    assert np.isnan(curve(results, "ovl_scores").low).all()
    assert curve({}) == Curve((), (), (), ())


def test_bands_include_the_spread_between_seeds():
    seeds = [
        scored_result(
            Cell("m", "i", "o", "s", 0, 1, seed), rng.normal(size=80), rng.normal(shift, 1, 80)
        )
        for seed, shift in enumerate((0.4, 1.0, 1.6))
    ]
    found = curve({0: seeds})
    assert found.values == (pytest.approx(np.mean([one.metrics.auroc for one in seeds])),)
    expected = estimate(seeds)
    assert (found.low, found.high) == ((expected.low,), (expected.high,))
    alone = curve({0: seeds[:1]})
    assert found.high[0] - found.low[0] > 1.5 * (alone.high[0] - alone.low[0])
    lacking = curve({0: [*seeds[:2], made_result(seeds[2].cell, "failed")]})
    assert lacking.values == (pytest.approx(np.mean([one.metrics.auroc for one in seeds[:2]])),)


def test_samples_stand_in_reading_order():
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1) * np.ones((1, 1, 2, 3), np.uint8)
    square = tiled(images, levels=4)
    assert square.shape == (5, 7, 3)
    assert square[[0, 0, 3, 3], [0, 4, 0, 4], 0].tolist() == [0, 85, 170, 255]
    assert (square[2] == 255).all()
    assert (square[:, 3] == 255).all()
    colour = rng.integers(0, 256, (4, 3, 2, 2), dtype=np.uint8)
    assert np.array_equal(tiled(colour, 256)[:2, 3:5], colour[1].transpose(1, 2, 0))


def test_chosen_epochs_are_spread_and_hold_both_ends():
    paper = [1, 10, 20, 30, 40, 50, 70, 80, 100, 150, 250]
    assert chosen(paper, 4) == [1, 30, 80, 250]
    assert chosen(paper, 3) == [1, 50, 250]
    assert chosen([0, 1, 4], 4) == [0, 1, 4]
    assert chosen(paper, 1) == [250]
    assert chosen([], 3) == []
