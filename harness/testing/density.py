"""The conformance check for densities over real-valued images."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.compute.examination import differs
from harness.contracts import HasLogDensity
from harness.testing.checks import Fault, NotApplicable
from harness.testing.model_subject import ModelUnderTest, check_untouched, settled


def log_density(subject: ModelUnderTest) -> None:
    """The log-density at x + 1/2 is log_prob(x); it is per example and differentiable in y."""
    model, x = subject.double(), subject.varied_examples()
    if not isinstance(model, HasLogDensity):
        raise NotApplicable("the model has no `log_density`")
    expected, middle = settled(model, x), x.double() + 0.5
    found = _evaluated(model, middle)
    if found.shape != (len(x),) or not found.is_floating_point():
        raise Fault(
            f"log_density for {len(x)} images is {found.dtype} with shape {tuple(found.shape)}, "
            f"not floating with shape ({len(x)},)"
        )
    if differs(found, expected):
        worst = (found - expected).abs().max()
        raise Fault(
            f"log_density(x + 1/2) is not log_prob(x) (off by {worst:.3g}): y is in grey levels, "
            "the bin of x is x to x + 1, and the constant -dims * bits * ln 2 is included"
        )
    y = x + torch.rand(x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    values = _evaluated(model, y)
    if differs(_evaluated(model, y), values):
        raise Fault("log_density of the same images changes between calls: draw no noise")
    if differs(_evaluated(model, y[2:4]), values[2:4]):
        raise Fault("log_density of an image depends on the rest of the batch")
    check_untouched("log_density", model.log_density, y)
    _check_gradient(model, y)


def _evaluated(model: HasLogDensity, y: Tensor) -> Tensor:
    """Return log_density for a copy of the images, without a graph."""
    with torch.no_grad():
        return model.log_density(y.clone())


def _check_gradient(model: HasLogDensity, y: Tensor) -> None:
    """Raise a `Fault` unless the log-density has a finite gradient in y."""
    y = y.clone().requires_grad_()
    total = model.log_density(y).sum()
    (gradient,) = torch.autograd.grad(total, y, allow_unused=True)
    if gradient is None:
        raise Fault("log_density is not differentiable in y: is y rounded, or detached?")
    if not gradient.isfinite().all():
        raise Fault("the gradient of log_density in y is NaN or infinite")
