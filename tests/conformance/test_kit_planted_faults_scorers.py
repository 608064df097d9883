"""The kit for scorers against planted faults: each is found by the check that is there for it.

A good one passes everything; every fault is a small change to it, and the set of checks that fail
is exactly that expected.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from oodbench import NotFittedError, ScoreError
from oodbench.testing import assert_conforms, check_scorer


def failed(checks):
    return {check.name: check.message for check in checks if check.outcome == "failed"}


def named(checks, name):
    (found,) = (check for check in checks if check.name == name)
    return found


class GoodScorer:
    """Mean of standardised log norms."""

    inputs = ("layer_gradient_sq_norms",)

    def __init__(self):
        self.mean_ = None

    def read(self, statistics):
        return np.log(statistics["layer_gradient_sq_norms"] + 1e-10)

    def fit(self, statistics):
        values = self.read(statistics)
        self.mean_ = values.mean(axis=0)
        self.scale_ = np.maximum(values.std(axis=0), 1e-3)
        return self

    def score(self, statistics):
        if self.mean_ is None:
            raise NotFittedError("good")
        return ((self.read(statistics) - self.mean_) / self.scale_).mean(axis=1)


class MinusLogProb:
    """Reads a statistic that is per example."""

    inputs = ("log_prob",)
    fitted_ = False

    def fit(self, statistics):
        self.fitted_ = True
        return self

    def score(self, statistics):
        if not self.fitted_:
            raise NotFittedError("minus")
        return -statistics["log_prob"].mean(axis=(1, 2))

    def fit_info(self):
        return {"kind": "none", "groups": 1}


class Ratio(MinusLogProb):
    inputs = ("log_prob", "log_prob@background:4")

    def score(self, statistics):
        other = statistics["log_prob@background:4"].mean(axis=(1, 2))
        return super().score(statistics) + other


class Reversed(GoodScorer):
    def score(self, statistics):
        return -super().score(statistics)


class ReversedLogProb(MinusLogProb):
    def score(self, statistics):
        return -super().score(statistics)


class AsksForOut(GoodScorer):
    """Standardises by all groups, where it can lay hands on those under evaluation."""

    def fit(self, statistics):
        super().fit(statistics)
        outside = statistics.get("layer_gradient_sq_norms@out")
        if outside is not None:
            self.mean_ = np.log(outside).mean(axis=0)
        return self


class LooksForOut(GoodScorer):
    def fit(self, statistics):
        self.found = "out" in statistics
        return super().fit(statistics)


class FitsEverything(GoodScorer):
    """Goes through all there is instead of its inputs."""

    def fit(self, statistics):
        everything = np.concatenate(list(statistics.values()))
        return super().fit({"layer_gradient_sq_norms": everything})


class ScoresEverything(GoodScorer):
    def score(self, statistics):
        others = [values for name, values in statistics.items() if name not in self.inputs]
        return super().score(statistics) - sum(np.log(values).mean() for values in others)


class CopiesTheMapping(GoodScorer):
    """No fault: a copy of the mapping, of which only the inputs are used."""

    def fit(self, statistics):
        return super().fit(dict(statistics))


class PeeksThroughTheClass(GoodScorer):
    """Every score leaves its groups to the next fit, of whichever instance."""

    seen: np.ndarray | None = None

    def fit(self, statistics):
        super().fit(statistics)
        if PeeksThroughTheClass.seen is not None:
            self.mean_ = self.mean_ - 0.1 * PeeksThroughTheClass.seen.mean(axis=0)
        return self

    def score(self, statistics):
        scores = super().score(statistics)
        PeeksThroughTheClass.seen = self.read(statistics)
        return scores


class RunningMean(GoodScorer):
    def score(self, statistics):
        scores = super().score(statistics)
        self.mean_ = 0.9 * self.mean_ + 0.1 * self.read(statistics).mean(axis=0)
        return scores


class StandardisesTheScored(GoodScorer):
    def score(self, statistics):
        scores = super().score(statistics)
        return scores - scores.mean()


class Sorts(GoodScorer):
    def score(self, statistics):
        return np.sort(super().score(statistics))


class WritesStatistics(GoodScorer):
    def read(self, statistics):
        values = statistics["layer_gradient_sq_norms"]
        values += 1e-10
        return np.log(values)


class PopsStatistics(GoodScorer):
    def fit(self, statistics):
        super().fit(statistics)
        if isinstance(statistics, dict):
            statistics.pop("layer_gradient_sq_norms")
        return self


class NaNOnConstants(GoodScorer):
    def fit(self, statistics):
        super().fit(statistics)
        self.scale_ = self.read(statistics).std(axis=0)
        return self

    def score(self, statistics):
        with np.errstate(all="ignore"):
            return super().score(statistics)


class InfiniteAtZero(GoodScorer):
    def read(self, statistics):
        with np.errstate(divide="ignore"):
            logs = np.log(statistics["layer_gradient_sq_norms"])
        return logs

    def fit(self, statistics):
        if not np.isfinite(self.read(statistics)).all():
            raise ScoreError("a norm of zero")
        return super().fit(statistics)


class ScoresUnfitted(GoodScorer):
    def __init__(self):
        self.mean_, self.scale_ = 0.0, 1.0


class FitOnTheClass(GoodScorer):
    """Fitted once, fitted for all."""

    def __init__(self):
        pass

    mean_ = None

    def fit(self, statistics):
        super().fit(statistics)
        FitOnTheClass.mean_, FitOnTheClass.scale_ = self.mean_, self.scale_
        return self


class ReturnsNothing(GoodScorer):
    def fit(self, statistics):
        super().fit(statistics)


class KeepsFirstFit(GoodScorer):
    def fit(self, statistics):
        return self if self.mean_ is not None else super().fit(statistics)


class Unseeded(GoodScorer):
    def fit(self, statistics):
        super().fit(statistics)
        self.mean_ = self.mean_ + np.random.default_rng().normal()
        return self


class SingleScores(GoodScorer):
    def score(self, statistics):
        return super().score(statistics).astype(np.float32)


class ColumnScores(MinusLogProb):
    def score(self, statistics):
        return super().score(statistics)[:, None]


class BadInfo(MinusLogProb):
    def fit_info(self):
        return {"entropy": math.nan}


class InputsAsText(MinusLogProb):
    inputs = "log_prob"


class UnknownInput(MinusLogProb):
    inputs = ("spectrum",)

    def score(self, statistics):
        if not self.fitted_:
            raise NotFittedError("unknown")
        return statistics["spectrum"].sum(axis=1)


@pytest.mark.parametrize("scorer", [GoodScorer, MinusLogProb, Ratio, CopiesTheMapping])
def test_good_scorers_conform(scorer):
    assert_conforms(check_scorer(scorer))


SCORER_FAULTS = {
    "the sign reversed": (Reversed, "direction", "AUROC is 0.00 on groups of 1"),
    "the sign reversed, log_prob": (ReversedLogProb, "direction", "is the sign reversed?"),
    "asking for out in fit": (
        AsksForOut,
        "reads_only_inputs",
        "fit requests 'layer_gradient_sq_norms@out', but `inputs` has only",
    ),
    "looking for out in fit": (LooksForOut, "reads_only_inputs", "fit requests 'out'"),
    "fitting to all there is": (FitsEverything, "reads_only_inputs", "fit uses statistics"),
    "scoring by all there is": (ScoresEverything, "reads_only_inputs", "score uses statistics"),
    "peeking through the class": (PeeksThroughTheClass, "remembers_nothing", "a new scorer"),
    "a running mean": (RunningMean, "remembers_nothing", "groups scored before"),
    "standardising by the scored": (StandardisesTheScored, "per_group", "use `fit` only"),
    "sorted scores": (Sorts, "order", "order of the groups"),
    "writing into statistics": (WritesStatistics, "inputs_untouched", "fit modifies"),
    "taking statistics away": (PopsStatistics, "inputs_untouched", "fit modifies"),
    "NaN on constant columns": (NaNOnConstants, "constant_columns", "NaN or infinite"),
    "infinite at a norm of zero": (InfiniteAtZero, "finite", "a norm of zero"),
    "scores without a fit": (ScoresUnfitted, "not_fitted", "returns values"),
    "a fit kept on the class": (FitOnTheClass, "not_fitted", "returns values"),
    "fit returns nothing": (ReturnsNothing, "fit_returns_self", "must return self"),
    "the first fit kept": (KeepsFirstFit, "refit", "an earlier fit"),
    "random without a seed": (Unseeded, "deterministic", "a fixed seed"),
    "float32 scores": (SingleScores, "shape_and_dtype", "not float32"),
    "scores in a column": (ColumnScores, "shape_and_dtype", "shape (1, 1), not (1,)"),
    "a fact that is NaN": (BadInfo, "fit_info", "which is not finite"),
    "inputs as text": (InputsAsText, "interface", "write (name,) with a comma"),
    "an unknown statistic": (UnknownInput, "interface", "does not know the statistic 'spectrum'"),
}


# What one fault cannot but break besides.
SCORERS_ALSO_FAIL = {
    "sorted scores": {"per_group"},
    "peeking through the class": {"order", "per_group", "reads_only_inputs"},
    "infinite at a norm of zero": {"constant_columns"},
}


@pytest.mark.parametrize("name", SCORER_FAULTS)
def test_scorer_faults(name, examine):
    scorer, check, text = SCORER_FAULTS[name]
    status, checks = examine("scorers", scorer)
    assert status == 1
    assert failed(checks).keys() == {check} | SCORERS_ALSO_FAIL.get(name, set())
    assert text in named(checks, check).message


def test_statistics_of_ones_own():
    checks = check_scorer(UnknownInput, statistics={"spectrum": ("group", 3)})
    assert_conforms(checks)
    assert named(checks, "direction").outcome == "skipped"


class Broadcasts(GoodScorer):
    """A term of shape (M, 1) beside one of shape (M,)."""

    def score(self, statistics):
        return super().score(statistics) + self.read(statistics)[:, :1]


def test_scores_that_broadcast(examine):
    status, checks = examine("scorers", Broadcasts)
    assert status == 1
    assert "not (1,): return one score per group" in named(checks, "shape_and_dtype").message
    assert not [check for check in checks if "IndexError" in check.message]


class ForgetsAnInput(GoodScorer):
    def read(self, statistics):
        return super().read(statistics) + statistics["log_prob"][:, :, 0].mean(1)[:, None]


def test_a_name_that_is_not_among_the_inputs_is_named():
    found = named(check_scorer(ForgetsAnInput), "reads_only_inputs")
    assert found.outcome == "failed"
    message = "the scorer requests 'log_prob', but its inputs are 'layer_gradient_sq_norms'"
    assert found.message == message
