"""Changes of training examples, on their device, with random numbers from the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.suite.schema import Recipe


def augment(x: Tensor, recipe: Recipe, levels: int, generator: torch.Generator) -> Tensor:
    """Translated, mirrored and then mutated examples, as the recipe says.

    What a recipe does not ask for draws no random number.

    Arguments:
        x: uint8, (N, C, H, W); left as it was.
        recipe: `translate`, `horizontal_flip` and `mutation_rate`.
        levels: Of the domain.
        generator: On the CPU; the only source of randomness.

    Returns:
        uint8, (N, C, H, W).
    """
    if recipe.translate > 0:
        x = translate(x, recipe.translate, generator)
    if recipe.horizontal_flip:
        mirrored = torch.rand(len(x), generator=generator).to(x.device) < 0.5
        x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    if recipe.mutation_rate > 0:
        x = mutate(x, recipe.mutation_rate, levels, generator)
    return x


def translate(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each example shifted by whole pixels, uniformly up to a share of its height and width.

    Arguments:
        x: uint8, (N, C, H, W).
        share: In [0, 1); shifts are integers of [-floor(share * side), floor(share * side)].
        generator: On the CPU.

    Returns:
        uint8, (N, C, H, W); what moves in from outside is 0.
    """
    n, _, height, width = x.shape
    dy, dx = int(share * height), int(share * width)
    padded = torch.nn.functional.pad(x, (dx, dx, dy, dy))  # (N, C, H + 2dy, W + 2dx)
    top = torch.randint(0, 2 * dy + 1, (n,), generator=generator).to(x.device)
    left = torch.randint(0, 2 * dx + 1, (n,), generator=generator).to(x.device)
    rows = top[:, None] + torch.arange(height, device=x.device)  # (N, H)
    columns = left[:, None] + torch.arange(width, device=x.device)  # (N, W)
    examples = torch.arange(n, device=x.device)[:, None, None]
    picked = padded[examples, :, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return picked.permute(0, 3, 1, 2).contiguous()


def mutate(x: Tensor, rate: float, levels: int, generator: torch.Generator) -> Tensor:
    """Each value replaced, with probability `rate`, by a uniform one of all levels.

    Values are replaced independently of one another: each channel of each pixel by itself. The
    new value may be the old one, so that a share rate * (1 - 1 / levels) of them changes.

    Arguments:
        x: uint8, (N, C, H, W).
        rate: In [0, 1].
        levels: The new values are integers of [0, levels).
        generator: On the CPU.

    Returns:
        uint8, (N, C, H, W).

    References:
        | Likelihood Ratios for Out-of-Distribution Detection (Ren et al., 2019): what a background
          model is trained on
        | https://arxiv.org/abs/1906.02845
    """
    replaced = torch.rand(x.shape, generator=generator) < rate
    values = torch.randint(0, levels, x.shape, generator=generator, dtype=torch.uint8)
    return torch.where(replaced.to(x.device), values.to(x.device), x)
