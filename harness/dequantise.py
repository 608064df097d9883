"""Dequantisation with fixed noise: the log-probability behind bits per dimension."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from harness.contracts import DensityModel, HasLogDensity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


def fixed_noise(examples: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return uniform noise that depends on the content of each example alone.

    The noise of an example is the output of SHAKE-256 (FIPS 202) for the bytes of the example, 32
    bits per dimension. The noise is therefore the same in every batch and subset, at every
    position, epoch and seed, on every device, and with every version of NumPy and torch. The
    content takes the place of a number, because statistics are not told the numbers of examples.

    Arguments:
        examples: uint8, (N, *shape).

    Returns:
        float64, (N, *shape), multiples of 2**-32 in [0, 1).

    Example:
        >>> import numpy as np
        >>> from oodbench import fixed_noise
        >>> fixed_noise(np.zeros((1, 1, 1, 2), np.uint8)).round(3).tolist()
        [[[[0.269, 0.154]]]]
    """
    import numpy as np

    noise = np.empty(examples.shape)
    for example, into in zip(examples, noise, strict=True):
        words = hashlib.shake_256(example.tobytes()).digest(4 * example.size)
        into.flat = np.frombuffer(words, "<u4") / 2**32
    return noise


def dequantised_log_prob(model: DensityModel, x: Tensor) -> Tensor:
    r"""Evaluate the log-probability behind bits per dimension.

    log p(x + u),   u = fixed_noise(x), for a model with `HasLogDensity`

    E_u log p(x + u) <= log E_u p(x + u) = log P(x), so bits per dimension are an upper bound in
    expectation (Theis et al., 2016). One draw per example is enough for a mean over examples,
    because the draws are independent. Any other model has a probability for each discrete
    example: `log_prob(x)`.

    Arguments:
        model: In evaluation mode.
        x: uint8, (N, *domain.shape), on the device of the parameters.

    Returns:
        Floating, (N,), in nats.

    Example:
        >>> import torch
        >>> from oodbench import dequantised_log_prob
        >>> class Fair:
        ...     def log_prob(self, x):
        ...         return torch.full((len(x),), 0.5).log()
        >>> dequantised_log_prob(Fair(), torch.zeros(2, 1, 1, 1, dtype=torch.uint8)).exp().tolist()
        [0.5, 0.5]

    References:
        | A note on the evaluation of generative models (Theis et al., 2016), 3.1
        | https://arxiv.org/abs/1511.01844
    """
    if not isinstance(model, HasLogDensity):
        return model.log_prob(x)
    dtype = next(p.dtype for _, p in model.named_parameters() if p.is_floating_point())
    noise = fixed_noise(x.cpu().numpy())
    return model.log_density(x.to(dtype) + x.new_tensor(noise, dtype=dtype))
