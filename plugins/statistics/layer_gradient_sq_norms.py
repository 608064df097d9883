"""Squared gradient norms by layer, for many groups at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from oodbench import DensityModel, Per, UnsupportedError
from plugins.statistics.fake_layers import FAKE_LAYERS
from plugins.statistics.points import Noise, points

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class LayerGradientSqNorms:
    r"""Squared gradient norm for each layer, a row per group.

    f_l(X) = ‖ ∂/∂θ_l Σ_{x in X} log p(x) ‖²        (Eq. 9 of the paper)

    A layer is a named parameter tensor. The sum over the group is differentiated, like in the
    paper; differentiating the mean would divide the values by b², shifting every log norm alike
    and changing no score. A single forward and backward pass handles all groups in a call; a
    model unfit for this is evaluated group by group (see `plugins.statistics.layer_gradients`).

    A parameter with `requires_grad` off is a layer like any other: the flag tells whether the
    parameter was trained, the gradient tells how the density depends on the parameter. The value
    is 0 for a parameter without influence on the objective.

    Arguments:
        objective: Function to differentiate: `log-prob`, or `latent-sum`, the sum over the
            group and all entries of the model's `latent(x)`, used by the paper's published code.
        noise: `none`: the objective is evaluated at the examples; `dequantisation`: a model
            trained with dequantisation noise is evaluated with noise too, fixed for each example.
            The published code draws new noise for each evaluation.

    References:
        | OOD Detection with Immature Models
        | https://arxiv.org/abs/2502.00820
        | Approximations to the Fisher Information Metric of Deep Generative Models for OOD
          Detection (Dauncey et al., 2024)
        | https://openreview.net/forum?id=EcuwtinFs9
    """

    per: Per = "group"
    layer_norms = True
    fake_features = FAKE_LAYERS

    def __init__(
        self,
        *,
        objective: Literal["log-prob", "latent-sum"] = "log-prob",
        noise: Noise = "none",
    ) -> None:
        self.objective, self.noise = objective, noise

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the layer names, in `named_parameters` order."""
        return tuple(name for name, _ in model.named_parameters())

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the norms; squares are summed in float64 whatever the model's precision.

        Arguments:
            model: In evaluation mode; `.grad` fields and `requires_grad` flags end unchanged.
            groups: uint8, (M, b, *domain.shape).

        Returns:
            float64, (M, L), in nats² per squared parameter unit; never negative. NaN for a group
            in which the objective is not finite for some example.

        Raises:
            UnsupportedError: The objective depends on none of the parameters, a parameter is not
                floating, or the model does not have `latent`, for the objective `latent-sum`, or
                `dequantised`, for noise.
        """
        from plugins.statistics.layer_gradients.engine import ENGINES

        if self.objective == "latent-sum" and not hasattr(model, "latent"):
            name = type(model).__name__
            raise UnsupportedError(
                f'objective = "latent-sum" needs a model with latent(x); {name} lacks this method'
            )
        x = points(model, groups.flatten(0, 1), self.noise).unflatten(0, groups.shape[:2])
        return ENGINES[self.objective](model, x).cpu().numpy()
