"""The contract of scorers, and their optional capabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Scorer(Protocol):
    """A score from stored statistics, in NumPy; no torch, no model, no images.

    Each statistic is passed under the name given in `inputs`: with shape (M, b, F) for a statistic
    per example, (M, F) for a statistic per group. `fit` sees in-distribution groups only.

    Example:
        >>> import numpy as np
        >>> from oodbench import NotFittedError, Scorer
        >>> class Typicality:
        ...     inputs = ("log_prob",)
        ...     mean = None
        ...
        ...     def fit(self, statistics):
        ...         self.mean = statistics["log_prob"].mean()
        ...         return self
        ...
        ...     def score(self, statistics):
        ...         if self.mean is None:
        ...             raise NotFittedError("call fit first")
        ...         return np.abs(statistics["log_prob"].mean(axis=(1, 2)) - self.mean)
        >>> scorer: Scorer = Typicality()
        >>> groups = np.array([-4.0, -6.0]).reshape(2, 1, 1)  # (M, b, F)
        >>> scorer.fit({"log_prob": groups}).score({"log_prob": groups - 10.0}).tolist()
        [9.0, 11.0]
    """

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the statistics to read.

        By default a statistic is for the model, epoch and seed of the cell. `"name@model"` reads
        another model of the suite, `"name:4"` reads epoch 4, `"name/1"` reads seed 1; all parts
        can be combined, in this order: `"name@model:4/1"`.
        """

    def fit(self, statistics: Mapping[str, NDArray[np.float64]]) -> Self:
        """Fit to in-distribution groups, discarding any earlier fit.

        Raises:
            ScoreError: The statistics do not allow a fit, for example because groups are too few.
            UnsupportedError: The scorer does not apply to the model, for example one without
                levels.
        """

    def score(self, statistics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Score groups.

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """


@runtime_checkable
class NeedsFeatureNames(Protocol):
    """Optional scorer capability: learning the names of the columns, for example the layers.

    Example:
        >>> from oodbench import NeedsFeatureNames
        >>> class LayerWeights:
        ...     def name_features(self, features):
        ...         self.layers = list(features["layer_gradient_sq_norms"])
        >>> isinstance(LayerWeights(), NeedsFeatureNames)
        True
    """

    def name_features(self, features: Mapping[str, Sequence[str]]) -> None:
        """Receive the column names of the statistics, before `fit`.

        The names are the same for the fit groups and all scored groups.

        Arguments:
            features: The names of the F columns, in order, for each entry in `inputs`.
        """


@runtime_checkable
class NeedsNormalized(Protocol):
    """Optional scorer capability: the score needs normalized log-probabilities.

    Log-probabilities of an unnormalized model lack a constant that depends on the weights. The
    constant is the same for all examples, so most scores do not need it. A score needs it that
    compares log-probabilities under several weights, except by a difference. Cells of such a score
    are `n/a` for unnormalized models.

    Example:
        >>> from oodbench import NeedsNormalized
        >>> class VarianceOverSeeds:
        ...     needs_normalized = True
        >>> isinstance(VarianceOverSeeds(), NeedsNormalized)
        True
    """

    @property
    def needs_normalized(self) -> bool:
        """True; usually a class attribute `needs_normalized = True`."""


@runtime_checkable
class HasScoreTerms(Protocol):
    """Optional scorer capability: a score with named terms, for example a term for each layer.

    Example:
        >>> from oodbench import HasScoreTerms
        >>> class TwoTerms:
        ...     def score_terms(self, statistics):
        ...         values = statistics["log_prob_terms"].mean(axis=1)
        ...         return {"base": -values[:, 0], "ladj": -values[:, 1]}
        >>> isinstance(TwoTerms(), HasScoreTerms)
        True
    """

    def score_terms(
        self, statistics: Mapping[str, NDArray[np.float64]]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Return the terms by name, with sum `score(statistics)`.

        Returns:
            float64, (M,) each; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """


@runtime_checkable
class HasFitInfo(Protocol):
    """Optional scorer capability: facts about the fit, for example the number of omitted layers.

    Example:
        >>> from oodbench import HasFitInfo
        >>> class Trimmed:
        ...     def fit_info(self):
        ...         return {"layers_left_out": 2}
        >>> isinstance(Trimmed(), HasFitInfo)
        True
    """

    def fit_info(self) -> dict[str, float | int | str]:
        """Return named facts about the last fit, to be stored with each result."""


@runtime_checkable
class Baseline(Protocol):
    """Optional scorer capability: a trivial baseline, for example the mean intensity of an image.

    Every report flags a scorer that is beaten by a baseline of the same cell.

    Example:
        >>> from oodbench import Baseline
        >>> class MeanIntensity:
        ...     baseline = True
        >>> isinstance(MeanIntensity(), Baseline)
        True
    """

    @property
    def baseline(self) -> bool:
        """True; usually a class attribute `baseline = True`."""


@runtime_checkable
class Landmark(Protocol):
    """Optional scorer capability: a scorer that others are compared with, such as the likelihood.

    Figures and the page show it in colour by default, under its own name.

    Example:
        >>> from oodbench import Landmark
        >>> class LogLikelihood:
        ...     landmark = True
        >>> isinstance(LogLikelihood(), Landmark)
        True
    """

    @property
    def landmark(self) -> bool:
        """True; usually a class attribute `landmark = True`."""
