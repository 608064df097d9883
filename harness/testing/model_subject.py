"""A model as the checks see it, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.contracts import DensityModel, Preparable
from harness.domain import Images
from harness.testing.checks import NotApplicable


@dataclass(frozen=True)
class ModelUnderTest:
    """A way to build the model, and the two domains to build it for."""

    build: Callable[[Images], DensityModel]
    domain: Images
    unit_domain: Images

    def examples(self, n: int, *, seed: int = 0) -> Tensor:
        """Random examples of the domain, uint8, (N, *domain.shape)."""
        generator = torch.Generator().manual_seed(seed)
        shape = (n, *self.domain.shape)
        return torch.randint(self.domain.levels, shape, generator=generator, dtype=torch.uint8)

    def varied_examples(self) -> Tensor:
        """An all-dark, an all-bright and four random examples."""
        x = self.examples(6)
        x[0], x[1] = 0, self.domain.levels - 1
        return x

    def fresh(self, *, seed: int = 0) -> DensityModel:
        """A new model as it is built."""
        torch.manual_seed(seed)
        return self.build(self.domain)

    def model(self) -> DensityModel:
        """A new model in evaluation mode, prepared, its parameters moved off their start.

        At the start a model may be blind to its own parameters: zero-initialised layers hide what
        lies behind them.
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
        """The same in float64, where rounding cannot be taken for a fault."""
        return self.model().to(torch.float64)


class Watch:
    """A model's mode, flags, gradients and, if wanted, state at one time.

    Arguments:
        model: The one to watch.
        state: Whether to watch the state as well.
    """

    def __init__(self, model: DensityModel, *, state: bool = True) -> None:
        self._model = model
        self._with_state = state
        self._before = self._look()

    def changed(self) -> str:
        """What has changed since, in words; empty if nothing has."""
        for what, after in self._look().items():
            if after != self._before[what]:
                return what
        return ""

    def _look(self) -> dict[str, object]:
        parameters = list(self._model.named_parameters())
        modules = getattr(self._model, "modules", lambda: [self._model])()
        seen: dict[str, object] = {
            "the training mode": [getattr(module, "training", None) for module in modules],
            "a requires_grad flag": [(name, p.requires_grad) for name, p in parameters],
            "a .grad field": [(name, _bytes(p.grad)) for name, p in parameters],
            "whether gradients are enabled": torch.is_grad_enabled(),
        }
        if self._with_state:
            state = self._model.state_dict()
            seen["the state"] = {name: _bytes(value) for name, value in state.items()}
        return seen


def log_prob(model: DensityModel, x: Tensor) -> Tensor:
    """log_prob of a copy of the examples, without a graph."""
    with torch.no_grad():
        return model.log_prob(x.clone())


def settled(model: DensityModel, x: Tensor) -> Tensor:
    """log_prob, if it is the same twice; that it is not is the business of one check only."""
    values = log_prob(model, x)
    if differs(log_prob(model, x), values):
        raise NotApplicable("log_prob changes from call to call: see `deterministic`")
    return values


def differs(found: Tensor, expected: Tensor) -> bool:
    """Whether numbers differ by more than the rounding of their type; NaN equals NaN."""
    if found.shape != expected.shape:
        return True
    tolerance = 1e-8 if expected.dtype == torch.float64 else 1e-4
    return not torch.allclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def _bytes(tensor: Tensor | None) -> object:
    """The type and bytes of a tensor."""
    if not isinstance(tensor, Tensor):
        return tensor
    flat = tensor.detach().cpu().reshape(-1)
    return tensor.dtype, tensor.shape, flat.view(torch.uint8).numpy().tobytes()
