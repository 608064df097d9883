"""Made-up scores whose true AUROCs are known, for `coverage.py` and `tests/statistics`.

Shapes of arrays: R runs, K scorers or epochs, S trainings, n ID groups, m OOD groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from statistics import NormalDist
from typing import Any

import numpy as np

from harness.metrics.evidence import Evidence, evidence_of_scores, variances
from harness.metrics.placements import win_counts_by_row
from harness.metrics.roc import auroc
from harness.results import Cell, Metrics, Result
from harness.scoring.fits import Refits, fit
from plugins.scorers.dose import DoSE
from plugins.scorers.gradient_gaussian import GradientGaussian
from plugins.scorers.gradient_svm import GradientSVM
from plugins.scorers.typicality import Typicality

NORMAL = NormalDist()


def normal_scores(rng, areas, sizes, correlation=0.0, spread=1.0):
    """Draw normal scores with given AUROCs; scorers on the same groups are correlated.

    Arguments:
        rng: NumPy generator.
        areas: True AUROCs, (R, K) or (K,) for shape (1, K).
        sizes: n and m.
        correlation: Correlation between two scorers' scores of the same group.
        spread: Standard deviation of OOD scores; ID scores have 1.

    Returns:
        Scores, (R, K, n) and (R, K, m).
    """
    areas = np.atleast_2d(areas)
    shifts = np.vectorize(NORMAL.inv_cdf)(areas) * math.sqrt(1 + spread**2)

    def side(groups):
        shared = rng.normal(size=(len(areas), 1, groups))
        own = rng.normal(size=(*areas.shape, groups))
        return math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own

    return side(sizes[0]), spread * side(sizes[1]) + shifts[..., None]


def alike(areas, runs):
    """Repeat the AUROCs of K scorers for each run, (R, K)."""
    return np.broadcast_to(areas, (runs, len(areas)))


def evidence(ins, outs, *, is_by_image=False):
    """Collect the evidence of R mean AUROCs over S trainings from scores (R, S, n), (R, S, m)."""
    rows = (side.reshape(-1, side.shape[-1]) for side in (ins, outs))
    wins_out, wins_in = win_counts_by_row(*rows)
    return Evidence(
        wins_out.reshape(outs.shape),
        wins_in.reshape(ins.shape),
        np.zeros((*ins.shape[:2], 1)),
        is_by_image,
    )


# --- shapes of scores: functions of a generator, R, sizes and A, which return scores (R, 1, n) and
# (R, 1, m), and the true AUROC


def normal_shape(spread):
    """Return the shape with normal scores; OOD scores have the given spread."""

    def draw(rng, runs, sizes, area):
        return *normal_scores(rng, alike([area], runs), sizes, spread=spread), area

    return draw


def partly_alike(rng, runs, sizes, area):
    """A share 2 (1 - A) of the OOD groups looks like ID groups; the others are far away."""
    ins = rng.normal(size=(runs, 1, sizes[0]))
    is_alike = rng.uniform(size=(runs, 1, sizes[1])) < 2 * (1 - area)
    return ins, rng.normal(size=is_alike.shape) + np.where(is_alike, 0.0, 20.0), area


def outliers(rng, runs, sizes, area):
    """A share 1 - A of the OOD groups is below all ID groups; the others are above all."""
    is_below = rng.uniform(size=(runs, 1, sizes[1])) < 1 - area
    outs = rng.uniform(size=is_below.shape) + np.where(is_below, -2.0, 2.0)
    return rng.uniform(size=(runs, 1, sizes[0])), outs, area


def coarse(rng, runs, sizes, area):
    """Normal scores of both sides, rounded to multiples of 0.5: many ties."""
    ins, outs = normal_scores(rng, alike([area], runs), sizes)
    steps = np.arange(-20, 21) / 2
    shift = NORMAL.inv_cdf(area) * math.sqrt(2)
    below = [[NORMAL.cdf(x - 0.25 - a) for x in (*steps, 11.0)] for a in (0.0, shift)]
    of_in, of_out = np.diff(below)
    truth = float(of_out @ (np.cumsum(of_in) - of_in / 2))
    return np.round(2 * ins) / 2, np.round(2 * outs) / 2, truth


SHAPES: dict[str, Callable[..., Any]] = {
    "normal, OOD spread 1": normal_shape(1.0),
    "normal, OOD spread 2": normal_shape(2.0),
    "normal, OOD spread 0.5": normal_shape(0.5),
    "normal, rounded": coarse,
    "2 (1 - A) of OOD like ID": partly_alike,
    "1 - A of OOD below all ID": outliers,
}


# --- scorers with a fit


@dataclass(frozen=True)
class Family:
    """A scorer with a fit, and made-up statistics for it.

    Attributes:
        build: Makes the unfitted scorer.
        draw: Makes the statistics of groups, from a generator, the number of groups, the distance
            from the fit groups and the spread, which is 1 for the fit groups.
        rival: Makes another scorer that reads the same statistics.
    """

    name: str
    build: Callable[[], Any]
    draw: Callable[..., dict[str, np.ndarray]]
    rival: Callable[[], Any] | None = None


LAYERS = [f"{'first' if place % 3 else 'second'}.{place}" for place in range(60)]


def log_probs(rng, groups, distance, spread):
    """Make log-probabilities, (groups, 1, 1)."""
    return {"log_prob": distance + spread * rng.normal(size=(groups, 1, 1))}


def gradients(layers):
    """Return a maker of squared gradient norms of correlated layers."""
    load = np.sqrt(np.linspace(0.1, 0.9, layers))
    direction = np.where(np.arange(layers) % 3, 0.4, 1.0)

    def draw(rng, groups, distance, spread):
        shared, own = rng.normal(size=(groups, 1)), rng.normal(size=(groups, layers))
        logs = distance * direction + spread * (load * shared + np.sqrt(1 - load**2) * own)
        return {"layer_gradient_sq_norms": np.exp(0.3 * logs)}

    return draw


def terms(rng, groups, distance, spread):
    """Make two correlated terms of a log-probability, one of them skewed, (groups, 1, 2)."""
    shared = rng.normal(size=(groups, 1))
    values = math.sqrt(0.5) * (shared + rng.normal(size=(groups, 2)))
    values[:, 1] = np.exp(0.5 * values[:, 1]) - math.exp(0.125)
    return {"log_prob_terms": (np.array([1.0, 0.5]) * distance + spread * values)[:, None]}


def layers_named(**options):
    """Build `gradient-gaussian` on named layers."""
    scorer = GradientGaussian(**options)
    scorer.name_features({"layer_gradient_sq_norms": LAYERS})
    return scorer


FAMILIES = {
    family.name: family
    for family in (
        Family("typicality", Typicality, log_probs),
        Family(
            "gradient-gaussian",
            layers_named,
            gradients(len(LAYERS)),
            rival=lambda: layers_named(layers=("second.*",)),
        ),
        Family("dose (KDE)", lambda: DoSE(terms="levels"), terms),
        Family("gradient-svm", GradientSVM, gradients(20)),
    )
}

ONE_SIDED, TWO_SIDED = "one-sided", "two-sided"
NARROW = 0.6
"""Spread of OOD statistics that are shifted to one side."""


def place_of(kind, strength):
    """Return distance and spread of OOD statistics, shifted or spread by `strength`."""
    return (strength, NARROW) if kind == ONE_SIDED else (0.0, strength)


@lru_cache
def strength_for(name, kind, area, groups=1000):
    """Find the strength at which a scorer has about the AUROC, by bisection with many groups."""
    family, scorer = FAMILIES[name], FAMILIES[name].build()
    scorer.fit(family.draw(np.random.default_rng(1), groups, 0.0, 1.0))
    ins = scorer.score(family.draw(np.random.default_rng(2), groups, 0.0, 1.0))
    low, high = 0.01, 400.0
    for _ in range(24):
        middle = math.sqrt(low * high)
        outs = family.draw(np.random.default_rng(3), groups, *place_of(kind, middle))
        is_short = auroc(ins, scorer.score(outs)) < area
        low, high = (middle, high) if is_short else (low, middle)
    return high


def fitted_runs(rng, name, kind, area, n_fit, sizes, runs):
    """Fit, refit and score a scorer, and its rival if it has one, in each run.

    Returns:
        The evidence of R AUROCs for the scorer, and for the rival (None without one).
    """
    family, place = FAMILIES[name], place_of(kind, strength_for(name, kind, area))
    builds = [family.build] + ([family.rival] if family.rival else [])
    found = [[] for _ in builds]
    for _ in range(runs):
        read = family.draw(rng, n_fit, 0.0, 1.0)
        ins, outs = family.draw(rng, sizes[0], 0.0, 1.0), family.draw(rng, sizes[1], *place)
        for build, of in zip(builds, found, strict=True):
            of.append(evidence_of_scores(*fitted(build, read, ins, outs)))
    whole = [stacked(of) for of in found]
    return whole[0], whole[1] if family.rival else None


def fitted(build, read, ins, outs):
    """Fit, refit and score a scorer; return ID scores, OOD scores and AUROCs of the refits."""
    scorer = build()
    assert fit(scorer, read) == len(next(iter(read.values())))
    return scorer.score(ins), scorer.score(outs), Refits(build, read, ins).aurocs(outs)


def fitted_columns(rng, kind, areas, n_fit, sizes, correlation, runs):
    """Fit, refit and score K typicality scorers, each on log-probabilities of its own.

    Arguments:
        rng: NumPy generator.
        kind: Shift of the OOD statistics.
        areas: About the AUROCs of the scorers.
        n_fit: Number of fit groups.
        sizes: n and m.
        correlation: Between the log-probabilities of a group, with the same for all pairs.
        runs: R.

    Returns:
        Scores, (R, K, n) and (R, K, m), and AUROCs of the refits, (R, K, g).
    """
    places = [place_of(kind, strength_for("typicality", kind, area)) for area in areas]
    distance, spread = np.transpose(places)

    def draw(groups, distance, spread):
        shared, own = rng.normal(size=(groups, 1)), rng.normal(size=(groups, len(areas)))
        mixed = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
        return [{"log_prob": column[:, None, None]} for column in (distance + spread * mixed).T]

    found = []
    for _ in range(runs):
        sides = draw(n_fit, 0.0, 1.0), draw(sizes[0], 0.0, 1.0), draw(sizes[1], distance, spread)
        found.append([fitted(Typicality, *each) for each in zip(*sides, strict=True)])
    ins, outs, refits = (np.array([[s[i] for s in run] for run in found]) for i in range(3))
    return ins, outs, refits


def stacked(parts: Sequence[Evidence]) -> Evidence:
    """Join the evidence of single AUROCs along the first axis."""
    names = ("wins_out", "wins_in", "refits")
    return Evidence(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


# --- results, for the code of the report


def results(ins, outs, cells, refits=None):
    """Make results from scores (R, K, n) and (R, K, m), and R rows of K cells.

    `refits` are the AUROCs of refits, (R, K, g); None if nothing is fitted.
    """
    of = evidence(ins.reshape(-1, 1, ins.shape[-1]), outs.reshape(-1, 1, outs.shape[-1]))
    if refits is not None:
        of = replace(of, refits=refits.reshape(-1, 1, refits.shape[-1]))
    areas, parts = of.aurocs[:, 0], variances(of)
    numbers = dict.fromkeys(Metrics._fields, 0.0)
    numbers |= {"n_in": ins.shape[-1], "n_out": outs.shape[-1], "n_fit": int(refits is not None)}
    found = []
    for place, cell in enumerate(chain(*cells)):
        run, row = divmod(place, ins.shape[1])
        examples, of_fit = parts.all_examples[place], parts.all_fit[place]
        errors = dict(
            auroc_se=math.sqrt(examples + of_fit),
            auroc_se_examples=math.sqrt(examples),
            auroc_se_fit=math.sqrt(of_fit),
        )
        metrics = Metrics(**numbers | {"auroc": areas[place]} | errors)
        scores = {"scores_in": ins[run, row], "scores_out": outs[run, row]}
        again = None if refits is None else refits[run, row]
        found.append(Result(Cell(*cell), "ok", metrics=metrics, **scores, refits=again))
    count = ins.shape[1]
    return [found[at : at + count] for at in range(0, len(found), count)]
