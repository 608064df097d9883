"""RealNVP: couplings on checkerboards and on halves of the channels, by residual networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oodbench import Images
from plugins.models.flows.actnorm import InvertibleActNorm
from plugins.models.flows.chain import Chain, Logit, Squeeze
from plugins.models.flows.multiscale import MultiscaleFlow, standard_normal_log_prob


class ResidualBlock(nn.Module):
    """h + conv2(relu(conv1(relu(h)))), 3x3 and 1x1, keeping the shape (N, width, H, W).

    Arguments:
        width: Number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        """Map floating (N, width, H, W) to the same shape."""
        return h + self.conv2(F.relu(self.conv1(F.relu(h))))


class ResidualCoupling(nn.Module):
    r"""Affine coupling: one half of the channels decides how the other is scaled and shifted.

    a, b = the half that is kept, the other half
    shift, raw = net(a),   log_scale = tanh(raw)
    a' = a,   b' = b exp(log_scale) + shift                          (Dinh et al. 2017, Eq. 7-8)
    ladj = sum of log_scale

    net: 3x3 convolution, `blocks` residual blocks, ReLU, and a 3x3 convolution that starts at
    zero, so that the coupling starts as the identity.

    Arguments:
        channels: Number of input channels, C in (N, C, H, W); even.
        kept: The half that is kept, 0 or 1.
        width: Number of channels in the hidden convolutions.
        blocks: Number of residual blocks.

    References:
        | Density estimation using Real NVP (Dinh et al., 2017), 3.2 to 3.4
        | https://arxiv.org/abs/1605.08803
    """

    def __init__(self, channels: int, kept: int, *, width: int, blocks: int) -> None:
        super().__init__()
        self.kept = kept
        self.net = nn.Sequential(
            nn.Conv2d(channels // 2, width, 3, padding=1),
            *(ResidualBlock(width) for _ in range(blocks)),
            nn.ReLU(),
            nn.Conv2d(width, channels, 3, padding=1),
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,)."""
        halves = list(x.chunk(2, dim=1))
        shift, log_scale = self._shift_and_log_scale(halves[self.kept])
        halves[1 - self.kept] = halves[1 - self.kept] * torch.exp(log_scale) + shift
        return torch.cat(halves, dim=1), log_scale.sum(dim=(1, 2, 3))

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        halves = list(y.chunk(2, dim=1))
        shift, log_scale = self._shift_and_log_scale(halves[self.kept])
        halves[1 - self.kept] = (halves[1 - self.kept] - shift) * torch.exp(-log_scale)
        return torch.cat(halves, dim=1)

    def _shift_and_log_scale(self, a: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = self.net(a).to(a.dtype).chunk(2, dim=1)  # 2 x (N, C/2, H, W)
        return shift, torch.tanh(raw)


class Permute(nn.Module):
    """Another order of the channels.

    Arguments:
        order: For each output channel, the number of the input channel.
    """

    order: Tensor
    back: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order, persistent=False)  # follows from the domain
        self.register_buffer("back", torch.argsort(order), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, channels-last, and ladj = 0, (N,)."""
        return _ordered(x, self.order), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        return _ordered(y, self.back)


def _ordered(x: Tensor, order: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).index_select(3, order).permute(0, 3, 1, 2)


def by_colour(channels: int) -> Tensor:
    """Return an order of squeezed channels, (4 channels,): a checkerboard's two colours in turn.

    Channel 4 c + 2 i + j of a squeezed image holds pixel (i, j) of each 2x2 block (see
    `squeeze`). The first half has the pixels with even i + j, the second half the others.
    """
    return torch.arange(4 * channels).reshape(channels, 4)[:, [0, 3, 1, 2]].T.flatten()


class FixedSplit(nn.Module):
    """Half the channels leave the flow, with the density N(0, 1): `Split` without parameters."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a and z, each floating, (N, C/2, H, W), and log p(z), (N,), in nats."""
        a, z = x.chunk(2, dim=1)
        return a, z, standard_normal_log_prob(z)

    def inverse(self, a: Tensor, z: Tensor) -> Tensor:
        """Return x, floating, (N, C, H, W)."""
        return torch.cat((a, z), dim=1)


class FixedTop(nn.Module):
    """Density N(0, 1) for the output from the last level: `Top` without parameters."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return x itself and log p(x), (N,), in nats."""
        return x, standard_normal_log_prob(x)

    def inverse(self, z: Tensor) -> Tensor:
        """Return z itself."""
        return z


class RealNVP(MultiscaleFlow):
    r"""Multi-scale flow of affine couplings, after the logit of the grey levels.

    Each level: squeeze, `couplings` couplings that keep one colour of the checkerboard (in turn
    one and the other), `couplings` couplings that keep one half of the channels, and, except for
    the last level, a split: half the channels become latent. The base density is N(0, 1). There
    are 2 levels couplings (6 + 4 blocks) parameter tensors: an ActNorm and the convolutions of
    every coupling.

    The first level begins with `Logit`, which counts as a part of the first level in
    `log_prob_terms`.

    Departures from the paper: the networks of checkerboard couplings see the kept pixels of the
    squeezed image, half as high and wide with twice as many channels, in place of the image with
    zeros, at a quarter of the cost; the second convolution of a residual block is 1x1; ActNorm
    before each coupling takes the place of batch normalisation, which would make the density of
    an example depend on the batch; the bound of the log-scale is constant, and weights are not
    normalised; the last level has couplings on channels too.

    Arguments:
        domain: The images; height and width divisible by 2**levels.
        levels: Number of levels.
        couplings: Number of couplings of each kind in each level.
        width: Number of channels in the couplings' hidden convolutions.
        blocks: Number of residual blocks in each coupling.
        alpha: Distance of the logit's argument from 0 and 1, see `Logit`.

    Raises:
        DomainError: The height or the width is not divisible by 2**levels.

    References:
        | Density estimation using Real NVP (Dinh et al., 2017)
        | https://arxiv.org/abs/1605.08803
    """

    name = "realnvp"

    def __init__(
        self,
        domain: Images,
        *,
        levels: int,
        couplings: int,
        width: int,
        blocks: int,
        alpha: float,
    ) -> None:
        def coupling(channels: int, kept: int) -> Chain:
            affine = ResidualCoupling(channels, kept, width=width, blocks=blocks)
            return Chain(InvertibleActNorm(channels), affine)

        def level(channels: int) -> Chain:
            order = by_colour(channels)
            both = [
                [coupling(4 * channels, number % 2) for number in range(couplings)]
                for _ in ("checkerboards", "channels")
            ]
            back = Permute(torch.argsort(order))
            return Chain(Squeeze(), Permute(order), *both[0], back, *both[1])

        super().__init__(
            domain,
            levels,
            level=level,
            split=lambda channels: FixedSplit(),
            top=lambda channels: FixedTop(),
        )
        self.levels[0].insert(0, Logit(alpha))
