"""The contract of statistics, and their optional capabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias, runtime_checkable

from harness.contracts.models import DensityModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Per: TypeAlias = Literal["example", "group"]
Side: TypeAlias = Literal["in", "out"]


class Statistic(Protocol):
    """An expensive function of a model and groups of examples, computed once and stored.

    A statistic that ignores the model declares `reads_model = False`: the harness passes None for
    the model, and a single stored value serves all models and epochs.

    Example:
        >>> import torch
        >>> from oodbench import Statistic
        >>> class MeanIntensity:
        ...     per = "example"
        ...     reads_model = False
        ...
        ...     def features(self, model):
        ...         return ["mean"]
        ...
        ...     def __call__(self, model, groups):
        ...         return groups.double().flatten(1).mean(1, keepdim=True).cpu().numpy()
        >>> statistic: Statistic = MeanIntensity()
        >>> statistic(None, torch.full((3, 1, 1, 2, 2), 7, dtype=torch.uint8)).tolist()
        [[7.0], [7.0], [7.0]]
    """

    @property
    def per(self) -> Per:
        """Unit of a row: an example (rows serve every group size) or a group."""

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the names of the F columns, for example the layers of the model."""

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the statistic.

        Arguments:
            model: In evaluation mode; must be left unchanged.
            groups: `domain.input_dtype`, (M, b, *domain.shape), on the device of the parameters; b
                is 1 where `per` is `"example"`.

        Returns:
            float64, (M, F).
        """


@runtime_checkable
class FittedStatistic(Statistic, Protocol):
    """Optional statistic capability: a fit to the examples of role `fit` before evaluation.

    The harness never evaluates a fitted statistic on the examples used for the fit. The examples
    of role `fit` are evaluated in two halves, each half by a statistic fitted on the other half.
    Groups of the roles `in` and `out` are evaluated by the statistic fitted on the second half, so
    all values come from fits to equally many examples.

    Example:
        >>> from oodbench import FittedStatistic
        >>> class Distance:
        ...     per = "example"
        ...
        ...     def features(self, model):
        ...         return ["distance"]
        ...
        ...     def fit(self, model, examples):
        ...         self.mean = examples.double().mean(0)
        ...         return self
        ...
        ...     def __call__(self, model, groups):
        ...         distances = (groups - self.mean).flatten(1).norm(dim=1, keepdim=True)
        ...         return distances.cpu().numpy()
        >>> isinstance(Distance(), FittedStatistic)
        True
    """

    def fit(self, model: DensityModel, examples: Tensor) -> Self:
        """Fit to in-distribution examples, discarding any earlier fit.

        Arguments:
            model: In evaluation mode; must be left unchanged. The evaluation uses the same model.
            examples: `domain.input_dtype`, (N, *domain.shape), on the device of the parameters.

        Raises:
            ScoreError: The examples do not allow a fit, for example because they are too few.
        """


@runtime_checkable
class HasLayerNorms(Protocol):
    """Optional statistic capability: columns are the squared gradient norms of the layers.

    Figures and the report page draw such columns layer by layer.

    Example:
        >>> from oodbench import HasLayerNorms
        >>> class GradientNorms:
        ...     layer_norms = True
        >>> isinstance(GradientNorms(), HasLayerNorms)
        True
    """

    @property
    def layer_norms(self) -> bool:
        """True; usually a class attribute `layer_norms = True`."""


@runtime_checkable
class HasFakeFeatures(Statistic, Protocol):
    """Optional statistic capability: the conformance kit may make values up.

    The kit then examines scorers that read the statistic, without a model. The made-up values are
    positive, and larger out of distribution, unless the statistic also has `fake_values`.

    Example:
        >>> from oodbench import HasFakeFeatures
        >>> class Contrast:
        ...     per = "example"
        ...     fake_features = ("contrast",)
        ...     def features(self, model):
        ...         return ("contrast",)
        ...     def __call__(self, model, groups):
        ...         return groups.double().flatten(1).std(1, keepdim=True).cpu().numpy()
        >>> isinstance(Contrast(), HasFakeFeatures)
        True
    """

    @property
    def fake_features(self) -> Sequence[str]:
        """Names of the F columns of the made-up values; usually a class attribute."""


@runtime_checkable
class HasFakeValues(HasFakeFeatures, Protocol):
    """Optional statistic capability: made-up values that resemble values of the statistic.

    Example:
        >>> from oodbench import HasFakeValues
        >>> class Contrast:
        ...     per = "example"
        ...     fake_features = ("contrast",)
        ...     def features(self, model):
        ...         return ("contrast",)
        ...     def fake_values(self, noise, side):
        ...         return (20.0 if side == "in" else 60.0) + 3.0 * noise
        ...     def __call__(self, model, groups):
        ...         return groups.double().flatten(1).std(1, keepdim=True).cpu().numpy()
        >>> isinstance(Contrast(), HasFakeValues)
        True
    """

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """Make up values of groups in or out of distribution.

        Arguments:
            noise: float64, (..., F), standard normal.
            side: Whether the groups are in or out of distribution.

        Returns:
            float64, of the shape of `noise`.
        """
