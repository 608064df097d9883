"""Log-probability of each token, per example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oodbench import DensityModel, HasLogProbTokens, Per, Side, UnsupportedError
from plugins.statistics.per_example import examples_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class LogProbTokens:
    """Log-probability of each token given those before, in nats; no graph is built.

    A column per token, named by its place in the window from 1; each row sums to `log_prob`. A
    model without a `log_prob_tokens` method is `unsupported`.
    """

    per: Per = "example"
    fake_features = tuple(f"token.{place}" for place in range(1, 11))

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the names `token.1`, `token.2`, ..., for each place in a window.

        Raises:
            UnsupportedError: The model does not have `log_prob_tokens`.
        """
        _require_tokens(model)
        return tuple(f"token.{place}" for place in range(1, model.domain.dims + 1))

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """About -3 nats for each token in distribution, and -6 nats out of distribution."""
        return -abs((3.0 if side == "in" else 6.0) + noise)

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate `log_prob_tokens` for each example.

        Arguments:
            model: In evaluation mode.
            groups: int64, (M, 1, T).

        Returns:
            float64, (M, T), in nats; lower is less probable.

        Raises:
            UnsupportedError: The model does not have `log_prob_tokens`.
            ValueError: A group contains several examples.
        """
        import torch

        x = examples_of("log_prob_tokens", groups)
        with torch.no_grad():
            values = _require_tokens(model).log_prob_tokens(x)
        return values.flatten(1).to("cpu", torch.float64).numpy()


def _require_tokens(model: DensityModel) -> HasLogProbTokens:
    """Return the model.

    Raises:
        UnsupportedError: The model does not have `log_prob_tokens`.
    """
    if not isinstance(model, HasLogProbTokens):
        name = type(model).__name__
        raise UnsupportedError(
            f"log_prob_tokens needs a model of text with log_prob_tokens; {name} lacks this method"
        )
    return model
