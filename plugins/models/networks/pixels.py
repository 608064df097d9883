"""Distributions of discrete pixels, with parameters computed by a network for every pixel."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from oodbench import Images

LOG_SCALES = -7.0, 7.0
"""Limits for log-scales, with grey levels mapped to [-1, 1]. The lower limit is the authors'."""

PixelsName: TypeAlias = Literal["logistics", "categorical"]


class Pixels(Protocol):
    """A distribution of each pixel, given the outputs of a network at this pixel."""

    outputs: int
    """Number of channels that the network returns."""

    def log_prob(self, raw: Tensor, x: Tensor) -> Tensor:
        """Evaluate log P(x), (N,), in nats, for raw, (N, outputs, H, W), and x, (N, C, H, W)."""

    def sample(self, raw: Tensor, generator: Generator, temperature: float) -> Tensor:
        """Draw x, uint8, (N, C, H, W), with noise from a generator on the CPU.

        The temperature is a factor on the noise; at 0 the same raw gives the same x.
        """


def make_pixels(name: PixelsName, domain: Images, *, components: int) -> Pixels:
    """Build the distribution with the given name; `components` is for `logistics`."""
    if name == "categorical":
        return Categorical(domain)
    return LogisticMixture(domain, components=components)


def scaled(domain: Images, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Map grey levels to [-1, 1], floating with the given dtype, the shape of x."""
    return x.to(dtype) * (2 / (domain.levels - 1)) - 1


class LogisticMixture:
    r"""Mixture of discretised logistics, in which a channel's mean depends on earlier channels.

    P(x) = sum_k softmax(logits)_k prod_c [sigma(u_ck) - sigma(l_ck)]     (Salimans et al., Eq. 2)
    u_ck, l_ck = (y_c +- h - m_ck) / s_ck
    m_ck = mean_ck + sum_{d<c} tanh(coef_cdk) y_d                                          (Eq. 3)

    y is x mapped to [-1, 1], and h half the distance between two grey levels. At the lowest grey
    level l is -infinity, and at the highest u is infinity: P sums to 1 over all values of a pixel.
    The difference is computed without cancellation and needs no lower limit (1e-12 in the authors'
    code):

    log(sigma(u) - sigma(l)) = log(1 - exp(l - u)) - softplus(-u) - softplus(l)

    The raw channels are: logits (K), means (C K), log-scales (C K), coefficients (C (C-1) / 2 K).

    Arguments:
        domain: The images.
        components: Number of logistics, K.

    References:
        | PixelCNN++ (Salimans et al., 2017), 2.1 and 2.2
        | https://arxiv.org/abs/1701.05517
    """

    def __init__(self, domain: Images, *, components: int) -> None:
        channels = domain.channels
        self._domain, self._components = domain, components
        self.outputs = components * (1 + 2 * channels + channels * (channels - 1) // 2)

    def log_prob(self, raw: Tensor, x: Tensor) -> Tensor:
        """See `Pixels.log_prob`; x is uint8, or floating in grey levels."""
        logits, means, log_scales, coefficients = self._parameters(raw)
        levels, half = self._domain.levels, 1 / (self._domain.levels - 1)
        x = x.to(raw.dtype).unsqueeze(2)  # (N, C, 1, H, W)
        y = scaled(self._domain, x, raw.dtype)
        joint = logits
        for c, mean in enumerate(self._conditioned(means, coefficients, y)):
            rate = torch.exp(-log_scales[c])
            distance = (y[:, c] - mean) * rate  # (N, K, H, W)
            reach = half * rate
            is_lowest, is_highest = x[:, c] == 0, x[:, c] == levels - 1
            below = F.softplus(reach.neg() - distance).masked_fill(is_highest, 0)
            above = F.softplus(distance - reach).masked_fill(is_lowest, 0)
            inside = torch.log(-torch.expm1(-2 * reach)).masked_fill(is_lowest | is_highest, 0)
            joint = joint + (inside - below - above)
        pixels = joint.logsumexp(1) - logits.logsumexp(1)  # (N, H, W)
        return pixels.flatten(1).sum(1)

    def sample(self, raw: Tensor, generator: Generator, temperature: float) -> Tensor:
        """See `Pixels.sample`; the temperature scales the noise in the choice of k and of x."""
        logits, means, log_scales, coefficients = self._parameters(raw)
        chosen = logits + temperature * _gumbel(logits, generator)
        chosen = chosen.argmax(1, keepdim=True)  # (N, 1, H, W)
        y = raw.new_empty(len(raw), 0, *raw.shape[2:])
        for c in range(self._domain.channels):
            *_, mean = self._conditioned(means[: c + 1], coefficients, y.unsqueeze(2))
            mean, log_scale = mean.gather(1, chosen), log_scales[c].gather(1, chosen)
            noise = torch.logit(_uniform(mean, generator)) * temperature
            value = mean + torch.exp(log_scale) * noise
            level = torch.round((value + 1) * ((self._domain.levels - 1) / 2))
            level = level.clamp(0, self._domain.levels - 1)
            y = torch.cat((y, scaled(self._domain, level, raw.dtype)), dim=1)
        return torch.round((y + 1) * ((self._domain.levels - 1) / 2)).to(torch.uint8)

    def _parameters(self, raw: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        """Split raw: logits, means, log-scales and coefficients, (N, K, H, W) each."""
        # Contiguous, because sums over the components then run along memory.
        parts = list(raw.contiguous().unflatten(1, (-1, self._components)).unbind(1))
        channels = self._domain.channels
        log_scales = [part.clamp(*LOG_SCALES) for part in parts[1 + channels : 1 + 2 * channels]]
        coefficients = [part.tanh() for part in parts[1 + 2 * channels :]]
        return parts[0], parts[1 : 1 + channels], log_scales, coefficients

    def _conditioned(
        self, means: list[Tensor], coefficients: list[Tensor], y: Tensor
    ) -> list[Tensor]:
        """Add the influence of earlier channels of y, (N, C, 1, H, W), to the means."""
        left, found = iter(coefficients), []
        for c, mean in enumerate(means):
            for d in range(c):
                mean = mean + next(left) * y[:, d]
            found.append(mean)
        return found


class Categorical:
    """A probability for each grey level, for every pixel and channel: softmax over 2^bits logits.

    Arguments:
        domain: The images.
    """

    def __init__(self, domain: Images) -> None:
        self._domain = domain
        self.outputs = domain.channels * domain.levels

    def log_prob(self, raw: Tensor, x: Tensor) -> Tensor:
        """See `Pixels.log_prob`; x is uint8."""
        logits = raw.unflatten(1, (self._domain.channels, -1)).transpose(1, 2)
        pixels = F.cross_entropy(logits, x.long(), reduction="none")  # (N, C, H, W)
        return -pixels.flatten(1).sum(1)

    def sample(self, raw: Tensor, generator: Generator, temperature: float) -> Tensor:
        """See `Pixels.sample`; the temperature divides the logits."""
        logits = raw.unflatten(1, (self._domain.channels, -1))  # (N, C, levels, H, W)
        drawn = logits + temperature * _gumbel(logits, generator)
        return drawn.argmax(2).to(torch.uint8)


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    """Draw uniform numbers in (0, 1), with the shape, dtype and device of a tensor."""
    u = torch.rand(like.shape, generator=generator, dtype=torch.float32)
    return u.clamp(2.0**-25, 1 - 2.0**-24).to(like)  # u is a multiple of 2**-24 and may be 0


def _gumbel(like: Tensor, generator: Generator) -> Tensor:
    """Draw standard Gumbel noise; the largest of logits plus noise is a draw from the softmax."""
    return -torch.log(-torch.log(_uniform(like, generator)))
