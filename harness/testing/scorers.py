"""Conformance of scorers, on made-up statistics: no model, no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.contracts import HasFitInfo, HasScoreTerms, Scorer, Side
from harness.errors import ScoreError
from harness.registry.registry import Registry
from harness.testing.checks import Check, Fault, NotApplicable, check_not_fitted, run_checks
from harness.testing.fake_statistics import Layout, Lure, Statistics, base_name, copied, taken
from harness.testing.scorer_subject import FIT_GROUPS, GROUPS, ScorerUnderTest, differs
from harness.text import known_names

SIDES: tuple[Side, ...] = ("in", "out")
_LEAST_AUROC = 0.9


def check_scorer(
    build: Callable[[], Scorer],
    *,
    statistics: Mapping[str, Layout] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> list[Check]:
    """Run every check on a scorer.

    Arguments:
        build: Returns a new scorer with its options.
        statistics: For each input that is not a registered statistic with `fake_features`:
            `"example"` or `"group"`, and the number of columns. `"name@model"` is looked up under
            `"name"` too.
        expected_failures: Check names and why each fails; one that does not fail is a failure.
        registry: Where statistics are looked up; by default, among the installed plugins.
    """
    subject = ScorerUnderTest(build, registry or Registry(), statistics or {})
    return run_checks(SCORER_CHECKS, subject, expected_failures or {})


def interface(subject: ScorerUnderTest) -> None:
    """It has `inputs`, a tuple of the names of statistics, `fit` and `score`."""
    scorer: Any = subject.build()
    missing = [name for name in ("inputs", "fit", "score") if not hasattr(scorer, name)]
    if missing:
        raise Fault(f"it lacks {', '.join(missing)}")
    inputs = scorer.inputs
    if not isinstance(inputs, tuple) or not inputs:
        hint = ": write (name,) with a comma" if isinstance(inputs, str) else ""
        raise Fault(f"`inputs` must be a tuple of statistic names, not {inputs!r}{hint}")
    if not all(isinstance(name, str) for name in inputs):
        raise Fault(f"`inputs` must hold names, not {inputs!r}")
    for name in inputs:
        if subject.fake(name) is None:
            known = {*subject.registry.names("statistics"), *subject.layouts}
            raise Fault(
                f"the kit does not know the statistic {name!r} "
                f"({known_names(base_name(name), known)}); "
                "if it is one of your own, give its layout, such as "
                f'check_scorer(..., statistics={{"{base_name(name)}": ("example", 3)}})'
            )


def shape_and_dtype(subject: ScorerUnderTest) -> None:
    """Scores are float64 of shape (M,), for groups of 1 and of 5, for one group and for many."""
    for size in (1, 5):
        scorer = subject.fitted(size=size)
        for groups in (1, GROUPS):
            scores = scorer.score(subject.data(seed=1, groups=groups, size=size))
            if not isinstance(scores, np.ndarray) or scores.dtype != np.float64:
                kind = getattr(scores, "dtype", type(scores).__name__)
                raise Fault(f"scores must be a float64 array, not {kind}")
            if scores.shape != (groups,):
                raise Fault(
                    f"{groups} groups of {size} examples have scores of shape {scores.shape}, "
                    f"not ({groups},): one score per group"
                )


def finite(subject: ScorerUnderTest) -> None:
    """Scores are finite, in and out of distribution, where a norm is zero as well."""
    for size in (1, 5):
        scorer = subject.fitted(size=size)
        for side in SIDES:
            data = subject.data(seed=1, side=side, size=size)
            _all_finite(scorer.score(data), f"{side}-distribution groups of {size}")
        _all_finite(scorer.score(_with_zeros(data)), "groups with a norm of zero")


def not_fitted(subject: ScorerUnderTest) -> None:
    """Scores before `fit` are a NotFittedError, even when another scorer was fitted."""
    data = subject.data(seed=1)
    subject.fitted()
    check_not_fitted("score", lambda: subject.build().score(data))


def fit_returns_self(subject: ScorerUnderTest) -> None:
    """`fit` returns the scorer itself."""
    scorer = subject.build()
    result = scorer.fit(subject.fit_data())
    if result is not scorer:
        raise Fault(f"fit must return self, not {type(result).__name__}")


def deterministic(subject: ScorerUnderTest) -> None:
    """Two scorers fitted to the same statistics give the same scores."""
    data = subject.data(seed=1)
    first, second = subject.fitted(), subject.fitted()
    expected = first.score(copied(data))
    message = "two scorers fitted to the same groups differ: draw at random with a fixed seed"
    _same(second.score(copied(data)), expected, message)


def refit(subject: ScorerUnderTest) -> None:
    """A second `fit` forgets the first: the scores are those of a new scorer."""
    data = subject.data(seed=1)
    expected = subject.settled(data)
    scorer = subject.fitted(seed=7)
    scorer.fit(subject.fit_data())
    message = "fit keeps something of an earlier fit: set every fitted attribute anew"
    _same(scorer.score(copied(data)), expected, message)


def inputs_untouched(subject: ScorerUnderTest) -> None:
    """`fit` and `score` leave the statistics as they were: other scorers read them as well."""
    for method in ("fit", "score"):
        scorer = subject.fitted()
        given = subject.fit_data(seed=3)
        kept = copied(given)
        getattr(scorer, method)(given)
        for name, values in kept.items():
            if name not in given or given[name].tobytes() != values.tobytes():
                raise Fault(f"{method} changes the statistic {name!r} in place: work on a copy")


def order(subject: ScorerUnderTest) -> None:
    """Groups in another order have the same scores in that order."""
    data = subject.data(seed=1)
    expected = subject.settled(data)
    permutation = np.random.default_rng(0).permutation(GROUPS)
    found = subject.scores(taken(data, permutation.tolist()))
    _same(found, expected[permutation], "scores depend on the order of the groups")


def per_group(subject: ScorerUnderTest) -> None:
    """The score of a group does not depend on the other groups scored with it.

    A scorer that standardises or ranks what it scores looks at the evaluation data; only the
    groups given to `fit` may set its scale.
    """
    data = taken(subject.data(seed=1), range(6))
    outside = subject.data(seed=2, side="out")
    expected = subject.settled(data)
    message = "the score of a group depends on the other groups scored with it: use `fit` only"
    alone = [subject.scores(taken(data, [index])) for index in range(6)]
    _same(np.concatenate(alone), expected, message)
    mixed = {name: np.concatenate([data[name], outside[name]]) for name in data}
    _same(subject.scores(mixed)[:6], expected, message)


def reads_only_inputs(subject: ScorerUnderTest) -> None:
    """`fit` and `score` read their `inputs` and nothing else.

    `fit` is given in-distribution groups; those under evaluation never reach it, unless it finds
    a way past its inputs. So the kit offers some: the statistics come in a mapping that has an
    answer, out-of-distribution data, for any name at all ("out", "log_prob@out"), and that shows
    such entries to a scorer that goes through all there is. Asking for one by its name fails, and
    so does a score that differs from that of a scorer given its inputs alone. What is remembered
    between calls and instances is the check `remembers_nothing`'s. A scorer that reads files
    behind the harness's back is beyond any check.
    """
    fit_data, data = subject.fit_data(), subject.data(seed=1)
    inputs = ", ".join(map(repr, fit_data))
    try:
        expected = subject.settled(data)
    except KeyError as error:
        name = error.args[0] if error.args else ""
        if not isinstance(name, str) or name in data:
            raise
        raise Fault(f"asks for {name!r}, but its inputs are {inputs}") from error
    lures = {
        "fit": Lure(fit_data, subject.data(seed=2, side="out", groups=FIT_GROUPS)),
        "score": Lure(data, subject.data(seed=2, side="out")),
    }
    for method, lure in lures.items():
        scorer = subject.build()
        try:
            scorer.fit(lure if method == "fit" else copied(fit_data))
            scores = scorer.score(lure if method == "score" else copied(data))
        except Exception as error:
            if not lure.asked and not lure.shown:
                raise
            scores = np.full(GROUPS, math.nan)
            found = f"raises {type(error).__name__} among statistics that are not its inputs"
        else:
            found = "uses statistics that are not its inputs"
        if lure.asked:
            names = ", ".join(sorted({repr(name) for name in lure.asked}))
            raise Fault(f"{method} asks for {names}, which is not among its inputs ({inputs})")
        _same(scores, expected, f"{method} {found} ({inputs}): read those by name")


def remembers_nothing(subject: ScorerUnderTest) -> None:
    """What was scored before, by this scorer or another, changes no later fit or score.

    A scorer, or its class, that keeps what it is asked to score carries evaluation data into the
    next score or fit.
    """
    data, outside = subject.data(seed=21), subject.data(seed=22, side="out")
    subject.settled(data)
    expected = subject.scores(data)

    scorer = subject.fitted()
    scorer.score(copied(outside))
    message = "a score depends on what was scored before it: `score` must keep nothing"
    _same(scorer.score(copied(data)), expected, message)
    subject.scores(outside)
    message = "a new scorer uses what another one scored: keep nothing on the class or module"
    _same(subject.scores(data), expected, message)
    scorer.score(copied(outside))
    scorer.fit(subject.fit_data())
    message = "fit uses what was scored before it: `score` must keep nothing"
    _same(scorer.score(copied(data)), expected, message)


def constant_columns(subject: ScorerUnderTest) -> str | None:
    """Columns that are constant on the fit groups, zero or not, give no NaN and no infinity.

    A layer whose gradient is zero at the start of a training is such a column. Where nothing at
    all varies, or there are two fit groups only, a ScoreError from `fit` is as good.
    """
    remark = None
    # Of two equal numbers the deviation is exactly zero; of sixty, rounding may hide a division.
    for groups in (FIT_GROUPS, 2):
        fit_data = subject.data(seed=0, groups=groups)
        for name, values in fit_data.items():
            values[..., 0] = -1000.0 if base_name(name) == "log_prob" else 0.0
            if values.shape[-1] > 2:
                values[..., 1] = 3.0
        scorer = subject.build()
        try:
            scorer.fit(copied(fit_data))
        except ScoreError as error:
            if groups > 2 and any(values.shape[-1] > 1 for values in fit_data.values()):
                raise
            remark = f"fit refuses {groups} groups with constant columns: {error}"
            continue
        _all_finite(scorer.score(copied(fit_data)), "groups with columns constant as in the fit")
        data = subject.data(seed=1)
        _all_finite(scorer.score(data), "groups with columns that were constant in the fit")
    return remark


def direction(subject: ScorerUnderTest) -> None:
    """Higher is more OOD.

    On groups of much lower log-probability and much larger gradient norms than those of the fit
    the AUROC is above 0.9, OOD being the positive class.
    """
    fakes = {name: subject.fake(name) for name in subject.build().inputs}
    # Nothing says how the statistics of another model, epoch or seed differ out of distribution.
    unknown = [
        name
        for name, fake in fakes.items()
        if fake is None or not fake.is_declared or name != base_name(name)
    ]
    if unknown:
        raise NotApplicable(f"the kit does not know what OOD does to {', '.join(unknown)}")
    for size in (1, 5):
        inside = subject.data(seed=1, size=size)
        outside = subject.data(seed=2, side="out", size=size)
        both = {name: np.concatenate([inside[name], outside[name]]) for name in inside}
        scores = subject.fitted(size=size).score(both)
        inside_scores, outside_scores = scores[:GROUPS], scores[GROUPS:, None]
        ties = (outside_scores == inside_scores).mean()
        wins = (outside_scores > inside_scores).mean() + 0.5 * ties
        if not wins > _LEAST_AUROC:
            hint = "; is the sign reversed?" if wins < 0.5 else ""
            raise Fault(
                f"an AUROC of {wins:.2f} on groups of {size} that are plainly OOD, not above "
                f"{_LEAST_AUROC}: higher scores must mean more OOD{hint}"
            )


def fit_info(subject: ScorerUnderTest) -> None:
    """The facts of a fit, if it tells any, are finite numbers or texts by name."""
    scorer = subject.fitted()
    if not isinstance(scorer, HasFitInfo):
        raise NotApplicable("it has no `fit_info`")
    info = scorer.fit_info()
    if not isinstance(info, dict):
        raise Fault(f"fit_info must return a dict, not {type(info).__name__}")
    for name, value in info.items():
        if not isinstance(name, str) or not isinstance(value, int | float | str):
            raise Fault(f"fit_info has {name!r}: {value!r}, which is no number or text")
        if isinstance(value, float) and not math.isfinite(value):
            raise Fault(f"fit_info has {name!r}: {value!r}, which is not finite")


def score_terms(subject: ScorerUnderTest) -> None:
    """The terms of a score, if it tells any, are (M,) each, finite, and sum to the score."""
    scorer = subject.fitted()
    if not isinstance(scorer, HasScoreTerms):
        raise NotApplicable("it has no `score_terms`")
    data = subject.data(seed=1)
    expected = scorer.score(copied(data))
    terms = scorer.score_terms(copied(data))
    if not isinstance(terms, Mapping) or not terms:
        raise Fault(f"score_terms must return terms by name, not {terms!r}")
    for name, values in terms.items():
        if np.shape(values) != expected.shape or not np.isfinite(values).all():
            raise Fault(
                f"the term {name!r} must be {len(expected)} finite numbers, one for each group"
            )
    _same(np.sum(list(terms.values()), axis=0), expected, "the terms do not sum to the score")


SCORER_CHECKS: tuple[Callable[[ScorerUnderTest], str | None], ...] = (
    interface,
    shape_and_dtype,
    finite,
    not_fitted,
    fit_returns_self,
    deterministic,
    refit,
    inputs_untouched,
    order,
    per_group,
    reads_only_inputs,
    remembers_nothing,
    constant_columns,
    direction,
    fit_info,
    score_terms,
)


def _all_finite(scores: NDArray[np.float64], what: str) -> None:
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise Fault(f"{bad} of {len(scores)} scores of {what} are NaN or infinite")


def _same(found: NDArray[np.float64], expected: NDArray[np.float64], message: str) -> None:
    if found.shape != expected.shape:
        raise Fault(f"{message} (scores of shape {found.shape}, not {expected.shape})")
    if differs(found, expected):
        both = np.isfinite(found) & np.isfinite(expected)
        worst = np.abs(found[both] - expected[both]).max(initial=0.0)
        raise Fault(f"{message} (largest finite difference {worst:.3g})")


def _with_zeros(statistics: Statistics) -> Statistics:
    """One column of each statistic but log-probabilities set to zero."""
    changed = copied(statistics)
    for name, values in changed.items():
        if base_name(name) != "log_prob":
            values[..., 0] = 0.0
    return changed
