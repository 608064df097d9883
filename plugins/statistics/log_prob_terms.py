"""Terms that sum to the log-probability, per example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from oodbench import DensityModel, HasLogProbTerms, Per, Side, UnsupportedError
from plugins.statistics.per_example import examples_of

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
    """Terms in each example's log-probability, in nats; no graph is built.

    For a flow these are the log-density in latent space, the log absolute determinant and the
    bin width, by level if the flow has levels; each row sums to `log_prob`. A model without a
    `log_prob_terms` method is `unsupported`.
    """

    per: Per = "example"
    fake_features = ("base.0", "ladj.0", "base.1", "ladj.1", "bins")

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the names that the model gives the terms, in the model's order.

        Raises:
            UnsupportedError: The model does not have `log_prob_terms`.
        """
        import torch

        devices = (parameter.device for _, parameter in model.named_parameters())
        shape, device = (1, *model.domain.shape), next(devices, None)
        return tuple(_terms(model, torch.zeros(shape, dtype=torch.uint8, device=device)))

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """Terms of two levels, and the width of the bins, which is constant."""
        import numpy as np

        return np.array(FAKE_TERMS[side]) + np.array([15.0] * 4 + [0.0]) * noise

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate `log_prob_terms` for each example.

        Arguments:
            model: In evaluation mode.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, F), in nats; the row sum is lower for less probable examples.

        Raises:
            UnsupportedError: The model does not have `log_prob_terms`.
            ValueError: A group contains several examples.
        """
        import torch

        terms = _terms(model, examples_of("log_prob_terms", groups))
        values = torch.stack(list(terms.values()), dim=1)
        return values.to("cpu", torch.float64).numpy()


def _terms(model: DensityModel, x: Tensor) -> dict[str, Tensor]:
    """Evaluate the terms for examples x, without a graph."""
    import torch

    if not isinstance(model, HasLogProbTerms):
        name = type(model).__name__
        raise UnsupportedError(
            f"log_prob_terms needs a model with log_prob_terms; {name} lacks this method"
        )
    with torch.no_grad():
        return model.log_prob_terms(x)
