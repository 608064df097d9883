"""Conformance checks for the optional capabilities of density models."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness.compute.examination import differs
from harness.contracts import (
    EstimatesNoise,
    Flow,
    HasLogDensity,
    HasLogProbTerms,
    HasLogProbTokens,
    Preparable,
    Samplable,
    Trainable,
)
from harness.testing.checks import Fault, NotApplicable
from harness.testing.model_subject import (
    ModelUnderTest,
    check_untouched,
    generator,
    log_prob,
    settled,
)


def prepare(subject: ModelUnderTest) -> None:
    """`prepare` makes log_prob finite, also for constant examples."""
    flat = torch.zeros(8, *subject.domain.shape, dtype=subject.dtype)
    for what, x in (("random", subject.examples(32)), ("constant", flat)):
        model = subject.fresh()
        if not isinstance(model, Preparable):
            raise NotApplicable("the model has no `prepare`")
        model.prepare(x.clone())
        if not log_prob(model.eval(), x).isfinite().all():
            raise Fault(
                f"after `prepare` on {what} examples log_prob is NaN or infinite: set a minimum "
                "for the standard deviations used as divisors"
            )


def training_loss(subject: ModelUnderTest) -> None:
    """`training_loss` is a finite scalar, and its only random numbers come from the generator."""
    losses = []
    for seed in (1, 2):
        model = subject.model().train()  # anew, because a loss may change the state
        if not isinstance(model, Trainable):
            raise NotApplicable(
                "the model has no `training_loss`: it is trained on -mean log_prob"
            )
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        loss = model.training_loss(subject.examples(8), generator())
        if loss.shape != () or not loss.isfinite():
            raise Fault(f"training_loss must be a finite scalar, not {loss}")
        if not loss.requires_grad:
            raise Fault("training_loss is not differentiable: is the result detached?")
        losses.append(loss.detach())
        drawn = not torch.equal(before, torch.random.get_rng_state())
    if differs(losses[1], losses[0]) or drawn:
        raise Fault(
            "training_loss draws random numbers without its generator: pass `generator=generator` "
            "to every draw (dropout layers draw from torch's global generator)"
        )


def sample(subject: ModelUnderTest) -> None:
    """`sample` returns examples in the domain and draws only from the generator."""
    model = subject.model()
    if not isinstance(model, Samplable):
        raise NotApplicable("the model has no `sample`")
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        drawn.append(model.sample(3, generator()))
    cold = model.sample(3, generator(), temperature=0.5)
    for x in (drawn[0], cold):
        if x.dtype != subject.dtype or x.shape != (3, *subject.domain.shape):
            raise Fault(
                f"3 samples are {x.dtype} with shape {tuple(x.shape)}, not "
                f"{subject.domain.input_dtype} with shape {(3, *subject.domain.shape)}"
            )
        highest = int(x.max())
        if highest >= subject.domain.levels:
            raise Fault(f"a sample has the value {highest}, above {subject.domain.levels - 1}")
    if not torch.equal(drawn[0], drawn[1]):
        raise Fault("sample draws random numbers without its generator")


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


def log_prob_terms(subject: ModelUnderTest) -> None:
    """The terms of log_prob have shape (N,) each, and their sum is log_prob."""
    model, x = subject.double(), subject.examples(5)
    if not isinstance(model, HasLogProbTerms):
        raise NotApplicable("the model has no `log_prob_terms`")
    expected = settled(model, x)
    with torch.no_grad():
        terms = model.log_prob_terms(x.clone())
    for name, values in terms.items():
        if values.shape != (len(x),):
            raise Fault(f"the term {name!r} has shape {tuple(values.shape)}, not ({len(x)},)")
    total = torch.stack(list(terms.values())).sum(0)
    if differs(total, expected):
        worst = (total - expected).abs().max()
        raise Fault(f"the terms {', '.join(terms)} do not sum to log_prob (off by {worst:.3g})")


def log_prob_tokens(subject: ModelUnderTest) -> None:
    """The log-probabilities of the tokens have the shape of x, and their sum is log_prob."""
    model, x = subject.double(), subject.examples(5)
    if not isinstance(model, HasLogProbTokens):
        raise NotApplicable("the model has no `log_prob_tokens`")
    with torch.no_grad():
        values = model.log_prob_tokens(x.clone())
    if values.shape != x.shape:
        raise Fault(f"log_prob_tokens has shape {tuple(values.shape)}, not {tuple(x.shape)}")
    if differs(values.flatten(1).sum(1), settled(model, x)):
        raise Fault("the log-probabilities of the tokens do not sum to log_prob")


def to_noise(subject: ModelUnderTest) -> None:
    """The noise of a flow, shape (N, dims), is an invertible, per-example map of real images."""
    model, x = subject.double(), subject.varied_examples().double()
    if not isinstance(model, Flow):
        raise NotApplicable("the model has no `to_noise`")
    z, dims = model.to_noise(x.clone()), subject.domain.dims
    if z.shape != (len(x), dims):
        raise Fault(
            f"the noise for {len(x)} examples has shape {tuple(z.shape)}, not ({len(x)}, {dims}): "
            "flatten and concatenate the noise from every level"
        )
    if differs(model.to_noise(x[:1].clone()), z[:1]):
        raise Fault("the noise for an example depends on the rest of the batch")
    given = x[-1:].clone()
    jacobian = torch.autograd.functional.jacobian(model.to_noise, given)  # type: ignore[no-untyped-call]
    sign, _ = torch.linalg.slogdet(jacobian.reshape(dims, dims))
    if not sign:
        raise Fault("the map to noise is not invertible: is x rounded, or detached?")


def estimate_noise(subject: ModelUnderTest) -> None:
    """The estimated noise has the shape of z, is per example, draws nothing and has no graph."""
    model, x = subject.double(), subject.varied_examples()
    if not isinstance(model, EstimatesNoise):
        raise NotApplicable("the model has no `estimate_noise`")
    least, largest = model.noise_range
    if not 0 < least < largest < math.inf:
        raise Fault(
            f"noise_range is {least:g} to {largest:g}: it must be the least and the largest "
            "standard deviation, positive and in grey levels"
        )
    for sd in (least, math.sqrt(least * largest), largest):
        _check_noise(model, x, sd)
    if differs(
        model.estimate_noise(x.clone(), largest), model.estimate_noise(x.double(), largest)
    ):
        raise Fault("the noise in integers is not that in the same floating-point numbers")


def _check_noise(model: EstimatesNoise, x: Tensor, sd: float) -> None:
    """Raise a `Fault` unless noise of this standard deviation is estimated as it should be."""
    z = x + sd * torch.randn(x.shape, generator=generator(), dtype=torch.float64)
    found = model.estimate_noise(z.clone(), sd)
    if found.shape != z.shape or found.dtype != z.dtype:
        raise Fault(
            f"the noise for {tuple(z.shape)} is {found.dtype} with shape {tuple(found.shape)}, "
            f"not {z.dtype} with the same shape"
        )
    if found.requires_grad:
        raise Fault("the estimated noise has a graph: compute it under torch.no_grad()")
    if not found.isfinite().all():
        raise Fault(f"the noise estimated with sd = {sd:g} is NaN or infinite")
    if differs(model.estimate_noise(z.clone(), sd), found):
        raise Fault("the noise in the same images changes between calls: draw no noise")
    if differs(model.estimate_noise(z[2:4].clone(), sd), found[2:4]):
        raise Fault("the noise in an image depends on the rest of the batch")
    check_untouched("estimate_noise", lambda z: model.estimate_noise(z, sd), z)


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
