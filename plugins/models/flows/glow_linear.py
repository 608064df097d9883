"""Single-level Glow with fully connected couplings."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from oodbench import Images
from plugins.models.flows.actnorm import InvertibleActNorm, log_sd
from plugins.models.flows.couplings import LinearCoupling
from plugins.models.flows.dequantised import DequantisedFlow
from plugins.models.flows.mixing import InvertibleConv1x1


def standard_logistic_log_prob(z: Tensor) -> Tensor:
    """Sum the standard logistic log-density, -z - 2 softplus(-z), in nats: (N, D) to (N,).

    The code uses log sigmoid(z) = -softplus(-z), evaluated to full precision by torch.
    """
    return (2 * F.logsigmoid(z) - z).sum(1)


class GlowLinearStep(nn.Module):
    """ActNorm, invertible 1x1 convolution and fully connected coupling.

    Arguments:
        domain: The images, (C, H, W).
        width: Units in the coupling's hidden layers.
        hidden_layers: Number of hidden layers in the coupling.
    """

    def __init__(self, domain: Images, *, width: int, hidden_layers: int) -> None:
        super().__init__()
        self.norm = InvertibleActNorm(domain.channels)
        self.mix = InvertibleConv1x1(domain.channels)
        self.coupling = LinearCoupling(domain.dims, width=width, hidden_layers=hidden_layers)

    def forward(self, x: Tensor, parity: int) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,).

        `parity` is passed to `LinearCoupling`.
        """
        x, ladj_norm = self.norm(x)
        x, ladj_mix = self.mix(x)
        x, ladj_coupling = self.coupling(x, parity)
        return x, ladj_norm + ladj_mix + ladj_coupling

    def inverse(self, y: Tensor, parity: int) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        return self.norm.inverse(self.mix.inverse(self.coupling.inverse(y, parity)))


class GlowLinear(DequantisedFlow):
    r"""Flow with `steps` fully connected steps and a logistic base density.

    base = sum_d (-z_d - 2 softplus(-z_d)),   ladj = log|det dz/dy|

    Step k keeps the dimensions with parity k mod 2 in the flattened image and transforms the rest.
    With `shared_steps`, all steps share the same weights, so that ActNorm is applied `steps`
    times: `prepare` then makes all applications together normalise, see `initialise`.

    Departures from the published code: the images are dequantised, and ladj is correct (the
    published code adds 1 for each coupling). Options restore the published behaviour in both
    cases, and `likelihood` is then `unnormalized`: a density trained on bin midpoints alone,
    without noise, need not be near the mean density over a bin, and every probability has the
    factor exp(ladj_constant * steps). Sharing the weights between steps, like in the published
    code, is also an option.

    Arguments:
        domain: Any images.
        steps: Number of flow steps.
        width: Units in the couplings' hidden layers.
        hidden_layers: Number of hidden layers in the couplings.
        shared_steps: Whether all steps share the same weights.
        dequantisation: `uniform` noise in training, or `none`: the bin midpoint, also in training.
        ladj_constant: Added to ladj for each step.

    References:
        | Out-of-Distribution Detection with Immature Models: https://arxiv.org/abs/2502.00820
        | Density estimation using Real NVP (Dinh et al., 2017): https://arxiv.org/abs/1605.08803
    """

    def __init__(
        self,
        domain: Images,
        *,
        steps: int,
        width: int,
        hidden_layers: int,
        shared_steps: bool,
        dequantisation: Literal["uniform", "none"],
        ladj_constant: float,
    ) -> None:
        super().__init__(domain)
        self._n_steps = steps
        self._has_noise = dequantisation == "uniform"
        self._ladj_constant = ladj_constant
        if not self._has_noise or ladj_constant:
            self.likelihood = "unnormalized"
        self.steps = nn.ModuleList(
            GlowLinearStep(domain, width=width, hidden_layers=hidden_layers)
            for _ in range(1 if shared_steps else steps)
        )

    def _step(self, k: int) -> nn.Module:
        return self.steps[k % len(self.steps)]

    def transform(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map y, (N, C, H, W), to z, (N, D), base and ladj, each (N,), in nats."""
        x, ladj = y, y.new_full(y.shape[:1], self._n_steps * self._ladj_constant)
        for k in range(self._n_steps):
            x, ladj_step = self._step(k)(x, k % 2)
            ladj = ladj + ladj_step
        z = x.flatten(1)  # (N, D)
        return z, standard_logistic_log_prob(z), ladj

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """See `DequantisedFlow.training_loss`; without dequantisation, -mean log_prob(x)."""
        if self._has_noise:
            return super().training_loss(x, generator)
        return -self.log_prob(x).mean()

    def dequantised(self, x: Tensor) -> Tensor:
        """See `DequantisedFlow.dequantised`; without dequantisation, x itself, floating."""
        return super().dequantised(x) if self._has_noise else self._within(x, 0.0)

    def latent(self, x: Tensor) -> Tensor:
        """Return the latent z, floating, (N, D), for x, uint8 or floating in grey levels.

        The code published with arXiv 2502.00820 differentiates the sum of this latent.
        """
        return self.to_noise(x)

    def inverse(self, z: Tensor) -> Tensor:
        """Map z, (N, D), to y, (N, C, H, W)."""
        y = z.reshape(-1, *self.domain.shape)
        for k in reversed(range(self._n_steps)):
            y = self._step(k).inverse(y, k % 2)
        return y

    def draw_noise(self, n: int, generator: Generator) -> Tensor:
        """Draw standard logistic z, float32, (n, D), on the CPU."""
        u = torch.rand(n, self.domain.dims, generator=generator, dtype=torch.float32)
        return torch.logit(u, eps=2.0**-25)  # u is a multiple of 2**-24 and may be 0

    def initialise(self, y: Tensor) -> None:
        r"""Initialise every ActNorm from y, (N, C, H, W).

        Separate steps are initialised in order. A shared step, applied n times with the 1x1
        convolution W between, maps y to

        (r W)^n y + sum_{k=1..n} (r W)^k bias,   r = exp(log_scale),

        ignoring the couplings, which start near the identity. A common r serves all channels,
        since W mixes the channels: r makes the output variance, averaged over the channels, equal
        to 1, and the bias makes each channel's mean 0. With a single channel r = sd^(-1/n).
        (Normalising each application instead would grow the activations by sd^-n.)
        """
        if len(self.steps) == self._n_steps:
            super().initialise(y)
            return
        step, n = self.steps[0], self._n_steps
        channels = y.transpose(0, 1).flatten(1).double()  # (C, N H W)
        mean, covariance = channels.mean(1), torch.cov(channels, correction=0)
        mix = step.mix.weight.double()
        mixed = torch.linalg.matrix_power(mix, n)  # W^n
        covariance = mixed @ covariance.reshape(mix.shape) @ mixed.T
        log_scale = -log_sd(torch.diagonal(covariance).mean()) / n
        powers = [torch.linalg.matrix_power(mix * torch.exp(log_scale), k + 1) for k in range(n)]
        bias = -torch.linalg.pinv(sum(powers)) @ powers[-1] @ mean
        step.norm.set(bias, log_scale)
