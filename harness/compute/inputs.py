"""Examples as a model takes them: tensors, augmented in training.

Augmentation runs on the device of the examples, with random numbers from the CPU.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harness.compute.device import without_waiting
from harness.domain import Domain, Examples
from harness.suite.schema import Recipe


def stored_tensor(examples: Examples) -> Tensor:
    """Return stored examples as a tensor, on the CPU; the memory may be shared.

    Returns:
        uint8; int64 for wider integers, because torch hardly computes with unsigned ones.
    """
    if examples.dtype == np.uint8:
        return torch.from_numpy(examples)
    return torch.from_numpy(examples.astype(np.int64))


def model_input(x: Tensor, domain: Domain) -> Tensor:
    """Return examples of any integer dtype as `domain.input_dtype`, for a model."""
    dtype: torch.dtype = getattr(torch, domain.input_dtype)
    return x.to(dtype)


def augment(x: Tensor, recipe: Recipe, levels: int, generator: torch.Generator) -> Tensor:
    """Translate, mirror and then mutate examples according to a recipe.

    Steps that the recipe does not request draw no random numbers.

    Arguments:
        x: Integers, (N, *domain.shape), of images (N, C, H, W); left unchanged.
        recipe: Recipe with `translate`, `horizontal_flip` and `mutation_rate`.
        levels: Number of levels in the domain.
        generator: A CPU generator, the only source of randomness.

    Returns:
        Of the dtype and shape of x.
    """
    if recipe.translate > 0:
        x = translate(x, recipe.translate, generator)
    if recipe.horizontal_flip:
        mirrored = without_waiting(torch.rand(len(x), generator=generator) < 0.5, x.device)
        x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    if recipe.mutation_rate > 0:
        x = mutate(x, recipe.mutation_rate, levels, generator)
    return x


def translate(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Shift each example by whole pixels, uniformly up to a share of height and width.

    Arguments:
        x: uint8, (N, C, H, W).
        share: Maximum shift relative to the side, in [0, 1); shifts are integers in
            [-floor(share * side), floor(share * side)].
        generator: A CPU generator.

    Returns:
        uint8, (N, C, H, W); pixels shifted in from outside are 0.
    """
    n, _, height, width = x.shape
    dy, dx = int(share * height), int(share * width)
    padded = torch.nn.functional.pad(x, (dx, dx, dy, dy))  # (N, C, H + 2dy, W + 2dx)
    top = torch.randint(0, 2 * dy + 1, (n,), generator=generator)
    left = torch.randint(0, 2 * dx + 1, (n,), generator=generator)
    top, left = without_waiting(top, x.device), without_waiting(left, x.device)
    rows = top[:, None] + torch.arange(height, device=x.device)  # (N, H)
    columns = left[:, None] + torch.arange(width, device=x.device)  # (N, W)
    examples = torch.arange(n, device=x.device)[:, None, None]
    picked = padded[examples, :, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return picked.permute(0, 3, 1, 2).contiguous()


def mutate(x: Tensor, rate: float, levels: int, generator: torch.Generator) -> Tensor:
    """Replace each value, with probability `rate`, by a uniform draw from all levels.

    Values are replaced independently, so each channel in each pixel of an image is drawn
    separately. The new value may equal the old value; therefore a share rate * (1 - 1 / levels) of
    all values changes.

    Arguments:
        x: Integers, any shape.
        rate: Probability in [0, 1].
        levels: New values are integers in [0, levels).
        generator: A CPU generator.

    Returns:
        Of the dtype and shape of x.

    References:
        | Likelihood Ratios for Out-of-Distribution Detection (Ren et al., 2019): training data for
          a background model
        | https://arxiv.org/abs/1906.02845
    """
    replaced = torch.rand(x.shape, generator=generator) < rate
    values = torch.randint(0, levels, x.shape, generator=generator, dtype=x.dtype)
    return torch.where(without_waiting(replaced, x.device), without_waiting(values, x.device), x)
