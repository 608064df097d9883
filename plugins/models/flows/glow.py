"""The convolutional Glow."""

from __future__ import annotations

from torch import Tensor, nn

from oodbench import Images
from plugins.models.flows.actnorm import InvertibleActNorm
from plugins.models.flows.couplings import ConvCoupling
from plugins.models.flows.fused import can_be_fused, fused_steps
from plugins.models.flows.mixing import InvertibleConv1x1LU
from plugins.models.flows.multiscale import MultiscaleFlow, Split, Top, squeeze, unsqueeze


class GlowStep(nn.Module):
    """ActNorm, invertible 1x1 convolution and affine coupling; 14 parameter tensors.

    Arguments:
        channels: Number of input channels, C in (N, C, H, W); even.
        width: Number of channels in the coupling's hidden convolutions.
    """

    def __init__(self, channels: int, *, width: int) -> None:
        super().__init__()
        self.norm = InvertibleActNorm(channels)
        self.mix = InvertibleConv1x1LU(channels)
        self.coupling = ConvCoupling(channels, width=width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,)."""
        x, ladj_norm = self.norm(x)
        x, ladj_mix = self.mix(x)
        x, ladj_coupling = self.coupling(x)
        return x, ladj_norm + ladj_mix + ladj_coupling

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        return self.norm.inverse(self.mix.inverse(self.coupling.inverse(y)))


class GlowLevel(nn.Module):
    """Squeeze, followed by flow steps.

    The steps are fused (see `fused_steps`), which changes numbers by rounding only. If any step
    or part was replaced or has a hook, the steps are called individually instead.

    Arguments:
        channels: Number of input channels, C in (N, C, H, W).
        steps: Number of steps.
        width: Number of channels in the couplings' hidden convolutions.
    """

    def __init__(self, channels: int, *, steps: int, width: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(GlowStep(4 * channels, width=width) for _ in range(steps))

    def is_as_built(self) -> bool:
        """Return whether every step has the original parts, all unaltered."""
        return all(type(step) is GlowStep and can_be_fused(step) for step in self.steps)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to (N, 4 C, H/2, W/2), and ladj (N,)."""
        x = squeeze(x)  # (N, 4 C, H/2, W/2)
        if self.is_as_built():
            return fused_steps(self.steps, x)
        ladj = x.new_zeros(x.shape[0])
        for step in self.steps:
            x, ladj_step = step(x)
            ladj = ladj + ladj_step
        return x, ladj

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, 4 C, H/2, W/2) to (N, C, H, W)."""
        for step in reversed(self.steps):
            y = step.inverse(y)
        return unsqueeze(y)


class Glow(MultiscaleFlow):
    r"""Multi-scale flow with 1x1 convolutions and convolutional couplings.

    Each level consists of a squeeze, `steps` steps and, except for the last level, a split; see
    `MultiscaleFlow`. There are 14 steps levels + 3 (levels - 1) + 3 parameter tensors.

    The departures from the authors' code do not change the family of densities: means and
    log-scales, shifts and scales are halves of the channels instead of alternating channels;
    class labels are left out; ActNorm is initialised at the bin midpoints instead of with noise,
    and a constant channel is only centred.

    Arguments:
        domain: The images; height and width divisible by 2**levels.
        levels: Number of scales, L.
        steps: Number of flow steps in each level.
        width: Number of channels in the couplings' hidden convolutions.

    Raises:
        DomainError: The height or the width is not divisible by 2**levels.

    References:
        | Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018)
        | https://arxiv.org/abs/1807.03039
        | Out-of-Distribution Detection with Immature Models: https://arxiv.org/abs/2502.00820
    """

    name = "glow"

    def __init__(self, domain: Images, *, levels: int, steps: int, width: int) -> None:
        super().__init__(
            domain,
            levels,
            level=lambda channels: GlowLevel(channels, steps=steps, width=width),
            split=Split,
            top=Top,
        )
