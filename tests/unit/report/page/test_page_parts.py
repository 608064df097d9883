"""Histogram, ROC, atlas and extremes against slow, obvious ways."""

from __future__ import annotations

import base64
import io
import itertools

import numpy as np
import pytest
from PIL import Image

from harness.metrics import roc as metrics
from harness.report.page.atlas import atlas
from harness.report.page.build import embedded
from harness.report.page.distributions import BINS, histogram, roc, roc_points
from harness.report.page.examples import extreme_groups
from harness.report.page.layers import LayerBand, packed_band, unpacked_band
from harness.report.page.rows import packed_column, rounded
from tests.page_of import unpacked


def scores(n, m, ties=False, shift=1.0):
    rng = np.random.default_rng(n + m)
    sides = rng.normal(size=n), rng.normal(shift, size=m)
    return tuple(np.round(side, 1) for side in sides) if ties else sides


def under(x, y):
    """The area under straight lines between points."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 3), (60, 41), (700, 900)])
def test_roc_points_are_the_shares_at_each_threshold(n, m, ties):
    own, other = scores(n, m, ties)
    flagged_in, flagged_out = roc_points(own, other)
    thresholds = sorted({*own, *other}, reverse=True)
    assert flagged_in.tolist() == [0, *(sum(own >= t) for t in thresholds)]
    assert flagged_out.tolist() == [0, *(sum(other >= t) for t in thresholds)]
    area = under(flagged_in / n, flagged_out / m)
    assert area == pytest.approx(metrics.auroc(own, other), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("n", "m", "shift"), [(7, 3, 1), (60, 41, 8), (700, 900, 1), (900, 700, -2)]
)
def test_the_roc_of_the_page_is_close_and_marks_fpr95(n, m, shift, ties):
    own, other = scores(n, m, ties, shift)
    found = roc(own, other)
    kept = list(zip(found["in"], found["out"], strict=True))
    every = set(zip(*(side.tolist() for side in roc_points(own, other)), strict=True))
    assert len(kept) <= 90
    assert kept == sorted(set(kept))
    assert set(kept) <= every
    assert (kept[0], kept[-1]) == ((0, 0), (n, m))
    assert found["in"][found["at95"]] / n == metrics.fpr95(own, other)
    assert found["out"][found["at95"]] >= 0.95 * m
    assert found["out"][found["at95"] - 1] < 0.95 * m
    area = under(np.divide(found["in"], n), np.divide(found["out"], m))
    assert area == pytest.approx(metrics.auroc(own, other), abs=0.01)


def test_the_histogram_counts_both_sides_in_the_same_bins():
    own, other = scores(300, 200)
    found = histogram(own, other)
    low, high = min(own.min(), other.min()), max(own.max(), other.max())
    edges = np.linspace(low, high, BINS + 1)
    for side, values in (("in", own), ("out", other)):
        pairs = itertools.pairwise(edges)
        slow = [int(sum((values >= a) & (values < b))) for a, b in pairs]
        slow[-1] += int(sum(values == high))
        assert found[side] == slow
    assert (found["low"], found["high"], found["asinh"]) == (low, high, False)
    assert all(float(label.replace(",", "")) == pytest.approx(at) for at, label in found["ticks"])


def test_far_scores_do_not_squeeze_the_own_ones():
    own, other = scores(300, 200)
    found = histogram(own, 1e6 * np.abs(other))
    assert found["asinh"]
    assert sum(count > 0 for count in found["in"]) >= 4
    assert (sum(found["in"]), sum(found["out"])) == (300, 200)


def test_equal_scores_have_a_histogram_and_a_roc():
    same = np.ones(5)
    assert sum(histogram(same, same)["in"]) == 5
    assert roc(same, same) == {"in": [0, 5], "out": [0, 5], "at95": 1}


@pytest.mark.parametrize(("channels", "count"), [(1, 5), (3, 7)])
def test_an_atlas_has_each_image_at_its_place(channels, count):
    images = np.random.default_rng(0).integers(0, 16, (count, channels, 2, 4), dtype=np.uint8)
    sheet = atlas(images, 16)
    png = base64.b64decode(sheet["png"].removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    for number, image in enumerate(images):
        row, place = divmod(number, sheet["columns"])
        cut = pixels[2 * row : 2 * row + 2, 4 * place : 4 * place + 4].transpose(2, 0, 1)
        np.testing.assert_array_equal(cut, np.broadcast_to(image * 17, (3, 2, 4)))


def test_extreme_groups_go_inwards_and_ties_keep_their_order():
    found = np.array([3.0, 9, 1, 9, 2, 0, 5, 4])
    assert extreme_groups(found, 1, "most") == [1, 3, 6, 7, 0, 4]
    assert extreme_groups(found, 1, "least") == [5, 2, 4, 0, 7, 6]
    assert extreme_groups(found, 2, "most") == [1, 3, 6]
    assert extreme_groups(found, 5, "least") == [5]
    assert extreme_groups(found, 50, "least") == [5]


def test_a_band_is_packed_within_a_step_and_keeps_what_is_missing():
    rng = np.random.default_rng(0)
    rows = rng.normal(scale=30, size=(3, 50))
    rows[:, 7] = np.nan
    packed = packed_band(LayerBand(*rows))
    step = (np.nanmax(rows) - np.nanmin(rows)) / 65534
    np.testing.assert_allclose(unpacked_band(packed), rows, rtol=0, atol=0.51 * step)


@pytest.mark.parametrize("rows", [np.full((3, 2), 4.0), np.full((3, 2), np.nan)])
def test_a_flat_band_and_one_without_values(rows):
    np.testing.assert_array_equal(unpacked_band(packed_band(LayerBand(*rows))), rows)


def test_embedded_json_ends_no_element():
    text = embedded({"</script><!--&\u2028": "<"})
    assert text == '{"\\u003c/script\\u003e\\u003c!--\\u0026\\u2028":"\\u003c"}'


@pytest.mark.parametrize(
    ("column", "packed"),
    [
        ([0.5] * 3, {"all": 0.5}),
        ([0.5, None] * 10, {"of": [0.5, None], "at": [0, 1] * 10}),
        ([0.123457, None, -7.5], {"millionths": [123457, None, -7500000]}),
        ([3, 1, 2], [3, 1, 2]),
    ],
)
def test_columns_are_packed_and_come_back(column, packed):
    assert packed_column(column) == packed
    assert unpacked(packed, len(column)) == column


def test_numbers_are_rounded_or_none():
    assert rounded(0.12345678) == 0.123457
    assert rounded(None) is None
