"""Conformance checks for scorers, on made-up statistics, without a model or torch."""

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
    """Run every conformance check on a scorer.

    Arguments:
        build: Returns a new scorer with its options.
        statistics: Layout for each input that is not a registered statistic with
            `fake_features`: `"example"` or `"group"`, and the number of columns. The layout for
            `"name"` also applies to `"name@model"`.
        expected_failures: Reason for each expected failure, by check name. An expected failure
            that does not happen is reported as a failure.
        registry: Where statistics are looked up; by default, among the installed plugins.

    Returns:
        One result per check; pass the list to `assert_conforms`.

    Examples:
        >>> from oodbench import NotFittedError
        >>> from oodbench.testing import assert_conforms, check_scorer
        >>> class Deviation:
        ...     inputs = ("log_prob",)
        ...     centre = None
        ...
        ...     def fit(self, statistics):
        ...         self.centre = statistics["log_prob"].mean()
        ...         return self
        ...
        ...     def score(self, statistics):
        ...         if self.centre is None:
        ...             raise NotFittedError("fit was not called")
        ...         return abs(statistics["log_prob"].mean(axis=(1, 2)) - self.centre)
        >>> assert_conforms(check_scorer(Deviation))
    """
    subject = ScorerUnderTest(build, registry or Registry(), statistics or {})
    return run_checks(SCORER_CHECKS, subject, expected_failures or {})


def interface(subject: ScorerUnderTest) -> None:
    """The scorer has `inputs`, a tuple of statistic names, and the methods `fit` and `score`."""
    scorer: Any = subject.build()
    missing = [name for name in ("inputs", "fit", "score") if not hasattr(scorer, name)]
    if missing:
        raise Fault(f"the scorer lacks {', '.join(missing)}")
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
                "if you define the statistic yourself, pass the layout, such as "
                f'check_scorer(..., statistics={{"{base_name(name)}": ("example", 3)}})'
            )


def shape_and_dtype(subject: ScorerUnderTest) -> None:
    """Scores are float64 with shape (M,), for groups of 1 and 5, for one group and many."""
    for size in (1, 5):
        scorer = subject.fitted(size=size)
        for groups in (1, GROUPS):
            scores = scorer.score(subject.data(seed=1, groups=groups, size=size))
            if not isinstance(scores, np.ndarray) or scores.dtype != np.float64:
                kind = getattr(scores, "dtype", type(scores).__name__)
                raise Fault(f"scores must be a float64 array, not {kind}")
            if scores.shape != (groups,):
                raise Fault(
                    f"{groups} groups of {size} examples have scores with shape {scores.shape}, "
                    f"not ({groups},): return one score per group"
                )


def finite(subject: ScorerUnderTest) -> None:
    """Scores are finite, in and out of distribution, also where a norm is zero."""
    for size in (1, 5):
        scorer = subject.fitted(size=size)
        for side in SIDES:
            data = subject.data(seed=1, side=side, size=size)
            _all_finite(scorer.score(data), f"{side}-distribution groups of {size}")
        _all_finite(scorer.score(_with_zeros(data)), "groups with a norm of zero")


def not_fitted(subject: ScorerUnderTest) -> None:
    """Scoring before `fit` raises NotFittedError, even after another scorer was fitted."""
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
    message = "two scorers fitted to the same groups differ: use a fixed seed for random draws"
    _same(second.score(copied(data)), expected, message)


def refit(subject: ScorerUnderTest) -> None:
    """A second `fit` replaces the first: the scores equal those of a new scorer."""
    data = subject.data(seed=1)
    expected = subject.settled(data)
    scorer = subject.fitted(seed=7)
    scorer.fit(subject.fit_data())
    message = "fit keeps something from an earlier fit: reset every fitted attribute"
    _same(scorer.score(copied(data)), expected, message)


def inputs_untouched(subject: ScorerUnderTest) -> None:
    """`fit` and `score` leave the statistics unchanged, because other scorers read them too."""
    for method in ("fit", "score"):
        scorer = subject.fitted()
        given = subject.fit_data(seed=3)
        kept = copied(given)
        getattr(scorer, method)(given)
        for name, values in kept.items():
            if name not in given or given[name].tobytes() != values.tobytes():
                raise Fault(f"{method} modifies the statistic {name!r} in place: work on a copy")


def order(subject: ScorerUnderTest) -> None:
    """Reordering the groups reorders the scores in the same way."""
    data = subject.data(seed=1)
    expected = subject.settled(data)
    permutation = np.random.default_rng(0).permutation(GROUPS)
    found = subject.scores(taken(data, permutation.tolist()))
    _same(found, expected[permutation], "scores depend on the order of the groups")


def per_group(subject: ScorerUnderTest) -> None:
    """The score of a group does not depend on the other groups scored with it.

    A scorer that standardises or ranks the groups to be scored looks at the evaluation data; only
    the groups passed to `fit` may set the scale.
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

    `fit` receives in-distribution groups only; groups under evaluation reach `fit` only if the
    scorer finds a way around its inputs. So the kit provides temptations: the mapping of
    statistics returns out-of-distribution data for any other name ("out", "log_prob@out"), and
    lists some of these names when a scorer iterates over the mapping. The check fails if the
    scorer requests such an entry by name, or if the score differs from the score for the inputs
    alone. The check `remembers_nothing` covers data that a scorer remembers between calls and
    instances. No check can detect a scorer that reads files behind the harness's back.
    """
    fit_data, data = subject.fit_data(), subject.data(seed=1)
    inputs = ", ".join(map(repr, fit_data))
    try:
        expected = subject.settled(data)
    except KeyError as error:
        name = error.args[0] if error.args else ""
        if not isinstance(name, str) or name in data:
            raise
        raise Fault(f"the scorer requests {name!r}, but its inputs are {inputs}") from error
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
            found = f"raises {type(error).__name__} if given more statistics than its inputs"
        else:
            found = "uses statistics other than its inputs"
        if lure.asked:
            names = ", ".join(sorted({repr(name) for name in lure.asked}))
            raise Fault(f"{method} requests {names}, but `inputs` has only {inputs}")
        _same(scores, expected, f"{method} {found} ({inputs}): read each input by name")


def remembers_nothing(subject: ScorerUnderTest) -> None:
    """Earlier scoring, by this scorer or another, changes no later fit or score.

    A scorer, or its class, that keeps the groups it has scored carries evaluation data into the
    next score or fit.
    """
    data, outside = subject.data(seed=21), subject.data(seed=22, side="out")
    subject.settled(data)
    expected = subject.scores(data)

    scorer = subject.fitted()
    scorer.score(copied(outside))
    message = "a score depends on groups scored before: `score` must keep nothing"
    _same(scorer.score(copied(data)), expected, message)
    subject.scores(outside)
    message = "a new scorer uses groups scored by another: keep nothing on the class or module"
    _same(subject.scores(data), expected, message)
    scorer.score(copied(outside))
    scorer.fit(subject.fit_data())
    message = "fit uses groups scored before: `score` must keep nothing"
    _same(scorer.score(copied(data)), expected, message)


def constant_columns(subject: ScorerUnderTest) -> str | None:
    """Columns that are constant on the fit groups, zero or not, give no NaN and no infinity.

    For example, the gradient for a layer may be zero at the start of training. If nothing varies
    at all, or there are only two fit groups, `fit` may raise a ScoreError instead.
    """
    remark = None
    # The deviation of two equal numbers is exactly 0; with 60, rounding may hide a division by 0.
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
    """Higher scores mean more OOD.

    On groups with much lower log-probability and much larger gradient norms than the fit groups,
    the AUROC is above 0.9, with OOD as the positive class.
    """
    fakes = {name: subject.fake(name) for name in subject.build().inputs}
    # No declaration covers statistics from another model, epoch or seed: OOD effects are unknown.
    unknown = [
        name
        for name, fake in fakes.items()
        if fake is None or not fake.is_declared or name != base_name(name)
    ]
    if unknown:
        raise NotApplicable(f"the kit does not know how OOD groups change {', '.join(unknown)}")
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
                f"the AUROC is {wins:.2f} on groups of {size} that are clearly OOD, not above "
                f"{_LEAST_AUROC}: higher scores must mean more OOD{hint}"
            )


def fit_info(subject: ScorerUnderTest) -> None:
    """The facts from `fit_info`, if available, are finite numbers or text, by name."""
    scorer = subject.fitted()
    if not isinstance(scorer, HasFitInfo):
        raise NotApplicable("the scorer has no `fit_info`")
    info = scorer.fit_info()
    if not isinstance(info, dict):
        raise Fault(f"fit_info must return a dict, not {type(info).__name__}")
    for name, value in info.items():
        if not isinstance(name, str) or not isinstance(value, int | float | str):
            raise Fault(f"fit_info has {name!r}: {value!r}, which is not a number or text")
        if isinstance(value, float) and not math.isfinite(value):
            raise Fault(f"fit_info has {name!r}: {value!r}, which is not finite")


def score_terms(subject: ScorerUnderTest) -> None:
    """Terms from `score_terms`, if available, have shape (M,), are finite and sum to the score."""
    scorer = subject.fitted()
    if not isinstance(scorer, HasScoreTerms):
        raise NotApplicable("the scorer has no `score_terms`")
    data = subject.data(seed=1)
    expected = scorer.score(copied(data))
    terms = scorer.score_terms(copied(data))
    if not isinstance(terms, Mapping) or not terms:
        raise Fault(f"score_terms must return terms by name, not {terms!r}")
    for name, values in terms.items():
        if np.shape(values) != expected.shape or not np.isfinite(values).all():
            raise Fault(f"the term {name!r} must be {len(expected)} finite numbers, one per group")
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
        raise Fault(f"{bad} of {len(scores)} scores for {what} are NaN or infinite")


def _same(found: NDArray[np.float64], expected: NDArray[np.float64], message: str) -> None:
    if found.shape != expected.shape:
        raise Fault(f"{message} (scores have shape {found.shape}, not {expected.shape})")
    if differs(found, expected):
        both = np.isfinite(found) & np.isfinite(expected)
        worst = np.abs(found[both] - expected[both]).max(initial=0.0)
        raise Fault(f"{message} (largest finite difference {worst:.3g})")


def _with_zeros(statistics: Statistics) -> Statistics:
    """Set one column to zero in each statistic except log-probabilities."""
    changed = copied(statistics)
    for name, values in changed.items():
        if base_name(name) != "log_prob":
            values[..., 0] = 0.0
    return changed
