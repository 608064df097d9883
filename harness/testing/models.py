"""Conformance checks for density models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, get_args

import torch
from safetensors.torch import load, save
from torch import Tensor

from harness.compute.examination import differs
from harness.compute.precision import OnlyProductsRounded, bfloat16_networks
from harness.contracts import DensityModel, Likelihood
from harness.domain import Domain
from harness.testing.capabilities import (
    estimate_noise,
    log_density,
    log_prob_terms,
    log_prob_tokens,
    prepare,
    sample,
    to_noise,
    training_loss,
)
from harness.testing.checks import Check, Fault, NotApplicable, describe, run_checks
from harness.testing.model_subject import (
    STATE,
    ModelUnderTest,
    changed_by,
    check_untouched,
    domains_for,
    generator,
    log_prob,
    settled,
)
from harness.testing.normalisation import unit

IN_FULL = (
    "convert what networks return to the dtype of the parameters before computing sums, densities "
    "and log-determinants"
)
ROUNDINGS = 4
"""Highest error from rounding activations, in units of the error from rounding products. Networks
of 2 to 60 layers have up to 1.9; a rounded sum over 16 pixels has 12 to 130."""


def check_model(
    build: Callable[[Any], DensityModel],
    *,
    domain: Domain | None = None,
    unit_domain: Domain | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Check]:
    """Run every conformance check on a model, on the CPU.

    Arguments:
        build: Returns a new, untrained model for a domain. Choose options that keep the model
            small and that fit both domains.
        domain: A small domain that the model can be built for; by default `Images(1, 4, 4)`, or
            `Tokens(8)` for a constructor with `domain: Tokens`.
        unit_domain: A domain with at most 4,096 examples; the check `unit` sums over all of them.
            By default `Images(1, 2, 2, bits=2)`, or `Tokens(4, vocabulary=4)`.
        expected_failures: Reason for each expected failure, by check name. An expected failure
            that does not happen is reported as a failure.

    Returns:
        One result per check; pass the list to `assert_conforms`.

    Examples:
        >>> import torch
        >>> from oodbench.testing import assert_conforms, check_model
        >>> class Pixels(torch.nn.Module):
        ...     likelihood = "exact"
        ...
        ...     def __init__(self, domain):
        ...         super().__init__()
        ...         self.domain = domain
        ...         self.logits = torch.nn.Parameter(torch.zeros(domain.dims, domain.levels))
        ...
        ...     def log_prob(self, x):
        ...         pixels = x.flatten(1).long().unsqueeze(-1)
        ...         logits = self.logits.log_softmax(-1).expand(len(x), -1, -1)
        ...         return logits.gather(-1, pixels).squeeze(-1).sum(1)
        >>> checks = check_model(Pixels)
        >>> assert_conforms(checks)
        >>> [check.name for check in checks if check.outcome == "skipped"][:4]
        ['prepare', 'training_loss', 'sample', 'log_density']
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        small = domains_for(build)
        subject = ModelUnderTest(build, domain or small.model, unit_domain or small.unit)
        return run_checks(MODEL_CHECKS, subject, expected_failures or {})


def interface(subject: ModelUnderTest) -> None:
    """The model has all DensityModel members, the requested domain and a known likelihood kind."""
    model = subject.fresh()
    methods = ("log_prob", "named_parameters", "state_dict", "load_state_dict", "to")
    wanted = ("domain", "likelihood", *methods, "train", "eval")
    missing = [name for name in wanted if not hasattr(model, name)]
    if missing:
        raise Fault(f"the model lacks {', '.join(missing)}")
    if model.domain != subject.domain:
        raise Fault(f"`domain` must be the domain passed in, {subject.domain}: {model.domain}")
    if model.likelihood not in get_args(Likelihood):
        known = ", ".join(get_args(Likelihood))
        raise Fault(f"the model declares the `likelihood` {model.likelihood!r}; known: {known}")


def shape_and_dtype(subject: ModelUnderTest) -> None:
    """log_prob for N examples is a floating tensor with shape (N,)."""
    model = subject.model()
    for n in (1, 5):
        values = log_prob(model, subject.examples(n))
        if not isinstance(values, Tensor) or not values.is_floating_point():
            kind = getattr(values, "dtype", type(values).__name__)
            raise Fault(f"log_prob must return a floating tensor, not {kind}")
        if values.shape != (n,):
            raise Fault(
                f"log_prob for {n} examples has shape {tuple(values.shape)}, not ({n},): "
                "return one number per example, summed over the dimensions"
            )


def finite(subject: ModelUnderTest) -> None:
    """log_prob is finite for random, lowest and highest values."""
    model = subject.model()
    x = subject.varied_examples()
    bad = int((~log_prob(model, x).isfinite()).sum())
    if bad:
        raise Fault(f"log_prob is NaN or infinite for {bad} of {len(x)} examples")


def per_example(subject: ModelUnderTest) -> None:
    """The log_prob for an example does not depend on the rest of the batch, in float64."""
    model, x = subject.double(), subject.examples(8)
    expected = settled(model, x)
    hint = "use no mean over the batch, and no batch statistics in evaluation mode"
    if differs(log_prob(model, x[:3]), expected[:3]):
        raise Fault(f"log_prob for an example depends on the rest of the batch: {hint}")
    alone = torch.cat([log_prob(model, example[None]).reshape(-1) for example in x])
    if differs(alone, expected):
        raise Fault(f"log_prob for an example alone and within a batch differs: {hint}")
    permutation = [3, 0, 7, 1, 6, 2, 5, 4]
    if differs(log_prob(model, x[permutation]), expected[permutation]):
        raise Fault(f"log_prob depends on the order of the batch: {hint}")


def deterministic(subject: ModelUnderTest) -> None:
    """log_prob in evaluation mode is the same every time, regardless of torch's seed."""
    x = subject.examples(4)
    states = []
    for model in (subject.model(), subject.double()):
        values = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            before = torch.random.get_rng_state()
            values.append(log_prob(model, x))
            states.append((before, torch.random.get_rng_state()))
            log_prob(model, subject.examples(3, seed=9))
        for again in values[1:]:
            if differs(again, values[0]):
                worst = (again - values[0]).abs().max()
                raise Fault(
                    f"log_prob for the same examples changes by {worst:.3g} between calls: "
                    "draw no noise in evaluation mode, evaluate at the bin centre"
                )
    if not all(torch.equal(before, after) for before, after in states):
        raise Fault("log_prob draws from torch's global random generator, or seeds it")


def input_untouched(subject: ModelUnderTest) -> None:
    """No method writes into the examples passed in."""
    evaluated = ("log_prob", "log_prob_terms", "log_prob_tokens", "estimate_log_prob")
    methods = (*evaluated, "training_loss", "prepare")
    for name, call in _calls(subject.model(), methods):
        check_untouched(name, call, subject.varied_examples())


def gradients(subject: ModelUnderTest) -> str | None:
    """log_prob is differentiable: every parameter used by log_prob has a finite gradient."""
    model = subject.model()
    parameters = dict(model.named_parameters())
    if not parameters:
        raise Fault("the model has no parameters")
    trained = {name: p for name, p in parameters.items() if p.requires_grad}
    total = model.log_prob(subject.examples(5)).sum()
    if not trained or not total.requires_grad:
        raise Fault("log_prob does not depend on any parameter: is the result detached?")
    found = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
    by_name = dict(zip(trained, found, strict=True))
    bad = [name for name, g in by_name.items() if g is not None and not g.isfinite().all()]
    if bad:
        raise Fault(f"the gradient is NaN or infinite in {_listed(bad)}")
    remarks = []
    if unreached := [name for name, gradient in by_name.items() if gradient is None]:
        remarks.append(f"log_prob does not reach {_listed(unreached)}")
    if frozen := [name for name in parameters if name not in trained]:
        remarks.append(f"requires_grad is off for {_listed(frozen)}")
    return "; ".join(remarks)


def state_round_trip(subject: ModelUnderTest) -> None:
    """A new model with the saved state loaded has exactly the same log_prob.

    The state is saved to safetensors bytes and loaded into a model that was built with another
    seed and not prepared. A flag, such as whether ActNorm is initialised, belongs in a buffer.
    """
    model, x = subject.model(), subject.examples(5)
    expected = settled(model, x)
    state = model.state_dict()
    strange = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if strange:
        raise Fault(f"the state contains values that are not tensors: {_listed(strange)}")
    data = save({name: value.detach().clone().contiguous() for name, value in state.items()})
    other = subject.fresh(seed=5)
    other.load_state_dict(load(data))
    found = log_prob(other.eval(), x)
    exactly = torch.equal(log_prob(model, x), expected)
    if differs(found, expected) or (exactly and not torch.equal(found, expected)):
        worst = (found - expected).abs().max()
        raise Fault(
            f"a new model with the same state has a different log_prob (by up to {worst:.3g}): "
            "the model depends on something, such as a flag, that is not a parameter or buffer"
        )


def left_as_found(subject: ModelUnderTest) -> None:
    """Evaluating or sampling leaves mode, state, gradients and flags unchanged."""
    model, x = subject.model(), subject.examples(5)
    methods = ("log_prob", "log_density", "log_prob_terms", "log_prob_tokens")
    evaluated = (*methods, "estimate_log_prob", "sample")
    for name, call in _calls(model, evaluated):
        for mode, may_change in (("evaluation", ()), ("training", (STATE,))):
            model.train(mode == "training")
            for what in changed_by(partial(call, x), model):
                if what not in may_change:
                    raise Fault(f"{name} in {mode} mode changes {what}")


def float64(subject: ModelUnderTest) -> None:
    """After a cast to float64, log_prob is float64 and close to the float32 value."""
    x = subject.examples(5)
    single = settled(subject.model(), x)
    try:
        double = log_prob(subject.double(), x)
    except RuntimeError as error:
        raise Fault(f"after .to(torch.float64) log_prob fails: {describe(error)}") from error
    if double.dtype != torch.float64:
        raise Fault(
            f"after .to(torch.float64) log_prob is {double.dtype}: cast the examples to the "
            "parameters' dtype and keep constants in buffers"
        )
    if not torch.allclose(double, single.double(), rtol=1e-3, atol=1e-2):
        worst = (double - single.double()).abs().max()
        raise Fault(f"log_prob in float64 and in float32 differ by {worst:.3g}")


def bfloat16(subject: ModelUnderTest) -> None:
    """With networks in bfloat16, densities, log-determinants and sums are not rounded.

    The check evaluates log_prob under autocast twice, the second time with products that return
    float32, so that only products round. The difference is the error made outside of products.
    Networks round activations too, with an error of the size of that of products. A rounded sum
    of many terms has an error many times larger. The check takes every product for a part of a
    network, and does not find rounding that is as small as that of networks.
    """
    model, x = subject.model(), subject.examples(32)
    exact = settled(model, x)
    with bfloat16_networks(x.device):
        found = log_prob(model, x)
        with OnlyProductsRounded():
            by_products = log_prob(model, x)
        for name, call in _calls(model, ("log_prob", "log_prob_terms", "training_loss")):
            result = call(x.clone())
            for value in result.values() if isinstance(result, Mapping) else (result,):
                if isinstance(value, Tensor) and value.dtype == torch.bfloat16:
                    raise Fault(
                        f"with networks in bfloat16 {name} returns {value.dtype}: {IN_FULL}"
                    )
    if torch.equal(found, exact):
        raise NotApplicable(
            "log_prob is the same with networks in bfloat16: no product is rounded"
        )
    inside, outside = float((by_products - exact).norm()), float((found - by_products).norm())
    if outside > ROUNDINGS * inside + 1e-6 * float(exact.norm()):
        raise Fault(
            "with networks in bfloat16 log_prob loses more to rounding outside of products than "
            f"to products (errors of {outside:.2g} and {inside:.2g} nats, root sums of squares): "
            f"{IN_FULL}"
        )


MODEL_CHECKS: tuple[Callable[[ModelUnderTest], str | None], ...] = (
    interface,
    shape_and_dtype,
    finite,
    per_example,
    deterministic,
    input_untouched,
    gradients,
    state_round_trip,
    prepare,
    training_loss,
    sample,
    log_density,
    log_prob_terms,
    log_prob_tokens,
    to_noise,
    estimate_noise,
    left_as_found,
    float64,
    bfloat16,
    unit,
)


def _calls(model: Any, methods: Sequence[str]) -> Iterator[tuple[str, Callable[[Tensor], object]]]:
    """Yield the methods available on a model, each as a function of examples."""
    calls: Mapping[str, Callable[[Tensor], object]] = {
        "log_prob": lambda x: model.log_prob(x),
        "log_density": lambda x: model.log_density(x + 0.5),
        "log_prob_terms": lambda x: model.log_prob_terms(x),
        "log_prob_tokens": lambda x: model.log_prob_tokens(x),
        "estimate_log_prob": lambda x: model.estimate_log_prob(x, 2, generator()),
        "training_loss": lambda x: model.training_loss(x, generator()),
        "prepare": lambda x: model.prepare(x),
        "sample": lambda x: model.sample(len(x), generator()),
    }
    return ((name, calls[name]) for name in methods if hasattr(model, name))


def _listed(names: list[str]) -> str:
    """Join at most three names, followed by the number of names left out."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
