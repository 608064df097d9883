"""ActNorm: a scale and a bias per channel, initialised from the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# About the standard deviation of 8-bit dequantisation noise, 1/256/sqrt(12). A channel with a
# smaller deviation is only centred: dividing by tiny deviations in each step would overflow in a
# deep flow.
CONSTANT_SD = 1e-3


class ActNorm(nn.Module):
    r"""Affine layer with a scale and a bias per channel.

    y = (x + bias) * exp(log_scale)

    The layer is the identity until `initialise` is called. The forward pass never initialises,
    so that every call computes the same function; the buffer `initialised` records whether the
    layer was initialised.

    Arguments:
        channels: Number of input channels, C in (N, C, H, W).

    References:
        | Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018), 3.1
        | https://arxiv.org/abs/1807.03039
    """

    initialised: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift x, floating, (N, C, H, W)."""
        return (x + self.bias) * torch.exp(self.log_scale)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set scale and bias to give `forward(x)` zero mean and unit variance per channel.

        A constant channel (standard deviation below 1e-3) is centred and keeps the scale 1.

        Arguments:
            x: Floating, (N, C, H, W).
        """
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)  # (C,)
        self.set(-mean, -log_sd(variance))

    @torch.no_grad()
    def set(self, bias: Tensor, log_scale: Tensor) -> None:
        """Set the initial values, each (C,) or a scalar."""
        self.bias.copy_(bias.reshape(-1, 1, 1).expand_as(self.bias))
        self.log_scale.copy_(log_scale.reshape(-1, 1, 1).expand_as(self.log_scale))
        self.initialised.fill_(True)


class InvertibleActNorm(ActNorm):
    """ActNorm as a flow step, also returning ladj = H W sum_c log_scale_c, (N,)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,)."""
        ladj = self.log_scale.sum() * (x.shape[2] * x.shape[3])
        return super().forward(x), ladj.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        return y * torch.exp(-self.log_scale) - self.bias


def log_sd(variance: Tensor) -> Tensor:
    """Compute the log standard deviation, 0 where the standard deviation is below 1e-3."""
    return torch.where(variance < CONSTANT_SD**2, 1.0, variance).log() / 2


@contextmanager
def initialising(module: nn.Module) -> Iterator[None]:
    """Initialise every ActNorm in `module` from the call's input, inside the context.

    Each ActNorm is set just before being applied, so that later layers see normalised activations
    and a single forward pass initialises all layers. Earlier values do not matter.
    """

    def initialise(norm: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, ActNorm)
        norm.initialise(*args)

    norms = [child for child in module.modules() if isinstance(child, ActNorm)]
    hooks = [norm.register_forward_pre_hook(initialise) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
