"""A model under test, and helpers shared by the checks for models and statistics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.compute.examination import differs
from harness.contracts import DensityModel, Preparable
from harness.domain import Domain, Images, Tokens
from harness.errors import DomainError
from harness.registry.options import check_domain
from harness.testing.checks import Fault, NotApplicable

STATE = "the state"


@dataclass(frozen=True)
class Domains:
    """Domains for building models: a small domain, and a domain small enough to sum over."""

    model: Domain
    unit: Domain


DOMAINS = (
    Domains(Images(1, 4, 4), Images(1, 2, 2, bits=2)),
    Domains(Tokens(8), Tokens(4, vocabulary=4)),
)
"""Domains of every kind; the first that a plugin takes are used."""


def domains_for(target: Callable[..., Any]) -> Domains:
    """Return domains that match the annotation of a model's parameter `domain`."""
    for domains in DOMAINS:
        with suppress(DomainError):
            check_domain(target, domains.model)
            return domains
    return DOMAINS[0]  # the checks report the error


@dataclass(frozen=True)
class ModelUnderTest:
    """A function that builds the model, with the two domains to build it for."""

    build: Callable[[Any], DensityModel]
    domain: Domain
    unit_domain: Domain

    def examples(self, n: int, *, seed: int = 0) -> Tensor:
        """Return random examples from the domain, `domain.input_dtype`, (N, *domain.shape)."""
        generator = torch.Generator().manual_seed(seed)
        shape = (n, *self.domain.shape)
        return torch.randint(self.domain.levels, shape, generator=generator, dtype=self.dtype)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the examples that a model gets."""
        dtype: torch.dtype = getattr(torch, self.domain.input_dtype)
        return dtype

    def varied_examples(self) -> Tensor:
        """Return six examples: all values lowest, all values highest, and four random examples."""
        x = self.examples(6)
        x[0], x[1] = 0, self.domain.levels - 1
        return x

    def fresh(self, *, seed: int = 0) -> DensityModel:
        """Return a new model in its initial state."""
        torch.manual_seed(seed)
        return self.build(self.domain)

    def model(self) -> DensityModel:
        """Return a new model in evaluation mode, prepared, with slightly perturbed parameters.

        A model in its initial state may be insensitive to some parameters: layers initialised to
        zero hide everything behind them.
        """
        model = self.fresh()
        if isinstance(model, Preparable):
            model.prepare(self.examples(32, seed=11))
        generator = torch.Generator().manual_seed(12)
        with torch.no_grad():
            for _, parameter in model.named_parameters():
                if parameter.is_floating_point() and parameter.numel():
                    noise = torch.randn(parameter.shape, generator=generator)
                    inputs = parameter.numel() / len(parameter) if parameter.dim() else 1
                    parameter.add_(0.05 * noise.to(parameter) / inputs**0.5)
        return model.eval()

    def double(self) -> DensityModel:
        """Return the same model in float64, where rounding cannot be mistaken for a fault."""
        return self.model().to(torch.float64)


def generator() -> torch.Generator:
    """Return a new generator, always with the same seed."""
    return torch.Generator().manual_seed(0)


def changed_by(call: Callable[[], object], model: DensityModel) -> list[str]:
    """List changes that a call makes to a model: in mode, flags, gradients or state.

    Returns:
        A description of each change; empty if the call leaves the model untouched.
    """
    with torch.enable_grad():
        before = _look(model)
        call()
        return [what for what, after in _look(model).items() if after != before[what]]


def check_untouched(name: str, call: Callable[[Tensor], object], x: Tensor) -> None:
    """Call a function with a copy of some examples.

    Arguments:
        name: Name of the function in the message.
        call: The function.
        x: Examples, any shape.

    Raises:
        Fault: The function writes into the examples.
    """
    given = x.clone()
    call(given)
    if not torch.equal(given, x):
        raise Fault(f"{name} writes into the examples passed in: work on a copy")


def log_prob(model: DensityModel, x: Tensor) -> Tensor:
    """Return log_prob for a copy of the examples, without a graph."""
    with torch.no_grad():
        return model.log_prob(x.clone())


def settled(model: DensityModel, x: Tensor) -> Tensor:
    """Return log_prob, if deterministic; otherwise skip, because `deterministic` reports it."""
    values = log_prob(model, x)
    if differs(log_prob(model, x), values):
        raise NotApplicable("log_prob changes from call to call: see `deterministic`")
    return values


def _look(model: DensityModel) -> dict[str, object]:
    """Return everything in a model that a call might change, by description."""
    parameters = list(model.named_parameters())
    modules = getattr(model, "modules", lambda: [model])()
    return {
        "the training mode": [getattr(module, "training", None) for module in modules],
        "a requires_grad flag": [(name, p.requires_grad) for name, p in parameters],
        "a .grad field": [(name, _bytes(p.grad)) for name, p in parameters],
        "whether gradients are enabled": torch.is_grad_enabled(),
        STATE: {name: _bytes(value) for name, value in model.state_dict().items()},
    }


def _bytes(tensor: Tensor | None) -> object:
    """Return dtype, shape and bytes for a tensor; any other value is returned unchanged."""
    if not isinstance(tensor, Tensor):
        return tensor
    flat = tensor.detach().cpu().reshape(-1)
    return tensor.dtype, tensor.shape, flat.view(torch.uint8).numpy().tobytes()
