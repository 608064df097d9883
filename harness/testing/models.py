"""Conformance of density models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, get_args

import torch
from safetensors.torch import load, save
from torch import Tensor

from harness.contracts import (
    DensityModel,
    Flow,
    HasLogProbTerms,
    Likelihood,
    Preparable,
    Samplable,
    Trainable,
)
from harness.domain import Images
from harness.testing.checks import Check, Fault, NotApplicable, run_checks
from harness.testing.model_subject import (
    STATE,
    ModelUnderTest,
    changed_by,
    check_untouched,
    differs,
    generator,
    log_prob,
    settled,
)
from harness.testing.normalisation import unit


def check_model(
    build: Callable[[Images], DensityModel],
    *,
    domain: Images = Images(1, 4, 4),  # noqa: B008 - frozen
    unit_domain: Images = Images(1, 2, 2, bits=2),  # noqa: B008 - frozen
    expected_failures: Mapping[str, str] | None = None,
) -> list[Check]:
    """Run every check on a model, on the CPU.

    Arguments:
        build: Returns a new, untrained model of a domain. Choose options that keep it small, and
            that fit both domains.
        domain: A small one that the model can be built for.
        unit_domain: One of at most 4,096 images, all of which the unit check goes through.
        expected_failures: Check names and why each fails; one that does not fail is a failure.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        subject = ModelUnderTest(build, domain, unit_domain)
        return run_checks(MODEL_CHECKS, subject, expected_failures or {})


def interface(subject: ModelUnderTest) -> None:
    """It has the methods of a DensityModel, its domain, and says what its likelihood is."""
    model = subject.fresh()
    methods = ("log_prob", "named_parameters", "state_dict", "load_state_dict", "to")
    wanted = ("domain", "likelihood", *methods, "train", "eval")
    missing = [name for name in wanted if not hasattr(model, name)]
    if missing:
        raise Fault(f"it lacks {', '.join(missing)}")
    if model.domain != subject.domain:
        raise Fault(f"`domain` must be that it was built for, {subject.domain}: {model.domain}")
    if model.likelihood not in get_args(Likelihood):
        known = ", ".join(get_args(Likelihood))
        raise Fault(f"`likelihood` must be one of {known}, not {model.likelihood!r}")


def shape_and_dtype(subject: ModelUnderTest) -> None:
    """log_prob of N examples is a floating tensor of shape (N,)."""
    model = subject.model()
    for n in (1, 5):
        values = log_prob(model, subject.examples(n))
        if not isinstance(values, Tensor) or not values.is_floating_point():
            kind = getattr(values, "dtype", type(values).__name__)
            raise Fault(f"log_prob must return a floating tensor, not {kind}")
        if values.shape != (n,):
            raise Fault(
                f"log_prob of {n} examples has shape {tuple(values.shape)}, not ({n},): "
                "one number per example, summed over its dimensions"
            )


def finite(subject: ModelUnderTest) -> None:
    """log_prob is finite, for random, all-dark and all-bright examples."""
    model = subject.model()
    x = subject.varied_examples()
    bad = int((~log_prob(model, x).isfinite()).sum())
    if bad:
        raise Fault(f"log_prob of {bad} of {len(x)} examples is NaN or infinite")


def per_example(subject: ModelUnderTest) -> None:
    """The log_prob of an example does not depend on the rest of the batch, in float64."""
    model, x = subject.double(), subject.examples(8)
    expected = settled(model, x)
    hint = "no mean over the batch, no batch statistics in evaluation mode"
    if differs(log_prob(model, x[:3]), expected[:3]):
        raise Fault(f"log_prob of an example depends on the other examples in the batch: {hint}")
    alone = torch.cat([log_prob(model, example[None]).reshape(-1) for example in x])
    if differs(alone, expected):
        raise Fault(f"log_prob of an example alone differs from that in a batch: {hint}")
    permutation = [3, 0, 7, 1, 6, 2, 5, 4]
    if differs(log_prob(model, x[permutation]), expected[permutation]):
        raise Fault(f"log_prob depends on the order of the batch: {hint}")


def deterministic(subject: ModelUnderTest) -> None:
    """log_prob in evaluation mode is the same every time, whatever torch's seed."""
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
                    f"log_prob of the same examples changes by {worst:.3g} from call to call: "
                    "draw no noise in evaluation, take the middle of the bin"
                )
    if not all(torch.equal(before, after) for before, after in states):
        raise Fault("log_prob draws from torch's global random numbers, or seeds them")


def input_untouched(subject: ModelUnderTest) -> None:
    """The examples given to a method are, byte for byte, as they were."""
    methods = ("log_prob", "log_prob_terms", "training_loss", "prepare")
    for name, call in _calls(subject.model(), methods):
        check_untouched(name, call, subject.varied_examples())


def gradients(subject: ModelUnderTest) -> str | None:
    """log_prob is differentiable: every parameter that it reaches has a finite gradient."""
    model = subject.model()
    parameters = dict(model.named_parameters())
    if not parameters:
        raise Fault("it has no parameters")
    trained = {name: p for name, p in parameters.items() if p.requires_grad}
    total = model.log_prob(subject.examples(5)).sum()
    if not trained or not total.requires_grad:
        raise Fault("log_prob does not depend on any parameter: is it detached?")
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
    """A new model given the saved state has exactly the same log_prob.

    The state goes through safetensors bytes into a model that was built with another seed and not
    prepared. A flag, such as whether ActNorm is initialised, belongs into a buffer.
    """
    model, x = subject.model(), subject.examples(5)
    expected = settled(model, x)
    state = model.state_dict()
    strange = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if strange:
        raise Fault(f"the state holds {_listed(strange)}, which are no tensors")
    data = save({name: value.detach().clone().contiguous() for name, value in state.items()})
    other = subject.fresh(seed=5)
    other.load_state_dict(load(data))
    found = log_prob(other.eval(), x)
    exactly = torch.equal(log_prob(model, x), expected)
    if differs(found, expected) or (exactly and not torch.equal(found, expected)):
        worst = (found - expected).abs().max()
        raise Fault(
            f"a new model with the same state has another log_prob (by up to {worst:.3g}): "
            "something that it depends on, such as a flag, is no parameter or buffer"
        )


def prepare(subject: ModelUnderTest) -> None:
    """`prepare` makes log_prob finite, on constant examples too."""
    flat = torch.zeros(8, *subject.domain.shape, dtype=torch.uint8)
    for what, x in (("random", subject.examples(32)), ("constant", flat)):
        model = subject.fresh()
        if not isinstance(model, Preparable):
            raise NotApplicable("it has no `prepare`")
        model.prepare(x.clone())
        if not log_prob(model.eval(), x).isfinite().all():
            raise Fault(
                f"after `prepare` on {what} examples log_prob is NaN or infinite: put a floor "
                "under the standard deviations that it divides by"
            )


def training_loss(subject: ModelUnderTest) -> None:
    """`training_loss` is a finite scalar, random by its generator alone."""
    model = subject.model().train()
    if not isinstance(model, Trainable):
        raise NotApplicable("it has no `training_loss`: it is trained on -mean log_prob")
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        loss = model.training_loss(subject.examples(8), generator())
        if loss.shape != () or not loss.isfinite():
            raise Fault(f"training_loss must be a finite scalar, not {loss}")
        if not loss.requires_grad:
            raise Fault("training_loss is not differentiable: is it detached?")
        losses.append(loss.detach())
        drawn = not torch.equal(before, torch.random.get_rng_state())
    if differs(losses[1], losses[0]) or drawn:
        raise Fault(
            "training_loss draws random numbers past its generator: give `generator=generator` to "
            "every draw (dropout layers draw from torch's global ones)"
        )


def sample(subject: ModelUnderTest) -> None:
    """`sample` returns uint8 examples of the domain, random by its generator alone."""
    model = subject.model()
    if not isinstance(model, Samplable):
        raise NotApplicable("it has no `sample`")
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        drawn.append(model.sample(3, generator()))
    cold = model.sample(3, generator(), temperature=0.5)
    for x in (drawn[0], cold):
        if x.dtype != torch.uint8 or x.shape != (3, *subject.domain.shape):
            raise Fault(
                f"3 samples are {x.dtype} of shape {tuple(x.shape)}, not uint8 of shape "
                f"{(3, *subject.domain.shape)}"
            )
        highest = int(x.max())
        if highest >= subject.domain.levels:
            raise Fault(f"a sample has the value {highest}, above {subject.domain.levels - 1}")
    if not torch.equal(drawn[0], drawn[1]):
        raise Fault("sample draws random numbers past its generator")


def log_prob_terms(subject: ModelUnderTest) -> None:
    """The terms of log_prob are one number per example each, and their sum is log_prob."""
    model, x = subject.double(), subject.examples(5)
    if not isinstance(model, HasLogProbTerms):
        raise NotApplicable("it has no `log_prob_terms`")
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


def to_noise(subject: ModelUnderTest) -> None:
    """The noise of a flow: (N, dims), per example, and an invertible function of real images."""
    model, x = subject.double(), subject.varied_examples().double()
    if not isinstance(model, Flow):
        raise NotApplicable("it has no `to_noise`")
    z, dims = model.to_noise(x.clone()), subject.domain.dims
    if z.shape != (len(x), dims):
        raise Fault(
            f"the noise of {len(x)} examples has shape {tuple(z.shape)}, not ({len(x)}, {dims}): "
            "all of it, of every level, in a row"
        )
    if differs(model.to_noise(x[:1].clone()), z[:1]):
        raise Fault("the noise of an example depends on the other examples in the batch")
    given = x[-1:].clone()
    jacobian = torch.autograd.functional.jacobian(model.to_noise, given)  # type: ignore[no-untyped-call]
    sign, _ = torch.linalg.slogdet(jacobian.reshape(dims, dims))
    if not sign:
        raise Fault("the noise is no invertible function of the image: is x rounded, or detached?")


def left_as_found(subject: ModelUnderTest) -> None:
    """Evaluating or sampling leaves mode, state, gradients and flags as they were."""
    model, x = subject.model(), subject.examples(5)
    for name, call in _calls(model, ("log_prob", "log_prob_terms", "sample")):
        for mode, may_change in (("evaluation", ()), ("training", (STATE,))):
            model.train(mode == "training")
            for what in changed_by(partial(call, x), model):
                if what not in may_change:
                    raise Fault(f"{name} in {mode} mode changes {what}")


def float64(subject: ModelUnderTest) -> None:
    """Cast to float64, log_prob is float64, and close to what it was in float32."""
    x = subject.examples(5)
    single = settled(subject.model(), x)
    try:
        double = log_prob(subject.double(), x)
    except RuntimeError as error:
        raise Fault(f"after .to(torch.float64) log_prob raises: {error}") from error
    if double.dtype != torch.float64:
        raise Fault(
            f"after .to(torch.float64) log_prob is {double.dtype}: cast the examples to the "
            "parameters' dtype, keep constants in buffers"
        )
    if not torch.allclose(double, single.double(), rtol=1e-3, atol=1e-2):
        worst = (double - single.double()).abs().max()
        raise Fault(f"log_prob in float64 is off by {worst:.3g} from that in float32")


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
    log_prob_terms,
    to_noise,
    left_as_found,
    float64,
    unit,
)


def _calls(model: Any, methods: Sequence[str]) -> Iterator[tuple[str, Callable[[Tensor], object]]]:
    """Those of the methods that a model has, as functions of examples."""
    calls: Mapping[str, Callable[[Tensor], object]] = {
        "log_prob": lambda x: model.log_prob(x),
        "log_prob_terms": lambda x: model.log_prob_terms(x),
        "training_loss": lambda x: model.training_loss(x, generator()),
        "prepare": lambda x: model.prepare(x),
        "sample": lambda x: model.sample(len(x), generator()),
    }
    return ((name, calls[name]) for name in methods if hasattr(model, name))


def _listed(names: list[str]) -> str:
    """The first names of a list that may be long."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
