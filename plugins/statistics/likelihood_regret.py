"""How much more probable a few steps of training on an example alone make it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from oodbench import DensityModel, Per

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class LikelihoodRegret:
    r"""Gain in log-probability from training a copy of the model on one example alone, in nats.

    r(x) = max_{0 <= t <= T} log p(x; θ_t) - log p(x; θ),   θ_0 = θ,
    θ_t from θ_{t-1} by a step of the optimiser that ascends log p(x; θ)          (Eq. 5)

    The maximum stands for that over all parameters: a step that goes too far costs nothing, and
    the regret is never negative.

    Departures from the paper:
        There the model is a variational autoencoder and only its encoder is optimised, by 100
        steps of Adam. A flow has no encoder: all parameters are optimised, in few steps, since
        enough of them would fit any example. One step of `sgd` gains about `learning_rate` times
        the squared gradient norm, so few and small steps tell what the norm tells.

    Copies of a small model are trained side by side, by automatic vectorisation, as many as fit
    a bound on memory; those of a large model, or of one that cannot be vectorised, one after the
    other, with the same numbers up to rounding.

    Arguments:
        steps: T.
        learning_rate: Of the optimiser. Steps of `adam` are about as long as this in every number,
            and a model after some training stands longer steps worse: at ten times the default
            most examples gained nothing (docs/studies.md).
        optimizer: `adam` with its usual constants (β = 0.9, 0.999, ε = 1e-8), or `sgd`, plain.

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
        """The one column, `"likelihood_regret"`."""
        return ("likelihood_regret",)

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the regret of each example.

        Arguments:
            model: In evaluation mode; left as found.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, 1), in nats; never negative.

        Raises:
            ValueError: A group holds more than one example.
        """
        from plugins.statistics.regret import Ascent, regrets

        if groups.shape[1] != 1:
            name = "likelihood_regret"
            raise ValueError(f"{name} is per example: groups of {groups.shape[1]}, not of 1")
        ascent = Ascent(self.steps, self.learning_rate, self.optimizer)
        return regrets(model, groups[:, 0], ascent).cpu().numpy().reshape(-1, 1)
