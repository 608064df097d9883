"""Contracts of the plugin kinds. A plugin satisfies a Protocol and inherits nothing.

Conventions everywhere: examples are integers of shape (N, *domain.shape), uint8 for images;
log-probabilities are in nats per discrete example; scores are higher for examples that are more
out-of-distribution (OOD), and OOD is the positive class.

Each module has the contracts of one kind, with the capabilities that a plugin may add:

    datasets     examples in named splits
    models       a density over examples: trained, sampled, saved
    densities    more about the log-probability of a model: terms, tokens, a density, an estimate
    precision    how a statistic asks for full precision
    statistics   an expensive function of a model and examples
    scorers      a score from statistics
    executors    how the workers of a run are started

Modules are named in the plural because `oodbench` has functions `scorer` and `statistic`, and the
name of a module of this package would hide them.
"""

from __future__ import annotations

from harness.contracts.datasets import CopiesExamples, Dataset, Fetchable, HasNotes, HasStamp
from harness.contracts.densities import (
    Flow,
    HasLogDensity,
    HasLogProbEstimate,
    HasLogProbTerms,
    HasLogProbTokens,
)
from harness.contracts.executors import Executor, RunsElsewhere, Task, WritesScript
from harness.contracts.models import (
    DensityModel,
    EstimatesNoise,
    Likelihood,
    Preparable,
    Reconstructs,
    Samplable,
    Trainable,
)
from harness.contracts.precision import FULL, full_precision
from harness.contracts.scorers import (
    Baseline,
    HasFitInfo,
    HasScoreTerms,
    Landmark,
    NeedsFeatureNames,
    NeedsNormalized,
    Scorer,
)
from harness.contracts.statistics import (
    FittedStatistic,
    HasFakeFeatures,
    HasFakeValues,
    HasLayerNorms,
    Per,
    Side,
    Statistic,
)

__all__ = [
    "FULL",
    "Baseline",
    "CopiesExamples",
    "Dataset",
    "DensityModel",
    "EstimatesNoise",
    "Executor",
    "Fetchable",
    "FittedStatistic",
    "Flow",
    "HasFakeFeatures",
    "HasFakeValues",
    "HasFitInfo",
    "HasLayerNorms",
    "HasLogDensity",
    "HasLogProbEstimate",
    "HasLogProbTerms",
    "HasLogProbTokens",
    "HasNotes",
    "HasScoreTerms",
    "HasStamp",
    "Landmark",
    "Likelihood",
    "NeedsFeatureNames",
    "NeedsNormalized",
    "Per",
    "Preparable",
    "Reconstructs",
    "RunsElsewhere",
    "Samplable",
    "Scorer",
    "Side",
    "Statistic",
    "Task",
    "Trainable",
    "WritesScript",
    "full_precision",
]
