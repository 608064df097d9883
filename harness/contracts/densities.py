"""Optional capabilities of a model about its log-probability: terms, tokens, densities, draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Generator, Tensor


@runtime_checkable
class HasLogProbTerms(Protocol):
    """Optional model capability: a log-probability with named terms.

    Example:
        >>> from oodbench import HasLogProbTerms
        >>> class TwoTerms:
        ...     def log_prob_terms(self, x):
        ...         z = x.flatten(1) / 256
        ...         return {"base": -z.square().sum(1), "ladj": z.new_zeros(len(z))}
        >>> isinstance(TwoTerms(), HasLogProbTerms)
        True
    """

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Return the terms, for example `base`, `ladj` and `bins`, with sum `log_prob(x)`.

        Terms of one kind that belong to different levels of a model end in the level number,
        counted from 0 at the data: `base.0`, `ladj.0`, `base.1`, `ladj.1`, `bins`. Names and
        order depend on the model alone, not on x.

        Returns:
            Floating, each (N,), in nats.
        """


@runtime_checkable
class HasLogProbTokens(Protocol):
    """Optional capability of a model of text: a log-probability for each token.

    Example:
        >>> import math
        >>> import torch
        >>> from oodbench import HasLogProbTokens
        >>> class Uniform:
        ...     def log_prob_tokens(self, x):
        ...         return torch.full(x.shape, -math.log(256))
        >>> isinstance(Uniform(), HasLogProbTokens)
        True
    """

    def log_prob_tokens(self, x: Tensor) -> Tensor:
        """Return log P(x_t | x_1, ..., x_{t-1}) for each token; their sum is `log_prob(x)`.

        Arguments:
            x: int64, (N, T).

        Returns:
            Floating, (N, T), in nats.
        """


@runtime_checkable
class HasLogDensity(Protocol):
    """Optional model capability: a density over real-valued images, behind `log_prob`.

    The density p gives a discrete example x the probability E_u p(x + u), u uniform in [0, 1)^D.
    Bits per dimension of a model with this capability are -E_u log p(x + u) / (D ln 2), an upper
    bound by Jensen's inequality; bits per dimension of any other model come from `log_prob`.

    Example:
        >>> import torch
        >>> from oodbench import HasLogDensity
        >>> class Uniform:
        ...     def log_density(self, y):
        ...         return -torch.full((len(y),), 256.0).log() * y[0].numel()
        ...
        ...     def log_prob(self, x):
        ...         return self.log_density(x + 0.5)
        >>> isinstance(Uniform(), HasLogDensity)
        True
        >>> Uniform().log_density(255 * torch.rand(2, 1, 1, 1)).exp().tolist()
        [0.00390625, 0.00390625]
    """

    def log_density(self, y: Tensor) -> Tensor:
        """Return the log-density of real-valued images in grey levels.

        A bin has volume 1, and `log_prob(x)` is `log_density(x + 1/2)`. The result is
        differentiable in y and the parameters, deterministic and per example; `y` is left
        unchanged.

        Arguments:
            y: Floating, (N, *domain.shape), with the dtype of the parameters, in grey levels: the
                bin of a discrete example x is x to x + 1 in each dimension.

        Returns:
            Floating, (N,), in nats.
        """


@runtime_checkable
class HasLogProbEstimate(Protocol):
    """Optional model capability: draws that improve on a `log_prob` that is a bound or estimate.

    The conformance kit compares `log_prob` with this estimate on a small domain.

    Example:
        >>> import torch
        >>> from oodbench import HasLogProbEstimate
        >>> class CoinThenPixel:
        ...     def estimate_log_prob(self, x, draws, generator):
        ...         coin = torch.randint(2, (draws, 1), generator=generator)  # the latent
        ...         bright = torch.where(coin == 1, 0.9, 0.1)
        ...         is_bright = x.flatten(1)[:, 0] > 127
        ...         return torch.where(is_bright, bright, 1 - bright).mean(0).log()
        >>> isinstance(CoinThenPixel(), HasLogProbEstimate)
        True
    """

    def estimate_log_prob(self, x: Tensor, draws: int, generator: Generator) -> Tensor:
        """Estimate the log-probability, for example by importance weights.

        Arguments:
            x: uint8, (N, *domain.shape).
            draws: Number of draws for each example; with more, the estimate converges.
            generator: On the CPU; the only source of randomness.

        Returns:
            Floating, (N,), in nats.
        """


@runtime_checkable
class Flow(Protocol):
    """Optional model capability: a normalising flow maps real-valued images to noise.

    Example:
        >>> import torch
        >>> from oodbench import Flow
        >>> class Scaling:
        ...     def to_noise(self, x):
        ...         return (x.flatten(1) - 127.5) / 64
        >>> isinstance(Scaling(), Flow)
        True
        >>> Scaling().to_noise(torch.full((1, 1, 1, 2), 191.5)).tolist()
        [[1.0, 1.0]]
    """

    def to_noise(self, x: Tensor) -> Tensor:
        """Return the noise from which the flow would generate an image, for all levels.

        The map is invertible, differentiable in x and the parameters, and per example.

        Arguments:
            x: Floating, (N, *domain.shape), with the dtype of the parameters, in grey levels; at
                whole numbers `log_prob` evaluates the same point.

        Returns:
            Floating, (N, domain.dims), in units of a base density without learned means or scales.
        """
