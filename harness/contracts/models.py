"""The contract of density models, and optional capabilities besides `log_prob`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

from harness.domain import Domain

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Parameter

Likelihood: TypeAlias = Literal["exact", "lower_bound", "estimate", "unnormalized"]


@runtime_checkable
class DensityModel(Protocol):
    """A density over discrete examples; in practice a `torch.nn.Module`.

    The constructor takes the domain first, then the options. The annotation of the domain,
    such as `Images`, says which kinds of domains the model takes; for another unsupported domain
    the constructor must raise `DomainError`. Layers are the named parameter tensors.

    With precision `bfloat16`, methods are called under `torch.autocast`: parameters and inputs are
    float32, and products and convolutions return bfloat16. The model converts what its networks
    return to float32 before it goes on, and turns autocasting off for any other product. So
    densities, log-determinants, losses and sums are float32.

    Example:
        >>> import torch
        >>> from oodbench import DensityModel, Images, bits_per_dim
        >>> class Histogram(torch.nn.Module):
        ...     likelihood = "exact"
        ...
        ...     def __init__(self, domain):
        ...         super().__init__()
        ...         self.domain = domain
        ...         self.logits = torch.nn.Parameter(torch.zeros(domain.levels))
        ...
        ...     def log_prob(self, x):
        ...         return self.logits.log_softmax(0)[x.long()].flatten(1).sum(1)
        >>> model = Histogram(Images(channels=1, height=2, width=2))
        >>> isinstance(model, DensityModel)
        True
        >>> x = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
        >>> bits_per_dim(model.log_prob(x), dims=4).tolist()
        [8.0, 8.0, 8.0]
    """

    likelihood: Likelihood

    @property
    def domain(self) -> Domain:
        """The domain passed to the constructor."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of each discrete example.

        The result is differentiable in the parameters, deterministic and per example (no number
        depends on the rest of the batch); `x` is left unchanged. Scaling is up to the model: a
        continuous density is evaluated at the middle of the bin and includes -dims * bits * ln 2.
        That value is no probability, so such a model should also have `log_density`.

        Arguments:
            x: `domain.input_dtype`, (N, *domain.shape), on the device of the parameters.

        Returns:
            Floating, (N,), in nats, on the device of x.
        """

    def named_parameters(self) -> Iterable[tuple[str, Parameter]]:
        """Like `torch.nn.Module.named_parameters`; each tensor is named once."""

    def state_dict(self) -> dict[str, Tensor]:
        """Like `torch.nn.Module.state_dict`: everything that `log_prob` depends on."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> Any:
        """Like `torch.nn.Module.load_state_dict`."""

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Like `torch.nn.Module.to`: moves to a device or casts to float32 or float64."""

    def train(self, mode: bool = True) -> Self:
        """Like `torch.nn.Module.train`."""

    def eval(self) -> Self:
        """Like `torch.nn.Module.eval`."""


@runtime_checkable
class Preparable(Protocol):
    """Optional model capability: a data-dependent start, for example by ActNorm.

    Example:
        >>> from oodbench import Preparable
        >>> class Centred:
        ...     def prepare(self, x):
        ...         self.mean = x.double().mean(0)
        >>> isinstance(Centred(), Preparable)
        True
    """

    def prepare(self, x: Tensor) -> None:
        """Initialise from training examples, before epoch 0; the result is part of the state.

        Arguments:
            x: `domain.input_dtype`, (N, *domain.shape).
        """


@runtime_checkable
class Trainable(Protocol):
    """Optional model capability: a custom training loss; the default is -mean log_prob.

    Example:
        >>> import torch
        >>> from oodbench import Trainable
        >>> class Dequantised:
        ...     def training_loss(self, x, generator):
        ...         noisy = x + torch.rand(x.shape, generator=generator)
        ...         return (noisy / 256).square().flatten(1).sum(1).mean()
        >>> isinstance(Dequantised(), Trainable)
        True
    """

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the loss of a batch, for example the negative log-density after dequantisation.

        Arguments:
            x: `domain.input_dtype`, (N, *domain.shape).
            generator: On the CPU; the only source of randomness.

        Returns:
            A scalar, in nats per example (the harness optimises the loss in bits per dimension).
        """


@runtime_checkable
class Samplable(Protocol):
    """Optional model capability: drawing samples.

    Example:
        >>> import torch
        >>> from oodbench import Samplable
        >>> class Uniform:
        ...     def sample(self, n, generator, temperature=1.0):
        ...         size = (n, 1, 8, 8)
        ...         return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
        >>> isinstance(Uniform(), Samplable)
        True
        >>> Uniform().sample(3, torch.Generator()).shape
        torch.Size([3, 1, 8, 8])
    """

    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw samples.

        Arguments:
            n: Number of samples.
            generator: On the CPU; the only source of randomness.
            temperature: Factor on the standard deviation of the base density.

        Returns:
            `domain.input_dtype`, (n, *domain.shape).
        """


@runtime_checkable
class Reconstructs(Protocol):
    """Optional model capability: adding noise to examples and removing it again.

    Example:
        >>> import torch
        >>> from oodbench import Reconstructs
        >>> class Shrinking:
        ...     def reconstruct(self, x, start, steps, noise_seed):
        ...         return (1 - start) * x.float() + start * 127.5
        >>> isinstance(Shrinking(), Reconstructs)
        True
        >>> Shrinking().reconstruct(torch.full((1, 1, 1, 1), 255).byte(), 0.5, 1, 0).item()
        191.25
    """

    def reconstruct(self, x: Tensor, start: float, steps: int, noise_seed: int) -> Tensor:
        """Reconstruct examples from noise; deterministic and per example, without a graph.

        Arguments:
            x: `domain.input_dtype`, (N, *domain.shape).
            start: Amount of noise, in (0, 1]; 1 leaves almost nothing of an example.
            steps: Number of steps in which the noise is removed.
            noise_seed: Seed for the noise, which is the same for every example.

        Returns:
            Floating, (N, *domain.shape), in grey levels, where whole numbers are examples.
        """


@runtime_checkable
class EstimatesNoise(Protocol):
    """Optional model capability: estimating the noise in a noisy example, at any level of noise.

    With p the density of examples with noise of standard deviation `sd`, the estimate is
    -sd ∇ log p(z), minus the score of this density in units of the noise (Tweedie's formula).

    Example:
        >>> import torch
        >>> from oodbench import EstimatesNoise
        >>> class Gaussian:
        ...     "Of grey levels with mean 127.5 and standard deviation 50."
        ...     noise_range = (1.0, 1000.0)
        ...
        ...     def estimate_noise(self, z, sd):
        ...         return sd * (z - 127.5) / (50**2 + sd**2)
        >>> isinstance(Gaussian(), EstimatesNoise)
        True
        >>> Gaussian().estimate_noise(torch.full((1, 1, 1, 1), 177.5), 50.0).item()
        0.5
    """

    @property
    def noise_range(self) -> tuple[float, float]:
        """Least and largest standard deviation that training covers, in grey levels."""

    def estimate_noise(self, z: Tensor, sd: float) -> Tensor:
        """Estimate E[ε | z] for z = x + sd ε, ε ~ N(0, I); per example, without a graph.

        Arguments:
            z: Integers or floating, (N, *domain.shape), in grey levels, where whole numbers are
                examples.
            sd: Standard deviation of the noise, in grey levels, in `noise_range`.

        Returns:
            Floating, (N, *domain.shape), with the dtype of the parameters.
        """
