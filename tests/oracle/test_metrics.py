"""The metrics against their literal definitions, scikit-learn, scipy and simulation."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.errors import ScoreError
from harness.metrics import paired as module
from harness.metrics.evidence import evidence_of_scores, variances
from harness.metrics.multiple import holm
from harness.metrics.paired import compared, p_values_each
from harness.metrics.roc import aupr, auroc, fpr95, hanley_mcneil
from harness.results import Cell
from tests.made_results import estimated, scored_result

ties = st.integers(-4, 4).map(float)
nats = st.integers(-4, 4).map(lambda k: -1e4 + k * 2e-12 * 1e4)  # last digits of a log-likelihood
sides = st.one_of(
    st.tuples(st.lists(values, min_size=2, max_size=30), st.lists(values, min_size=2, max_size=30))
    for values in (ties, nats, st.floats(-1e300, 1e300))
)


@st.composite
def paired(draw):
    n, m = draw(st.integers(2, 20)), draw(st.integers(2, 20))
    return [np.array(draw(st.lists(ties, min_size=size, max_size=size))) for size in (n, m, n, m)]


def arrays(pair):
    return np.array(pair[0]), np.array(pair[1])


def beats(out, own):
    return 1.0 if out > own else 0.5 if out == own else 0.0


def components(scores_in, scores_out):
    """The structural components by their definition: V (m,), W (n,)."""
    v = [sum(beats(o, i) for i in scores_in) / len(scores_in) for o in scores_out]
    w = [sum(beats(o, i) for o in scores_out) / len(scores_out) for i in scores_in]
    return np.array(v), np.array(w)


def covariance(x, y):
    return sum((x - x.mean()) * (y - y.mean())) / (len(x) - 1)


@given(sides)
def test_auroc_is_the_share_of_pairs_in_order(pair):
    scores_in, scores_out = arrays(pair)
    pairs = [beats(o, i) for o, i in product(scores_out, scores_in)]
    assert auroc(scores_in, scores_out) == pytest.approx(np.mean(pairs), abs=1e-12)
    labels = np.r_[np.zeros(scores_in.size), np.ones(scores_out.size)]
    theirs = roc_auc_score(labels, np.r_[scores_in, scores_out])
    assert auroc(scores_in, scores_out) == pytest.approx(theirs, abs=1e-12)


@given(sides)
def test_delong_variance_is_that_of_the_structural_components(pair):
    scores_in, scores_out = arrays(pair)
    v, w = components(scores_in, scores_out)
    variance = covariance(v, v) / v.size + covariance(w, w) / w.size
    estimate = estimated(scores_in, scores_out)
    assert estimate.auroc == auroc(scores_in, scores_out)
    assert estimate.se**2 == pytest.approx(variance, abs=1e-12)


def se_of_difference(a_in, a_out, b_in, b_out):
    evidence = evidence_of_scores(a_in, a_out) - evidence_of_scores(b_in, b_out)
    return math.sqrt(variances(evidence).examples[0])


def difference_of(a_in, a_out, b_in, b_out):
    """The comparison of two scorers without a fit, in one training."""
    cell = Cell("m", "i", "o", "s", 1, 1, 0)
    return compared([scored_result(cell, a_in, a_out)], [scored_result(cell, b_in, b_out)])


@given(paired())
def test_variance_of_a_difference_includes_the_covariance(scores):
    a_in, a_out, b_in, b_out = scores
    (va, wa), (vb, wb) = components(a_in, a_out), components(b_in, b_out)
    covariances = covariance(va, vb) / va.size + covariance(wa, wb) / wa.size
    variances = estimated(a_in, a_out).se ** 2 + estimated(b_in, b_out).se ** 2
    se = se_of_difference(*scores)
    assert se**2 == pytest.approx(variances - 2 * covariances, abs=1e-12)
    found = difference_of(*scores)
    assert found.difference == pytest.approx(auroc(a_in, a_out) - auroc(b_in, b_out), abs=1e-12)
    groups = min(a_in.size, a_out.size)
    if groups < 10:
        assert found.p_value is None
    elif se > 1e-9 and found.difference:
        p = 2 * stats.t.sf(abs(found.difference) / se, groups - 1)
        assert found.p_value == pytest.approx(max(0.001, p), rel=1e-4)


@pytest.mark.parametrize("decimals", [0, 1, 15])
@pytest.mark.parametrize("sizes", [[(12, 13)], [(20, 7), (40, 31)], [(400, 131), (2, 3)]])
def test_many_tests_at_once_are_those_one_by_one(sizes, decimals, monkeypatch):
    rng = np.random.default_rng(decimals)
    cell = Cell("m", "i", "o", "s", 1, 1, 0)

    def result(n, m):
        sides = rng.normal(0, 1, n), rng.normal(0.5, 1, m)
        return scored_result(cell, *(np.round(side, decimals) for side in sides))

    groups = [[[result(*size)] for _ in range(5)] for size in sizes]
    pairs = [(group[a], group[b]) for a, b in permutations(range(5), 2) for group in groups]
    expected = [compared(*pair).p_value for pair in pairs]
    assert p_values_each(pairs) == expected
    monkeypatch.setattr(module, "AT_ONCE", 5 * sum(sizes[0]))
    assert p_values_each(pairs) == expected
    assert p_values_each([]) == []


@given(sides)
def test_aupr_is_that_of_scikit_learn(pair):
    scores_in, scores_out = arrays(pair)
    labels = np.r_[np.zeros(scores_in.size), np.ones(scores_out.size)]
    theirs = average_precision_score(labels, np.r_[scores_in, scores_out])
    assert aupr(scores_in, scores_out) == pytest.approx(theirs, abs=1e-12)


@given(sides)
def test_fpr95_is_that_of_a_loop_over_thresholds(pair):
    scores_in, scores_out = arrays(pair)
    for threshold in sorted(scores_out, reverse=True):
        caught = sum(scores_out >= threshold)
        if 100 * caught >= 95 * scores_out.size:
            break
    assert fpr95(scores_in, scores_out) == sum(scores_in >= threshold) / scores_in.size


def test_fpr95_needs_nineteen_of_twenty():
    scores_in = np.arange(20.0)
    assert fpr95(scores_in, np.r_[-1.0, np.full(19, 10.0)]) == 0.5
    assert fpr95(scores_in, np.r_[-1.0, -1.0, np.full(18, 10.0)]) == 1.0
    assert fpr95(scores_in, np.r_[-1.0, np.full(18, 10.0)]) == 1.0  # 18 of 19 are 94.7 %


def test_delong_agrees_with_the_bootstrap():
    # 4000 bootstrap samples give a standard error to about 1.1 % (1 / sqrt(2 * 4000)); they divide
    # by the size of a side, DeLong by size - 1: another 0.3 %. So 5 % is about four sigma
    rng = np.random.default_rng(0)
    scores_in = np.round(rng.normal(size=300), 1)
    scores_out = np.round(rng.normal(0.9, 1.5, size=200), 1)
    areas = [auroc(rng.choice(scores_in, 300), rng.choice(scores_out, 200)) for _ in range(4000)]
    assert estimated(scores_in, scores_out).se == pytest.approx(np.std(areas), rel=0.05)


def test_difference_agrees_with_the_paired_bootstrap():
    rng = np.random.default_rng(1)
    in_, out = rng.normal(size=(2, 200)), rng.normal(1.0, size=(2, 200))
    in_[1] += in_[0]
    out[1] += out[0]

    def area(k, i, j):
        return auroc(in_[k][i], out[k][j])

    draws = rng.integers(200, size=(3000, 2, 200))
    differences = [area(0, i, j) - area(1, i, j) for i, j in draws]
    se = se_of_difference(in_[0], out[0], in_[1], out[1])
    assert se == pytest.approx(np.std(differences), rel=0.06)


def test_difference_rejects_a_true_null_at_its_level():
    rng = np.random.default_rng(3)
    rejected = 0
    for _ in range(1000):
        common_in, common_out = rng.normal(size=100), rng.normal(1.0, size=100)
        noise_in, noise_out = rng.normal(size=(2, 100)), rng.normal(size=(2, 100))
        a, b = zip(common_in + noise_in, common_out + noise_out, strict=True)
        rejected += difference_of(*a, *b).p_value < 0.05
    assert 30 <= rejected <= 71


def test_difference_without_variance():
    low, high, flat = np.zeros(30), np.ones(30), np.zeros(30)
    assert difference_of(low, high, low, high).p_value == 1.0
    assert difference_of(low, high, low, 5 * high).p_value == 1.0
    assert difference_of(low, high, flat, flat).p_value == 0.0
    assert difference_of(flat, flat, low, high).difference == -0.5


def test_nats_scale_scores_keep_their_order():
    # ±1e4 nats: any squashing (sigmoid, softmax, float32) makes these equal
    steps = np.arange(50) * 1e-9
    for level in (-1e4, 1e4):
        assert auroc(level + steps, level + steps + 5e-10) == pytest.approx(0.51, abs=1e-12)
        assert estimated(level + steps, level + 1e-7 + steps).auroc == 1.0
        assert fpr95(level + steps, level + 1e-7 + steps) == 0.0
        assert aupr(level + steps, level + 1e-7 + steps) == 1.0


@pytest.mark.parametrize("metric", [auroc, estimated, aupr, fpr95])
@pytest.mark.parametrize(
    ("scores_in", "scores_out", "message"),
    [
        ([], [1.0, 2.0], "there are no ID scores"),
        ([1.0, 2.0], [], "there are no OOD scores"),
        ([], [], "there are no ID scores; there are no OOD scores"),
        (
            [0.0, math.nan, math.inf],
            [1.0, 2.0],
            "2 of 3 ID scores are not finite: the first is nan at index 1",
        ),
        (
            [0.0, math.nan],
            [1.0, 2.0, -math.inf],
            "1 of 2 ID scores is not finite: the first is nan at index 1; "
            "1 of 3 OOD scores is not finite: the first is -inf at index 2",
        ),
        (
            [[0.0], [1.0]],
            [1.0, 2.0],
            "ID scores have shape (2, 1), not one number per group",
        ),
    ],
)
def test_unusable_scores_are_named(metric, scores_in, scores_out, message):
    with pytest.raises(ScoreError) as raised:
        metric(np.array(scores_in), np.array(scores_out))
    assert str(raised.value) == message


def test_a_single_score_has_an_auroc_and_no_standard_error():
    assert auroc(np.array([1.0]), np.array([2.0])) == 1.0
    with pytest.raises(ScoreError) as raised:
        estimated(np.array([1.0]), np.array([2.0, 3.0]))
    assert str(raised.value) == "1 ID score has no standard error: at least 2 are needed"


def test_a_difference_needs_the_same_groups():
    two, three = np.arange(2.0), np.arange(3.0)
    assert difference_of(two, three, three, three) is None


def test_holm_by_its_steps():
    assert holm([]) == []
    assert holm([0.04]) == [0.04]
    # ascending: 4 × 0.01, 3 × 0.02, 2 × 0.03 (not below the one before), 1 × 0.04 (nor this)
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_sequential_procedure_rejects(p_values):
    level, rejected = 0.05, set()
    for place in sorted(range(len(p_values)), key=p_values.__getitem__):
        if (len(p_values) - len(rejected)) * p_values[place] > level:
            break
        rejected.add(place)
    assert {i for i, p in enumerate(holm(p_values)) if p <= level} == rejected


def test_hanley_mcneil_of_their_example():
    """Area 0.893 of 58 normal and 51 abnormal cases: 0.032 in the paper."""
    assert hanley_mcneil(0.893, 58, 51) == pytest.approx(0.032, abs=6e-4)


@pytest.mark.parametrize(
    ("mean_out", "n_in", "n_out"), [(3.0, 40, 15), (0.5, 12, 30), (1.0, 9, 9)]
)
def test_hanley_mcneil_is_exact_for_exponential_scores(mean_out, n_in, n_out):
    """By simulation: 20,000 areas give their standard deviation to 0.5 % (1 / sqrt(40,000))."""
    draw = np.random.default_rng(0)
    scores_in = draw.exponential(1.0, (20_000, n_in, 1))
    scores_out = draw.exponential(mean_out, (20_000, 1, n_out))
    areas = (scores_out > scores_in).mean(axis=(1, 2))
    area = mean_out / (1 + mean_out)
    assert areas.mean() == pytest.approx(area, abs=0.005)
    assert hanley_mcneil(area, n_in, n_out) == pytest.approx(areas.std(), rel=0.02)


def test_hanley_mcneil_of_one_pair_is_that_of_a_coin():
    assert hanley_mcneil(0.3, 1, 1) == pytest.approx(math.sqrt(0.3 * 0.7))


@pytest.mark.parametrize("area", [0.0, 1.0])
def test_hanley_mcneil_knows_no_error_of_a_perfect_separation(area):
    assert hanley_mcneil(area, 1000, 1000) == 0.0
