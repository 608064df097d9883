"""Gain in log-probability from a few training steps on a single example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from oodbench import DensityModel, Per
from plugins.statistics.per_example import examples_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class LikelihoodRegret:
    r"""Gain in log-probability from training a model copy on a single example, in nats.

    r(x) = max_{0 <= t <= T} log p(x; θ_t) - log p(x; θ),   θ_0 = θ,
    θ_t from θ_{t-1} by a step of the optimiser that ascends log p(x; θ)          (Eq. 5)

    The maximum over the steps stands for the maximum over all parameters: a step too far does no
    harm, and the regret is never negative.

    Departures from the paper:
        The paper's model is a variational autoencoder, and only the encoder is optimised, by 100
        Adam steps. A flow does not have an encoder: all parameters are optimised, in few steps,
        since enough steps would fit any example. A single `sgd` step gains about `learning_rate`
        times the squared gradient norm, and a few small steps carry the same information.

    Copies of small models are trained side by side, by automatic vectorisation, in batches
    within a memory bound. Copies of a large model, or a model where vectorisation fails, are
    trained in turn, with the same numbers up to rounding.

    Arguments:
        steps: Number of training steps, T.
        learning_rate: Step size for the optimiser. An `adam` step moves every number by about
            this much, and a model after some training tolerates long steps less: at ten times
            the default most examples gained nothing (docs/studies.md).
        optimizer: `adam` with the usual constants (β = 0.9, 0.999, ε = 1e-8), or `sgd`, plain.

    References:
        | Likelihood Regret: An Out-of-Distribution Detection Score for Variational Auto-encoder
          (Xiao et al., 2020)
        | https://arxiv.org/abs/2003.02977
    """

    per: Per = "example"
    fake_features = ("likelihood_regret",)

    def __init__(
        self,
        *,
        steps: Annotated[int, Field(ge=1)] = 5,
        learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-5,
        optimizer: Literal["adam", "sgd"] = "adam",
    ) -> None:
        self.steps = steps
        self.learning_rate = learning_rate
        self.optimizer: Literal["adam", "sgd"] = optimizer

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the single column, `"likelihood_regret"`."""
        return ("likelihood_regret",)

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the regret per example.

        Arguments:
            model: In evaluation mode; left unchanged.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, 1), in nats; never negative.

        Raises:
            UnsupportedError: The model is not a `torch.nn.Module`, or its log-probability has no
                gradient.
            ValueError: A group contains several examples.
        """
        from plugins.statistics.regret import Ascent, regrets

        x = examples_of("likelihood_regret", groups)
        ascent = Ascent(self.steps, self.learning_rate, self.optimizer)
        return regrets(model, x, ascent).cpu().numpy().reshape(-1, 1)
