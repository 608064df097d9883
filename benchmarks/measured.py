"""Coverage of intervals and size of tests in simulations; see `coverage.py`.

Each function draws R runs and returns shares of runs. The standard error of a share p is
sqrt(p (1 - p) / R). Every interval has 95 %, and every test the level .05.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks.simulated import (
    FAMILIES,
    SHAPES,
    alike,
    evidence,
    fitted_columns,
    fitted_runs,
    normal_scores,
    results,
)
from harness.metrics.estimates import limits
from harness.metrics.evidence import variances
from harness.metrics.intervals import LEVEL, Z_95
from harness.metrics.paired import difference_limits, p_values
from harness.report.epochs import epoch_tables
from harness.report.significance import marks


class Covered(NamedTuple):
    """Coverage of the true value by intervals.

    Attributes:
        share: Share of runs in which the interval covers.
        length: Mean length of the intervals.
        plain: The share for a plainer interval, named by the function that measures.
        plain_length: Mean length of the plainer interval.
    """

    share: float
    length: float
    plain: float
    plain_length: float


def covered(truth, found, plain):
    """Compare intervals, and plainer intervals, with the true value."""
    numbers = []
    for low, high in (found, plain):
        numbers += [
            float(np.mean((low <= truth + 1e-12) & (truth - 1e-12 <= high))),
            float(np.mean(high - low)),
        ]
    return Covered(*numbers)


def around(value, se):
    """Return the interval value ∓ 1.96 se."""
    return value - Z_95 * se, value + Z_95 * se


def of_examples(rng, shape, sizes, area, runs):
    """Measure the interval of one AUROC for other examples; plain: A ∓ 1.96 DeLong errors."""
    ins, outs, truth = SHAPES[shape](rng, runs, sizes, area)
    of = evidence(ins, outs)
    delong = np.sqrt(variances(of).examples)
    return covered(truth, limits(of), around(of.aurocs[:, 0], delong))


class NearOne(NamedTuple):
    """The interval of one AUROC near 1, beside DeLong's, A ∓ 1.96 DeLong errors.

    Attributes:
        share: Coverage.
        stretched: Coverage of A ∓ 1.6 * 1.96 DeLong errors.
        ratio: Mean length, divided by the mean length of DeLong's.
        least: The ratio without the length of any interval but those of perfect separations, and
            these as short as possible. Data with a perfect separation are the same for all A. To
            cover A, when a share 2 (1 - A) of the OOD groups is like ID groups, in .975 of runs,
            their interval must begin below the A at which .025 of runs lack such a group.
    """

    share: float
    stretched: float
    ratio: float
    least: float


def near_one(rng, shape, sizes, area, runs):
    """Measure the interval of one AUROC near 1."""
    ins, outs, truth = SHAPES[shape](rng, runs, sizes, area)
    of = evidence(ins, outs)
    areas, delong = of.aurocs[:, 0], np.sqrt(variances(of).examples)
    found = covered(truth, limits(of), around(areas, 1.6 * delong))
    plain_length = found.plain_length / 1.6
    of_perfect = (areas == 1).mean() * (1 - 0.025 ** (1 / sizes[1])) / 2
    ratios = found.length / plain_length, of_perfect / plain_length
    return NearOne(found.share, found.plain, *map(float, ratios))


def of_fit(rng, name, kind, area, n_fit, sizes, runs):
    """Measure the interval of one AUROC for other examples and another fit.

    The true value is the mean AUROC over the runs, each with examples and a fit of its own. Plain:
    the interval for other examples only.
    """
    of, _ = fitted_runs(rng, name, kind, area, n_fit, sizes, runs)
    truth = float(of.aurocs.mean())
    return covered(truth, limits(of), limits(without_fit(of)))


def without_fit(of):
    """Return the evidence as if nothing was fitted."""
    return replace(of, refits=np.zeros_like(of.refits))


def of_difference(rng, areas, sizes, correlation, runs):
    """Measure the interval of a difference for other examples; plain: d ∓ 1.96 DeLong errors."""
    ins, outs = normal_scores(rng, alike(areas, runs), sizes, correlation)
    a, b = (evidence(ins[:, [k]], outs[:, [k]]) for k in (0, 1))
    delong = np.sqrt(variances(a - b).examples)
    found = difference_limits(a, b, "same")
    return covered(areas[0] - areas[1], found, around((a - b).aurocs[:, 0], delong))


def of_fitted_difference(rng, kind, area, n_fit, sizes, runs):
    """Measure the interval of the difference between two scorers that share fit groups.

    The scorers are `gradient-gaussian` on all layers, and on a third of them. Plain: the interval
    for other examples only.
    """
    name = "gradient-gaussian"
    assert FAMILIES[name].rival
    a, b = fitted_runs(rng, name, kind, area, n_fit, sizes, runs)
    truth = float((a - b).aurocs.mean())
    found, plain = (
        difference_limits(*pair, "same") for pair in ((a, b), (without_fit(a), without_fit(b)))
    )
    return covered(truth, found, plain)


def trained(rng, area, spread, shape, correlation=0.0):
    """Draw the AUROCs of trainings, beta-distributed with mean `area` and the given spread.

    Arguments:
        rng: NumPy generator.
        area: Mean AUROC over trainings.
        spread: Standard deviation between trainings.
        shape: (R, K, S).
        correlation: Of two scorers' effects (normal scores) in the same training.
    """
    shared = rng.normal(size=(shape[0], 1, shape[2]))
    effects = math.sqrt(correlation) * shared
    effects = effects + math.sqrt(1 - correlation) * rng.normal(size=shape)
    total = area * (1 - area) / spread**2 - 1
    drawn = stats.beta.ppf(stats.norm.cdf(effects), area * total, (1 - area) * total)
    return np.clip(drawn, 1e-9, 1 - 1e-9)


def of_trainings(rng, area, spread, trainings, sizes, correlation, runs):
    """Measure the interval of a mean AUROC over trainings; plain: mean ∓ 1.96 s / sqrt(S)."""
    areas = trained(rng, area, spread, (runs, 1, trainings))[:, 0]
    of = evidence(*normal_scores(rng, areas, sizes, correlation))
    between = np.sqrt(variances(of).training)
    return covered(area, limits(of), around(of.aurocs.mean(1), between))


def significant_trainings(rng, kind, areas, spreads, trainings, sizes, runs, *, correlation=0.5):
    """Return the share of runs in which two means over trainings differ significantly.

    Arguments:
        rng: NumPy generator.
        kind: "same" for two scorers on the same trainings, "separate" for two models.
        areas: The two true mean AUROCs.
        spreads: The two standard deviations between trainings.
        trainings: The two numbers of trainings.
        sizes: n and m.
        runs: R.
        correlation: Between all scores of the same group.
    """
    drawn = [
        trained(rng, area, spread, (runs, 1, count))[:, 0]
        for area, spread, count in zip(areas, spreads, trainings, strict=True)
    ]
    ins, outs = normal_scores(rng, np.concatenate(drawn, axis=1), sizes, correlation)
    first = trainings[0]
    a, b = evidence(ins[:, :first], outs[:, :first]), evidence(ins[:, first:], outs[:, first:])
    return float(np.mean([p <= LEVEL for p in p_values(a, b, kind)]))


class Marked(NamedTuple):
    """Outcome of marking columns.

    Attributes:
        false: Share of columns in which a scorer lacks a mark although it is as good as the best.
        found: Share of the worse scorers that are marked as worse; NaN if all are equal.
    """

    false: float
    found: float


def of_marks(rng, areas, sizes, correlation, runs):
    """Measure the marks of columns with scorers of these true AUROCs."""
    return marked(areas, *normal_scores(rng, alike(areas, runs), sizes, correlation))


def of_fitted_marks(rng, kind, areas, n_fit, sizes, correlation, runs):
    """Measure the marks of columns with scorers that fit something; see `fitted_columns`."""
    return marked(areas, *fitted_columns(rng, kind, areas, n_fit, sizes, correlation, runs))


def marked(areas, ins, outs, refits=None):
    """Mark the columns of scorers with these true AUROCs, a column for each run."""
    areas = np.asarray(areas)
    cells = [[("m", "i", "o", f"s{k}", 1, 1, 0) for k in range(len(areas))]] * len(ins)
    rows = results(ins, outs, cells, refits)
    columns = [[{0: result} for result in row] for row in rows]
    numbers = [[{0: result.metrics.auroc} for result in row] for row in rows]
    found = np.array(marks(columns, numbers))
    is_worse = found == "worse"
    best = np.array([areas[row == "best"].min() for row in found])
    false = (is_worse & (areas >= best[:, None])).any(axis=1)
    is_behind = areas < areas.max()
    share = is_worse[:, is_behind].mean() if is_behind.any() else math.nan
    return Marked(float(false.mean()), float(share))


class Early(NamedTuple):
    """Outcome of asking how early is enough.

    Attributes:
        wrong: Share of runs in which rule `any` names an epoch worse than the best by the margin.
        wrong_last: Share in which rule `last` names an epoch worse than the last by the margin.
        early: Share in which rule `any` names an epoch before the last.
        early_last: The same for rule `last`.
    """

    wrong: float
    wrong_last: float
    early: float
    early_last: float


def of_epochs(rng, areas, sizes, correlation, margin, runs):
    """Measure the answers to "how early is enough" for epochs with these true AUROCs."""
    areas = np.asarray(areas)
    places = range(len(areas))
    cells = [[("m", "i", f"o{run}", "s", e, 1, 0) for e in places] for run in range(runs)]
    rows = results(*normal_scores(rng, alike(areas, runs), sizes, correlation), cells)
    (table,) = epoch_tables(list(chain(*rows)), margin)
    wrong = dict.fromkeys(("any", "last"), 0)
    early = dict.fromkeys(wrong, 0)
    for row in table.rows:
        for rule, best in (("any", areas.max()), ("last", areas[-1])):
            epoch = next(answer.epoch for answer in row.answers if answer.rule == rule)
            if epoch is not None:
                wrong[rule] += bool(areas[epoch] < best - margin)
                early[rule] += epoch < len(areas) - 1
    return Early(*(count / runs for count in (*wrong.values(), *early.values())))


def curves(epochs, top, margin):
    """Return AUROCs along epochs, with as many as possible just worse than the margin."""
    below, half = top - margin - 1e-9, max(1, epochs // 2)
    found = {
        "flat": [top] * epochs,
        "first just worse": [below] + [top] * (epochs - 1),
        "first half just worse": [below] * half + [top] * (epochs - half),
    }
    if epochs > 2:
        after = epochs - half - 1
        found["peak, others just worse"] = [below] * half + [top] + [below] * after
        found["last best, others just worse"] = [below] * (epochs - 1) + [top]
        rise = np.minimum(1.0, np.arange(epochs) / half)
        found["rising to the middle"] = list(top - 4 * margin * (1 - rise))
    return found


def of_images(rng, area, correlation, images, runs):
    """Measure the interval by image for copies as OOD groups; plain: as if they were others.

    Arguments:
        rng: NumPy generator.
        area: True AUROC.
        correlation: Between the two scores of an image.
        images: Number of images, each an ID group whose copy is an OOD group.
        runs: R.
    """
    ins = rng.normal(size=(runs, 1, images))
    own = rng.normal(size=ins.shape)
    shift = stats.norm.ppf(area) * math.sqrt(2)
    outs = shift + correlation * ins + math.sqrt(1 - correlation**2) * own
    by_image, other = evidence(ins, outs, is_by_image=True), evidence(ins, outs)
    return covered(area, limits(by_image), limits(other))
