"""Affine couplings: half an example is shifted and scaled depending on the other half."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plugins.models.flows.actnorm import ActNorm
from plugins.models.flows.convolutions import HiddenConv2d, ZeroConv2d


class ConvCoupling(nn.Module):
    r"""Affine coupling between halves of the channels, by a convolutional network.

    x = (a, b), two halves of the channels
    shift, raw = net(a)
    y = (a, (b + shift) * sigmoid(raw + 2))
    ladj = sum over C/2, H, W of log sigmoid(raw + 2)

    net: 3x3 convolution, ActNorm, ReLU, 1x1 convolution, ActNorm, ReLU, 3x3 convolution starting
    at zero; so at first the layer computes b' = b sigmoid(2), whatever a is. The 2 comes from the
    authors' code and makes the layer start near the identity.

    Arguments:
        channels: Number of input channels, C in (N, C, H, W); even.
        width: Number of channels in the hidden convolutions.

    References:
        | Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018), 3.3
        | https://arxiv.org/abs/1807.03039
    """

    def __init__(self, channels: int, *, width: int) -> None:
        super().__init__()
        self.conv1 = HiddenConv2d(channels // 2, width, size=3)
        self.norm1 = ActNorm(width)
        self.conv2 = HiddenConv2d(width, width, size=1)
        self.norm2 = ActNorm(width)
        self.conv3 = ZeroConv2d(width, channels)

    def _shift_and_log_scale(self, a: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.norm1(self.conv1(a)))  # (N, width, H, W)
        h = F.relu(self.norm2(self.conv2(h)))  # (N, width, H, W)
        shift, raw = self.conv3(h).to(a.dtype).chunk(2, dim=1)  # 2 x (N, C/2, H, W)
        return shift, F.logsigmoid(raw + 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,)."""
        a, b = x.chunk(2, dim=1)  # 2 x (N, C/2, H, W)
        shift, log_scale = self._shift_and_log_scale(a)
        y = torch.cat((a, (b + shift) * torch.exp(log_scale)), dim=1)  # (N, C, H, W)
        return y, log_scale.sum(dim=(1, 2, 3))

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        a, b = y.chunk(2, dim=1)
        shift, log_scale = self._shift_and_log_scale(a)
        return torch.cat((a, b * torch.exp(-log_scale) - shift), dim=1)


class LinearCoupling(nn.Module):
    r"""Affine coupling for a flattened image, by two fully connected networks.

    m = 1 on dimensions with an index of the kept parity, 0 on the rest
    s = (1 - m) tanh(log_scale_net(m x)),   t = (1 - m) shift_net(m x)
    y = x exp(s) + t                                                     (Dinh et al. 2017, Eq. 9)
    ladj = sum_d s_d

    Each network: D -> width, ReLU, `hidden_layers` times (width -> width, ReLU), width -> D.

    Arguments:
        dims: Number of input dimensions, D = C H W for (N, C, H, W).
        width: Units in the hidden layers.
        hidden_layers: Number of layers width -> width.

    References:
        | Density estimation using Real NVP (Dinh et al., 2017), 3.4
        | https://arxiv.org/abs/1605.08803
    """

    even: Tensor

    def __init__(self, dims: int, *, width: int, hidden_layers: int) -> None:
        super().__init__()
        sizes = [dims, *[width] * (hidden_layers + 1), dims]
        self.log_scale_net = _fully_connected(sizes)
        self.shift_net = _fully_connected(sizes)
        even = (torch.arange(dims) % 2 == 0).to(torch.get_default_dtype())
        self.register_buffer("even", even, persistent=False)  # (D,), follows from the domain

    def _conditioner(self, x: Tensor, parity: int) -> tuple[Tensor, Tensor]:
        """Compute shift and log-scale, each (N, C, H, W), from the kept dimensions of x."""
        odd = 1 - self.even  # (D,)
        keep, move = (self.even, odd) if parity == 0 else (odd, self.even)
        h = x.flatten(1) * keep  # (N, D)
        log_scale = torch.tanh(self.log_scale_net(h).to(x.dtype)) * move
        shift = self.shift_net(h).to(x.dtype) * move
        return shift.reshape(x.shape), log_scale.reshape(x.shape)

    def forward(self, x: Tensor, parity: int) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,).

        Arguments:
            x: The input.
            parity: 0 keeps dimensions with an even index and transforms the odd dimensions; 1 the
                other way round.
        """
        shift, log_scale = self._conditioner(x, parity)
        return x * torch.exp(log_scale) + shift, log_scale.sum(dim=(1, 2, 3))

    def inverse(self, y: Tensor, parity: int) -> Tensor:
        """Map floating (N, C, H, W) to the same shape; `parity` like in `forward`."""
        shift, log_scale = self._conditioner(y, parity)
        return (y - shift) * torch.exp(-log_scale)


def _fully_connected(sizes: list[int]) -> nn.Sequential:
    """Build linear layers with a ReLU between neighbours."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
