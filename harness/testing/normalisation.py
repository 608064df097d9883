"""The unit check: probabilities must sum to one on a domain small enough to enumerate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness.compute.inputs import model_input
from harness.compute.trainer import training_loss
from harness.contracts import (
    DensityModel,
    HasLogDensity,
    HasLogProbEstimate,
    Likelihood,
    Preparable,
)
from harness.domain import Domain
from harness.errors import DomainError
from harness.testing.checks import Fault, NotApplicable
from harness.testing.model_subject import ModelUnderTest, generator, log_prob

_MOST_EXAMPLES = 4096
_MOST_TOTAL = 1.01  # above 1 for rounding, and for the mean over finitely many shifts
_MOST_TOTAL_OF_ESTIMATES = 1.25  # an estimate may lie above the log-probability
_BANKS, _DRAWS = 8, 256  # of latents, for estimates by draws
_MOST_FROM_ONE, _STANDARD_ERRORS = 0.3, 3.0  # of the logarithm of the total by draws
_MOST_ABOVE, _MOST_APART = 0.05, 0.25  # nats, a bound and an estimate from an estimate by draws
_SHIFTS = 64
_LEAST_MEAN = 1.25  # times the uniform log-probability; bits instead of nats give 1.44
_ROUNDS, _STEPS, _LEARNING_RATE = 4, 150, 1e-2


def unit(subject: ModelUnderTest) -> str:
    """log_prob is in nats of the discrete example: over all examples it sums to at most 1.

    The check trains the model briefly on all examples of a small domain, by default 256 images of
    4 pixels with 2 bits. Three requirements follow:

    The probabilities of all examples sum to at most 1.01, or 1.25 for an estimated likelihood. A
    larger sum means that a constant (such as -dims * bits * ln 2) or a determinant is missing, or
    that log_prob is per dimension. For a model with `log_density`, the probability of an example x
    is exp(E_u log_density(x + u)), the lower bound behind bits per dimension.

    The mean log_prob is at least 1.25 times the mean of the uniform distribution, -dims ln levels.
    A lower mean indicates bits, which are larger by a factor of 1.44, or a constant that is
    counted twice.

    A model with `estimate_log_prob` is compared with 8 banks of 256 draws. The logarithm of the
    sum of probabilities by draws is at most 0.3 from 0, plus 3 standard errors of the mean over
    the banks. The mean log_prob exceeds the mean by draws by at most 0.05 nats if it is a lower
    bound, and differs from the mean by draws by at most 0.25 nats if it is an estimate.

    Models with an unnormalised likelihood are skipped.
    """
    domain = subject.unit_domain
    if domain.levels**domain.dims > _MOST_EXAMPLES:
        raise ValueError(f"the unit domain {domain} has more than {_MOST_EXAMPLES} examples")
    torch.manual_seed(0)
    try:
        model = subject.build(domain)
    except DomainError as error:
        raise Fault(
            f"the unit of log_prob cannot be checked without a model for {domain} ({error}): "
            "choose options that fit, or pass another `unit_domain`"
        ) from error
    if model.likelihood == "unnormalized":
        raise NotApplicable(f"the likelihood is {model.likelihood}, so the sum need not be 1")
    x = _every_example(domain)
    uniform = -domain.dims * math.log(domain.levels)
    values = _train(model, x, at_least=_LEAST_MEAN * uniform)
    mean = float(values.mean())
    total = math.exp(min(float(values.logsumexp(0)), 700.0))
    found = (
        f"the {len(x)} {domain.example}s in {domain} have a total probability of {total:.3g} "
        f"(at most 1 is possible) and a mean log_prob of {mean:.3f} "
        f"(uniform: {uniform:.3f} nats)"
    )
    if not total <= (_MOST_TOTAL_OF_ESTIMATES if model.likelihood == "estimate" else _MOST_TOTAL):
        raise Fault(f"{found}: {_hint_too_much(mean, uniform, domain)}")
    if not mean >= _LEAST_MEAN * uniform:
        raise Fault(f"{found}: {_hint_too_little(mean, uniform, model.likelihood)}")
    return found + _beside_draws(model, x, mean)


def _beside_draws(model: DensityModel, x: Tensor, mean: float) -> str:
    """Compare the mean log_prob with an estimate by draws, if there is one; return a remark."""
    if not isinstance(model, HasLogProbEstimate):
        return ""
    noise = generator()
    with torch.no_grad():
        banks = [model.estimate_log_prob(x.clone(), _DRAWS, noise) for _ in range(_BANKS)]
    drawn = torch.stack(banks).double()
    totals = drawn.exp().sum(1)
    total, other = float(totals.mean()), float(_log_mean(drawn).mean())
    found = f"estimate_log_prob by {_BANKS * _DRAWS} draws has a mean of {other:.3f}"
    # Banks differ by tens of percent where the draws cover the latents badly: weights then have
    # heavy tails. A constant that is missing moves the logarithm by .7 and more.
    error = float(totals.std()) / _BANKS**0.5 / total
    if not abs(math.log(total)) <= _MOST_FROM_ONE + _STANDARD_ERRORS * error:
        raise Fault(
            f"{found}, and its probabilities sum to {total:.3g}, not to 1: a density of the draws "
            "is missing in the weights, or the draws do not cover the latents"
        )
    if model.likelihood == "lower_bound" and mean > other + _MOST_ABOVE:
        raise Fault(f"{found}, below log_prob, {mean:.3f}, which is said to be a lower bound")
    if model.likelihood == "estimate" and abs(mean - other) > _MOST_APART:
        raise Fault(f"{found}, far from log_prob, {mean:.3f}, which is said to be an estimate")
    return f"; {found}"


def _log_mean(values: Tensor) -> Tensor:
    """Return the logarithm of the mean of exp(values) over the first axis."""
    return values.logsumexp(0) - math.log(len(values))


def _every_example(domain: Domain) -> Tensor:
    """Return all examples in a domain as a model takes them, (levels ** dims, *domain.shape)."""
    values = model_input(torch.arange(domain.levels), domain)
    return torch.cartesian_prod(*[values] * domain.dims).reshape(-1, *domain.shape)


def _train(model: DensityModel, x: Tensor, *, at_least: float) -> Tensor:
    """Train on all examples, longer while the mean is too low; return `_values`.

    More training cannot hide a wrong unit: no density has a mean log-probability over all
    examples above the uniform distribution's, hence no mean in bits above 1.44 times that value.
    """
    if isinstance(model, Preparable):
        model.prepare(x.clone())
    parameters = [p for _, p in model.named_parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=_LEARNING_RATE)
    noise = generator()
    for _ in range(_ROUNDS):
        model.train()
        for step in range(_STEPS):
            loss = training_loss(model, x.clone(), noise)
            if not loss.isfinite():
                raise Fault(f"the training loss is {loss.item()} at step {step}")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        values = _values(model.eval(), x)
        if not values.mean() < at_least:
            break
    return values


def _values(model: DensityModel, x: Tensor) -> Tensor:
    """Return log-probabilities in float64, (N,): E_u log_density(x + u), or else log_prob.

    The expectation is over the points of a Sobol sequence, moved from the corners of the cube.
    """
    if not isinstance(model, HasLogDensity):
        return log_prob(model, x).double()
    dtype = next(p.dtype for _, p in model.named_parameters() if p.is_floating_point())
    sequence = torch.quasirandom.SobolEngine(model.domain.dims)  # type: ignore[no-untyped-call]
    points = sequence.draw(_SHIFTS) + 0.5 / _SHIFTS
    shifts = points.reshape(-1, *model.domain.shape).to(dtype)
    with torch.no_grad():
        values = [model.log_density(x.to(dtype) + shift).double() for shift in shifts]
    return torch.stack(values).mean(0)


def _hint_too_much(mean: float, uniform: float, domain: Domain) -> str:
    """Suggest a reason for a total probability above 1."""
    per_dim = uniform / domain.dims
    if math.isnan(mean):
        return "log_prob is NaN after training"
    if mean > 1:
        return "is it a negative log-likelihood, or bits per dimension?"
    if abs(mean - per_dim) < 0.3 * abs(per_dim):
        return "is it per dimension? It must be summed over the dimensions of an example"
    if abs(mean) <= 1:
        return "is the constant -dims * bits * ln 2 of the bins' volume missing?"
    return (
        "a constant or a log-determinant is wrong, or the density peaks in the middle of the bins "
        "(give it a log_density, and a training_loss with dequantisation noise)"
    )


def _hint_too_little(mean: float, uniform: float, likelihood: Likelihood) -> str:
    """Suggest a reason for a mean log-probability that is too low."""
    learns = "or the model does not learn"
    if likelihood == "lower_bound":
        learns += ", or its bound is loose with these options"
    if mean > 1.75 * uniform:
        return f"is it in bits? It must be in nats; {learns}"
    return f"a constant is taken twice, {learns}"
