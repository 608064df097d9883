"""The terms of the log-probability of each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from oodbench import DensityModel, HasLogProbTerms, Per, Side, UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


FAKE_TERMS: Mapping[Side, Sequence[float]] = {
    "in": (-300.0, 700.0, -500.0, 400.0, -1300.0),
    "out": (-200.0, 800.0, -850.0, 250.0, -1300.0),
}
"""Made-up terms in nats. Their sums are those of the made-up values of `log_prob`. Out of
distribution the details, the terms of level 0, are more probable, and the upper level is less."""


class LogProbTerms:
    """The terms of each example's log-probability, in nats; no graph is built.

    For a flow the log-density of its latents, the log absolute determinant and the width of the
    bins, by level where it has levels; each row sums to `log_prob`. A model that has no
    `log_prob_terms` is `unsupported`.
    """

    per: Per = "example"
    fake_features = ("base.0", "ladj.0", "base.1", "ladj.1", "bins")

    def features(self, model: DensityModel) -> Sequence[str]:
        """The names of the terms, in the order of the model.

        Raises:
            UnsupportedError: The model has no `log_prob_terms`.
        """
        import torch

        parameter = next(parameter for _, parameter in model.named_parameters())
        shape = (1, *model.domain.shape)
        return tuple(_terms(model, torch.zeros(shape, dtype=torch.uint8, device=parameter.device)))

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """Terms of two levels, and the width of the bins, which is constant."""
        import numpy as np

        return np.array(FAKE_TERMS[side]) + np.array([15.0] * 4 + [0.0]) * noise

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate `log_prob_terms` on each example.

        Arguments:
            model: In evaluation mode.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, F), in nats; the sum of a row is lower for the less probable.

        Raises:
            UnsupportedError: The model has no `log_prob_terms`.
            ValueError: A group holds more than one example.
        """
        import torch

        if groups.shape[1] != 1:
            size = groups.shape[1]
            raise ValueError(f"log_prob_terms is per example: groups of {size}, not of 1")
        values = torch.stack(list(_terms(model, groups[:, 0]).values()), dim=1)
        return values.to("cpu", torch.float64).numpy()


def _terms(model: DensityModel, x: Tensor) -> dict[str, Tensor]:
    """The terms of examples x, without a graph."""
    import torch

    if not isinstance(model, HasLogProbTerms):
        name = type(model).__name__
        raise UnsupportedError(
            f"log_prob_terms needs a model with log_prob_terms; {name} has none"
        )
    with torch.no_grad():
        return model.log_prob_terms(x)
