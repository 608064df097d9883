"""Squared gradient norms of the layers, for many groups at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from oodbench import DensityModel, Per, ScoreError
from plugins.statistics.fake_layers import FAKE_LAYERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class LayerGradientSqNorms:
    r"""Squared gradient norm of each layer, one row per group.

    f_l(X) = ‖ ∂/∂θ_l Σ_{x in X} log p(x) ‖²        (Eq. 9 of the paper)

    A layer is one named parameter tensor. The gradient is that of the sum over the group, as in
    the paper; of the mean it would be smaller by b², which shifts every log norm alike and
    changes no score. One forward and one backward pass take all the groups of a call; a model
    that this cannot be done for is evaluated one group at a time (see
    `plugins.statistics.layer_gradients`).

    A parameter with `requires_grad` off is a layer like the others: the flag says what was
    trained, the gradient says how the density depends on it. A parameter that the objective does
    not reach has the value 0.

    Arguments:
        objective: What is differentiated: `log-prob`, or `latent-sum`, the sum of the model's
            `latent(x)` over the group, as the published code of the paper does.

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

    def __init__(self, *, objective: Literal["log-prob", "latent-sum"] = "log-prob") -> None:
        self.objective = objective

    def features(self, model: DensityModel) -> Sequence[str]:
        """The names of the layers, in `named_parameters` order."""
        return tuple(name for name, _ in model.named_parameters())

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the norms; squares are summed in float64 whatever the model's precision.

        Arguments:
            model: In evaluation mode; its `.grad` fields and `requires_grad` flags end as they
                were.
            groups: uint8, (M, b, *domain.shape).

        Returns:
            float64, (M, L), in nats² per squared unit of the parameter; never negative.

        Raises:
            ScoreError: The objective depends on no parameter at all, or the model has no
                `latent`.
        """
        from plugins.statistics.layer_gradients.engine import ENGINES

        if self.objective == "latent-sum" and not hasattr(model, "latent"):
            name = type(model).__name__
            raise ScoreError(
                f'objective = "latent-sum" needs a model with latent(x); {name} has none'
            )
        return ENGINES[self.objective](model, groups).cpu().numpy()
