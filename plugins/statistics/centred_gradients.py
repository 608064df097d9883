"""Squared norms by layer of gradients less their mean over the fit examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from oodbench import DensityModel, NotFittedError, Per, ScoreError
from plugins.statistics.fake_layers import FAKE_LAYERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from plugins.statistics.fisher.centred import CentredNorms


class CentredLayerGradientSqNorms:
    r"""Squared norm of the centred gradient for each layer, a row per group.

    f_l(X) = ‖ Σ_{x in X} (∂/∂θ_l log p(x) - m_l) ‖²
    m_l    = mean over the fit examples of ∂/∂θ_l log p(x)

    A layer is a named parameter tensor. Where `log_prob` is unnormalised, -E(x), its gradient is
    not the score of the model, which is

    ∂/∂θ log p(x) = -∂E(x)/∂θ + E_{x' ~ p} ∂E(x')/∂θ

    The second term is unknown. At the maximum of the likelihood this term is the mean of ∂E/∂θ
    over the training data, and the fit examples stand for the training data. For a normalised
    model the mean of the score is 0 at the maximum, so both statistics agree there up to the noise
    of the fit; a model that was stopped early or overfits has another mean.

    The examples that are evaluated are never fit examples. So with n fit examples the noise of m
    makes the mean of f larger by the factor 1 + b/n, for groups of b from the training
    distribution.

    References:
        Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002)
    """

    per: Per = "group"
    layer_norms = True
    fake_features = FAKE_LAYERS

    def __init__(self) -> None:
        self._fitted: CentredNorms | None = None

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the layer names, in `named_parameters` order."""
        return tuple(name for name, _ in model.named_parameters())

    def fit(self, model: DensityModel, examples: Tensor) -> Self:
        """Compute the mean gradient.

        Arguments:
            model: In evaluation mode; `.grad` fields and `requires_grad` flags end unchanged.
            examples: uint8, (N, *domain.shape).

        Raises:
            ScoreError: The examples are empty, or a gradient is not finite.
            UnsupportedError: The model's log p does not depend on any parameter.
        """
        from plugins.statistics.fisher.centred import CentredNorms

        if not len(examples):
            raise ScoreError("the mean gradient needs at least one fit example")
        self._fitted = None  # frees the memory for an earlier fit
        self._fitted = CentredNorms(model, examples)
        return self

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the norms; squares are summed in float64.

        Arguments:
            model: The model used for the fit, in evaluation mode; left unchanged.
            groups: uint8, (M, b, *domain.shape).

        Returns:
            float64, (M, L), in nats² per squared parameter unit; never negative.

        Raises:
            NotFittedError: `fit` was not called.
            UnsupportedError: The model runs different modules or operations from the fit.
        """
        if self._fitted is None:
            raise NotFittedError(f"{type(self).__name__} was called before `fit`")
        values: NDArray[np.float64] = self._fitted(model, groups).cpu().numpy()
        return values
