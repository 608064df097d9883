"""`oodbench`: find the score, generative model and training epoch that best separate OOD from ID.

The package is the Python interface, and the vocabulary for plugins: contracts, hooks, events and
errors. `oodbench.testing` is the conformance kit, `oodbench.events` has all events,
`oodbench.workers` is for executors.
Importing this package imports neither torch nor any other package of the project. The package
imports no module at all, so that the command `bench` handles interrupts from the first moment.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know the name, and `typing` takes time to import
if TYPE_CHECKING:  # where type checkers find the names that `__all__` lists
    from harness.api.evaluation import *
    from harness.api.parts import *
    from harness.api.results import *
    from harness.api.suites import *
    from harness.contracts import *
    from harness.dequantise import *
    from harness.detectors.detector import Detector
    from harness.domain import *
    from harness.errors import *
    from harness.events import *
    from harness.hookspecs import *
    from harness.settings import *

__all__ = [
    "Baseline",
    "BenchError",
    "CellFinished",
    "CopiesExamples",
    "DataError",
    "Dataset",
    "DensityModel",
    "Detector",
    "Domain",
    "DomainError",
    "Entry",
    "EpochFinished",
    "EstimatesNoise",
    "Event",
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
    "Images",
    "JobFailed",
    "Landmark",
    "Likelihood",
    "MissingDataError",
    "NeedsFeatureNames",
    "NeedsNormalized",
    "NotFittedError",
    "Per",
    "Preparable",
    "Reconstructs",
    "Results",
    "RunFinished",
    "RunStarted",
    "RunsElsewhere",
    "Samplable",
    "ScoreError",
    "Scorer",
    "Side",
    "Statistic",
    "Suite",
    "Task",
    "Tokens",
    "Trainable",
    "TrainingError",
    "UnsupportedError",
    "WorkTaken",
    "WritesScript",
    "bits_per_dim",
    "dequantised_log_prob",
    "evaluate",
    "fixed_noise",
    "full_precision",
    "hookimpl",
    "is_out_of_memory",
    "load",
    "raw_root",
    "scorer",
    "statistic",
]
_HOMES = (
    "harness.contracts",
    "harness.dequantise",
    "harness.domain",
    "harness.errors",
    "harness.events",
    "harness.hookspecs",
    "harness.settings",
    "harness.detectors.detector",
    "harness.api.suites",
    "harness.api.results",
    "harness.api.evaluation",
    "harness.api.parts",
)


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    from oodbench._names import lazily

    return lazily(__name__, _HOMES, __all__)(name)
