"""Examination of a model before use: the log-probability belongs to each example alone."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.contracts import DensityModel, full_precision
from harness.errors import ScoreError

EXAMPLES = 8
"""Number of examples in an examination."""

ADVICE = "use no mean over the batch, no batch statistics and no random numbers in evaluation mode"


def examine(model: DensityModel, x: Tensor) -> None:
    """Evaluate a few examples in a batch, again, in another order, and alone; all must agree.

    A score from a model that fails would depend on the batch size, on the examples scored along,
    or on chance. The model computes in full precision here, where rounding tells little.

    Arguments:
        model: In evaluation mode.
        x: `domain.input_dtype`, (N, *domain.shape), on the device of the model, N at least 2.

    Raises:
        ScoreError: The log-probability is not floating, (N,), or differs beyond rounding.
    """
    with torch.no_grad(), full_precision(model):
        expected = model.log_prob(x.clone())
        if not isinstance(expected, Tensor) or not expected.is_floating_point():
            kind = getattr(expected, "dtype", type(expected).__name__)
            raise ScoreError(f"log_prob must return a floating tensor, not {kind}")
        if expected.shape != (len(x),):
            shape = tuple(expected.shape)
            raise ScoreError(f"log_prob for {len(x)} examples has shape {shape}, not ({len(x)},)")
        _require_equal(model.log_prob(x.clone()), expected, "changes from call to call")
        _require_equal(model.log_prob(x.flip(0)).flip(0), expected, "depends on the batch order")
        alone = torch.cat([model.log_prob(example[None]).reshape(-1) for example in x])
        _require_equal(alone, expected, "depends on the other examples in the batch")


def _require_equal(found: Tensor, expected: Tensor, fault: str) -> None:
    if differs(found, expected):
        worst = (found - expected).abs().nan_to_num().max()
        raise ScoreError(f"log_prob {fault} (by up to {worst:.3g} nats): {ADVICE}")


def differs(found: Tensor, expected: Tensor) -> bool:
    """Return True if numbers differ by more than rounding for their dtype; NaN equals NaN.

    Sums in another order differ by some hundred units of rounding: 1e-4 of the value in float32,
    more in 16 bits. In float64 the tolerance is 1e-8.
    """
    if found.shape != expected.shape:
        return True
    units = 10 * torch.finfo(expected.dtype).eps
    tolerance = 1e-8 if expected.dtype == torch.float64 else max(1e-4, units)
    return not torch.allclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
