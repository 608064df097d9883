"""Squared gradient norms of the layers, one group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from harness import DensityModel, Per, ScoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.nn import Parameter


class LayerGradientSqNorms:
    r"""Squared gradient norm of each layer, one row per group.

    f_l(X) = ‖ ∂/∂θ_l Σ_{x in X} log p(x) ‖²        (Eq. 9 of the paper)

    A layer is one named parameter tensor. The gradient is that of the sum over the group, as in
    the paper; of the mean it would be smaller by b², which shifts every log norm alike and
    changes no score. This is the plain definition, one backward pass per group.

    A parameter with `requires_grad` off is a layer like the others: the flag says what was
    trained, the gradient says how the density depends on it. A parameter that `log_prob` does not
    reach has the value 0.

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
        import torch

        parameters = [parameter for _, parameter in model.named_parameters()]
        norms = torch.zeros(len(groups), len(parameters), dtype=torch.float64)
        with torch.enable_grad(), _all_require_grad(parameters):
            for row, group in zip(norms, groups, strict=True):
                total = self._total(model, group)
                if not total.requires_grad:
                    name = type(model).__name__
                    what = "log_prob" if self.objective == "log-prob" else "latent"
                    raise ScoreError(f"{what} of {name} depends on none of its parameters")
                gradients = torch.autograd.grad(total, parameters, allow_unused=True)
                zero = total.new_zeros((), dtype=torch.float64)
                row.copy_(torch.stack([_sq_norm(gradient, zero) for gradient in gradients]))
        return norms.numpy()

    def _total(self, model: DensityModel, group: Tensor) -> Tensor:
        """The objective, a scalar, of a group, uint8, (b, *domain.shape)."""
        if self.objective == "log-prob":
            return model.log_prob(group).sum()
        latent = getattr(model, "latent", None)
        if latent is None:
            name = type(model).__name__
            raise ScoreError(
                f'objective = "latent-sum" needs a model with latent(x); {name} has none'
            )
        total: Tensor = latent(group).sum()
        return total


def _sq_norm(gradient: Tensor | None, zero: Tensor) -> Tensor:
    """Sum of squares in the precision of `zero`, which stands for a gradient of none."""
    return zero if gradient is None else gradient.to(zero.dtype).square().sum()


@contextmanager
def _all_require_grad(parameters: Sequence[Parameter]) -> Iterator[None]:
    """Let every parameter require a gradient, then restore the flags, whatever happens."""
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
