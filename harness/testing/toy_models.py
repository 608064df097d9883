"""Small exact densities over examples, for tests and examples that need a model."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from harness.contracts import Likelihood
from harness.domain import Domain


class TinyAutoregression(nn.Module):
    """P(x) = Π_i softmax(s (a_i + Σ_{j<i} y_j W_ij))[x_i], with the pixels y scaled to [-1, 1].

    Exact by construction: the probabilities sum to 1 over the domain. The scale s is a scalar
    parameter: statistics of layers must work for parameters without dimensions.

    Arguments:
        domain: Domain of the density.
        seed: Seed for the initial parameters.
    """

    likelihood: Likelihood = "exact"

    def __init__(self, domain: Domain, *, seed: int = 0) -> None:
        super().__init__()
        self.domain = domain
        generator = torch.Generator().manual_seed(seed)
        dims, levels = domain.dims, domain.levels
        self.scale = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(0.5 * torch.randn(dims, levels, generator=generator))
        self.weight = nn.Parameter(
            torch.randn(dims, dims, levels, generator=generator) / dims**0.5
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability in nats, floating, (N,), for integers (N, *domain.shape)."""
        return self._log_pixels(x).sum(1)

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Return log-probabilities per pixel given the pixels before, (N,), as `pixel.0` etc."""
        pixels = self._log_pixels(x).unbind(1)
        return {f"pixel.{place}": pixel for place, pixel in enumerate(pixels)}

    def log_prob_tokens(self, x: Tensor) -> Tensor:
        """Return log P(x_i | x_1, ..., x_{i-1}) for each integer x_i, with the shape of x."""
        return self._log_pixels(x).view(x.shape)

    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw samples pixel by pixel; the temperature divides the logits."""
        x = torch.zeros(n, self.domain.dims, dtype=torch.int64, device=self.weight.device)
        with torch.no_grad():
            for i in range(self.domain.dims):
                probabilities = (self._logits(x)[:, i] / temperature).softmax(-1).cpu()
                drawn = torch.multinomial(probabilities, 1, generator=generator)
                x[:, i] = drawn.squeeze(1).to(x)
        return x.view(n, *self.domain.shape).to(getattr(torch, self.domain.input_dtype))

    def _log_pixels(self, x: Tensor) -> Tensor:
        """Return each pixel's log-probability given the pixels before, (N, D)."""
        logits = self._logits(x.flatten(1))
        chosen = x.flatten(1).long().unsqueeze(-1)
        return logits.log_softmax(-1).gather(-1, chosen).squeeze(-1)

    def _logits(self, x: Tensor) -> Tensor:
        """Return logits for every pixel given the pixels before, (N, D, levels)."""
        y = 2 * x.to(self.weight.dtype) / (self.domain.levels - 1) - 1  # (N, D)
        mask = torch.ones_like(self.weight[..., 0]).tril(-1)
        weight = self.weight * mask.unsqueeze(-1)
        return self.scale * (self.bias + torch.einsum("nj,ijk->nik", y, weight))


class TinyFlow(nn.Module):
    """z = sinh(W y + c), where y is the bin centre scaled to [-1, 1]; standard normal base.

    log P(x) = log N(z; 0, I) + Σ_i log cosh(W y + c)_i + log|det W| + D log(2 / levels)

    The Jacobian of this flow varies with the input.

    Arguments:
        domain: Domain of the density.
        seed: Seed for the initial parameters.
    """

    likelihood: Likelihood = "exact"

    def __init__(self, domain: Domain, *, seed: int = 0) -> None:
        super().__init__()
        self.domain = domain
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(domain.dims, domain.dims, generator=generator) / domain.dims**0.5
        self.weight = nn.Parameter(torch.eye(domain.dims) + 0.5 * noise)
        self.bias = nn.Parameter(0.2 * torch.randn(domain.dims, generator=generator))

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability in nats, floating, (N,), for integers (N, *domain.shape)."""
        return self.log_density(x.to(self.weight.dtype) + 0.5)

    def log_density(self, y: Tensor) -> Tensor:
        """Return the log-density in nats, floating, (N,), for images in grey levels."""
        a = self._affine(y - 0.5)
        base = -0.5 * (a.sinh().square() + math.log(2 * math.pi)).sum(1)
        ladj: Tensor = a.cosh().log().sum(1) + torch.linalg.slogdet(self.weight).logabsdet
        return base + ladj + self.domain.dims * math.log(2 / self.domain.levels)

    def to_noise(self, x: Tensor) -> Tensor:
        """Return z, floating, (N, D), for images in grey levels, (N, *domain.shape)."""
        return torch.sinh(self._affine(x))

    def reconstruct(self, x: Tensor, start: float, steps: int, noise_seed: int) -> Tensor:
        """Move W y + c towards noise by the share `start`, and back to grey levels."""
        with torch.no_grad():
            generator = torch.Generator().manual_seed(noise_seed)
            noise = torch.randn(self.domain.dims, generator=generator).to(self.bias)
            a = torch.lerp(self._affine(x), noise, start)
            y = (a - self.bias) @ torch.linalg.inv(self.weight).T
            levels: Tensor = ((y + 1) * (self.domain.levels / 2) - 0.5).reshape(x.shape)
            return levels.clamp(0, self.domain.levels - 1)

    @property
    def noise_range(self) -> tuple[float, float]:
        """Almost any amount of noise."""
        return 1e-3, 1e6

    def estimate_noise(self, z: Tensor, sd: float) -> Tensor:
        """Move W y + c towards 0 the more, the less noise there is, (N, *domain.shape)."""
        with torch.no_grad():
            return (self._affine(z) / (1 + sd)).reshape(z.shape)

    def _affine(self, x: Tensor) -> Tensor:
        y = 2 * (x.flatten(1).to(self.weight.dtype) + 0.5) / self.domain.levels - 1
        a: Tensor = y @ self.weight.T + self.bias
        return a
