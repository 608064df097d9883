"""A small exact density over discrete images, for whoever needs a model to try something on."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from harness.contracts import Likelihood
from harness.domain import Images


class TinyAutoregression(nn.Module):
    """P(x) = Π_i softmax(a_i + Σ_{j<i} y_j W_ij)[x_i], with y the pixels scaled to -1 to 1.

    Exact by construction: it sums to 1 over the domain.

    Arguments:
        domain: What it is a density over.
        seed: Of its initial parameters.
    """

    likelihood: Likelihood = "exact"

    def __init__(self, domain: Images, *, seed: int = 0) -> None:
        super().__init__()
        self.domain = domain
        generator = torch.Generator().manual_seed(seed)
        dims, levels = domain.dims, domain.levels
        self.bias = nn.Parameter(0.5 * torch.randn(dims, levels, generator=generator))
        self.weight = nn.Parameter(
            torch.randn(dims, dims, levels, generator=generator) / dims**0.5
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability in nats, floating, (N,), of uint8 (N, *domain.shape)."""
        return self._log_pixels(x).sum(1)

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Log-probability of each pixel given those before it, `pixel.0` and so on, (N,) each."""
        pixels = self._log_pixels(x).unbind(1)
        return {f"pixel.{place}": pixel for place, pixel in enumerate(pixels)}

    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw samples, pixel by pixel; the temperature divides the logits."""
        x = torch.zeros(n, self.domain.dims, dtype=torch.uint8)
        with torch.no_grad():
            for i in range(self.domain.dims):
                probabilities = (self._logits(x)[:, i] / temperature).softmax(-1)
                drawn = torch.multinomial(probabilities, 1, generator=generator)
                x[:, i] = drawn.squeeze(1).to(torch.uint8)
        return x.view(n, *self.domain.shape)

    def _log_pixels(self, x: Tensor) -> Tensor:
        """Log-probability of each pixel given those before it, (N, D)."""
        logits = self._logits(x.flatten(1))
        chosen = x.flatten(1).long().unsqueeze(-1)
        return logits.log_softmax(-1).gather(-1, chosen).squeeze(-1)

    def _logits(self, x: Tensor) -> Tensor:
        """Logits of every pixel given those before it, (N, D, levels)."""
        y = 2 * x.to(self.weight.dtype) / (self.domain.levels - 1) - 1  # (N, D)
        mask = torch.ones(self.domain.dims, self.domain.dims, dtype=y.dtype).tril(-1)
        weight = self.weight * mask.to(y.device).unsqueeze(-1)
        return self.bias + torch.einsum("nj,ijk->nik", y, weight)
