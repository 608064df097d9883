"""`oodbench`: which score, on which deep generative model, at which epoch, tells OOD from ID.

This is the vocabulary for plugins: contracts, hooks, events and errors. `oodbench.testing` is the
conformance kit, `oodbench.events` has all events, `oodbench.workers` is for executors. Importing
this package imports neither torch nor anything else of the project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oodbench._names import lazily

if TYPE_CHECKING:
    from harness.contracts import (
        Baseline,
        Dataset,
        DensityModel,
        Executor,
        Fetchable,
        FittedStatistic,
        Flow,
        HasFakeFeatures,
        HasFakeValues,
        HasFitInfo,
        HasLayerNorms,
        HasLogProbTerms,
        HasScoreTerms,
        HasStamp,
        Likelihood,
        NeedsFeatureNames,
        Per,
        Preparable,
        Samplable,
        Scorer,
        Side,
        Statistic,
        Task,
        Trainable,
    )
    from harness.domain import Images, bits_per_dim
    from harness.errors import (
        BenchError,
        DataError,
        DomainError,
        MissingDataError,
        NotFittedError,
        ScoreError,
        TrainingError,
        UnsupportedError,
        is_out_of_memory,
    )
    from harness.events import (
        CellFinished,
        EpochFinished,
        Event,
        JobFailed,
        Postponed,
        RunFinished,
        RunStarted,
    )
    from harness.hookspecs import Entry, hookimpl
    from harness.settings import raw_root

__all__ = [
    "Baseline",
    "BenchError",
    "CellFinished",
    "DataError",
    "Dataset",
    "DensityModel",
    "DomainError",
    "Entry",
    "EpochFinished",
    "Event",
    "Executor",
    "Fetchable",
    "FittedStatistic",
    "Flow",
    "HasFakeFeatures",
    "HasFakeValues",
    "HasFitInfo",
    "HasLayerNorms",
    "HasLogProbTerms",
    "HasScoreTerms",
    "HasStamp",
    "Images",
    "JobFailed",
    "Likelihood",
    "MissingDataError",
    "NeedsFeatureNames",
    "NotFittedError",
    "Per",
    "Postponed",
    "Preparable",
    "RunFinished",
    "RunStarted",
    "Samplable",
    "ScoreError",
    "Scorer",
    "Side",
    "Statistic",
    "Task",
    "Trainable",
    "TrainingError",
    "UnsupportedError",
    "bits_per_dim",
    "hookimpl",
    "is_out_of_memory",
    "raw_root",
]
_HOMES = (
    "harness.contracts",
    "harness.domain",
    "harness.errors",
    "harness.events",
    "harness.hookspecs",
    "harness.settings",
)
__getattr__ = lazily(__name__, _HOMES, __all__)
