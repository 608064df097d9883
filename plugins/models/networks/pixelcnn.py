"""PixelCNN++: an exact autoregressive likelihood by convolutions of shifted images."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from oodbench import Images, Likelihood
from plugins.models.networks.pixels import Pixels, scaled

ABOVE, BEFORE = (2, 3), (2, 2)
"""Kernels: this row and the row above, to both sides; this row and the row above, leftwards."""


class PixelCNN(nn.Module):
    r"""Autoregressive density: every pixel given the pixels above and to the left.

    log P(x) = sum_i log P(x_i | x_1, ..., x_{i-1}),   pixels i row by row

    Two streams of features see only earlier pixels, because their convolutions are plain
    convolutions of images that were padded and shifted: `above` sees the rows above, `before`
    also the pixels to the left in the same row, and reads the stream `above`. Each stream passes
    gated residual blocks,

    x + a sigmoid(b),   (a, b) = conv(elu(conv(elu(x)) + skip(elu(above))))

    and a 1x1 convolution of `before` gives the distribution of the pixel with all its channels.

    Departures from the authors' code: no downsampling, ELU in place of the concatenated ELU, no
    dropout and no weight normalisation.

    Arguments:
        domain: Any images.
        pixels: Distribution of a pixel.
        blocks: Number of gated blocks in each stream.
        width: Number of channels in each stream.

    References:
        | PixelCNN++ (Salimans et al., 2017): https://arxiv.org/abs/1701.05517
        | Conditional image generation with PixelCNN decoders (van den Oord et al., 2016)
        | https://arxiv.org/abs/1606.05328
    """

    likelihood: Likelihood = "exact"

    def __init__(self, domain: Images, *, pixels: Pixels, blocks: int, width: int) -> None:
        super().__init__()
        self.domain, self._pixels = domain, pixels
        inputs = domain.channels + 1
        self.first_above = nn.Conv2d(inputs, width, ABOVE)
        self.first_row = nn.Conv2d(inputs, width, (1, 3))
        self.first_left = nn.Conv2d(inputs, width, (2, 1))
        self.above = nn.ModuleList(GatedBlock(width, ABOVE) for _ in range(blocks))
        self.before = nn.ModuleList(GatedBlock(width, BEFORE, reads=width) for _ in range(blocks))
        self.last = nn.Conv2d(width, pixels.outputs, 1)
        self._reach = 2 * blocks + 3  # rows above a pixel that its distribution depends on

    def log_prob(self, x: Tensor) -> Tensor:
        """Evaluate log P(x), floating, (N,), in nats, for uint8 x, (N, *domain.shape)."""
        return self._pixels.log_prob(self._raw(x), x)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw samples pixel by pixel: as many forward passes as pixels.

        Arguments:
            n: Number of samples.
            generator: Generator on the CPU for the noise.
            temperature: Factor on the noise of each pixel.

        Returns:
            uint8, (n, *domain.shape), on the parameters' device.
        """
        device = self.last.weight.device
        x = torch.zeros(n, *self.domain.shape, dtype=torch.uint8, device=device)
        for row in range(self.domain.height):
            seen = slice(max(0, row - self._reach), row + 1)
            for column in range(self.domain.width):
                raw = self._raw(x[:, :, seen])[:, :, -1:, column : column + 1]
                drawn = self._pixels.sample(raw, generator, temperature)
                x[:, :, row : row + 1, column : column + 1] = drawn
        return x

    def _raw(self, x: Tensor) -> Tensor:
        """Compute the parameters of every pixel's distribution, (N, outputs, H, W)."""
        y = scaled(self.domain, x, self.last.weight.dtype)
        y = torch.cat((y, torch.ones_like(y[:, :1])), dim=1)  # ones tell padding from grey
        y = y.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # channels last in memory
        above = _down(_causal(self.first_above, y))
        before = _down(_causal(self.first_row, y)) + _right(_causal(self.first_left, y))
        for block_above, block_before in zip(self.above, self.before, strict=True):
            above = block_above(above)
            before = block_before(before, above)
        raw: Tensor = self.last(F.elu(before))
        return raw.to(y.dtype)


class GatedBlock(nn.Module):
    """Gated residual block of a stream, (N, width, H, W) to the same shape; see `PixelCNN`.

    Arguments:
        width: Number of channels.
        kernel: `ABOVE` or `BEFORE`.
        reads: Number of channels in the other stream, which `forward` then takes too.
    """

    def __init__(self, width: int, kernel: tuple[int, int], *, reads: int = 0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, kernel)
        self.skip = nn.Conv2d(reads, width, 1) if reads else None
        self.conv2 = nn.Conv2d(width, 2 * width, kernel)
        with torch.no_grad():  # the authors' start: a block changes little
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Map floating (N, width, H, W) to the same shape."""
        h = _causal(self.conv1, F.elu(x))
        if self.skip is not None and other is not None:
            h = h + self.skip(F.elu(other))
        a, b = _causal(self.conv2, F.elu(h)).chunk(2, dim=1)
        return x + a * torch.sigmoid(b)  # F.glu takes twice the time on channels-last images


def _causal(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve, padded so that an output sees no row below, and nothing to the right if even.

    A kernel with an odd width sees the same number of columns on both sides.
    """
    height, width = conv.kernel_size
    left, right = (width // 2, width // 2) if width % 2 else (width - 1, 0)
    y: Tensor = conv(F.pad(x, (left, right, height - 1, 0)))
    return y


def _down(x: Tensor) -> Tensor:
    """Shift an image down by a row; the first row is zero."""
    return F.pad(x, (0, 0, 1, -1))


def _right(x: Tensor) -> Tensor:
    """Shift an image to the right by a column; the first column is zero."""
    return F.pad(x, (1, -1, 0, 0))
