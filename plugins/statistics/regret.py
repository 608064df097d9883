"""Training model copies on a single example each: side by side, or in turn."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from oodbench import DensityModel, UnsupportedError, is_out_of_memory
from plugins.statistics.layer_gradients.graph import ObjectiveModule

Parameters: TypeAlias = dict[str, Tensor]
# Maps the parameters of n copies to the gradients and the log-probabilities, (n,).
Gradient: TypeAlias = Callable[[Parameters], tuple[Parameters, Tensor]]
Value: TypeAlias = Callable[[Parameters], Tensor]

COPY_BYTES = 2**29
"""Memory in bytes for the copies trained side by side."""

TENSORS = 5
"""Memory per copy, in parameter sizes: parameters, gradients, two moments, a temporary."""

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ascent:
    """Gradient ascent on log p; see `LikelihoodRegret` for the options."""

    steps: int
    learning_rate: float
    optimizer: Literal["adam", "sgd"]

    def gain(self, start: Parameters, gradient: Gradient, value: Value) -> Tensor:
        """Compute max_t log p(x; θ_t) - log p(x; θ_0) for each copy, float64, (n,)."""
        update = self._adam() if self.optimizer == "adam" else self._sgd
        parameters, values = start, []
        for _ in range(self.steps):
            gradients, found = gradient(parameters)
            values.append(found.detach().to(torch.float64))
            parameters = {
                name: parameters[name] + update(name, gradients[name]) for name in parameters
            }
        with torch.no_grad():
            values.append(value(parameters).to(torch.float64))
        return torch.stack(values).amax(0) - values[0]

    def _sgd(self, name: str, gradient: Tensor) -> Tensor:
        return self.learning_rate * gradient

    def _adam(self) -> Callable[[str, Tensor], Tensor]:
        """Return an Adam update (Kingma & Ba, 2015, Algorithm 1) with fresh moments."""
        moments: dict[str, tuple[int, Tensor, Tensor]] = {}

        def update(name: str, gradient: Tensor) -> Tensor:
            zero = torch.zeros_like(gradient)
            t, first, second = moments.get(name, (0, zero, zero))
            t += 1
            first = BETA1 * first + (1 - BETA1) * gradient
            second = BETA2 * second + (1 - BETA2) * gradient.square()
            moments[name] = (t, first, second)
            unbiased = (second / (1 - BETA2**t)).sqrt() + EPS
            return self.learning_rate / (1 - BETA1**t) * first / unbiased

        return update


def regrets(model: DensityModel, x: Tensor, ascent: Ascent) -> Tensor:
    """Compute the gain for each example, float64, (N,).

    Arguments:
        model: Left unchanged: every evaluation uses copies in place of the parameters.
        x: uint8, (N, *domain.shape).
        ascent: Steps, learning rate and optimiser.

    Raises:
        UnsupportedError: The model is not a module, or its log-probability has no gradient.
    """
    if not isinstance(model, nn.Module):
        name = type(model).__name__
        raise UnsupportedError(f"likelihood_regret needs a torch.nn.Module, which {name} is not")
    module = model
    named = {name: p.detach() for name, p in model.named_parameters() if p.is_floating_point()}
    size = sum(p.numel() * p.element_size() for p in named.values())
    together = COPY_BYTES // max(1, TENSORS * size)
    if together > 1:
        try:
            return torch.cat([_side_by_side(module, named, p, ascent) for p in x.split(together)])
        except Exception as error:  # the loop fails too if the model is at fault
            if is_out_of_memory(error):
                raise
            _log.info(
                "likelihood regret of %s one example at a time: %s", type(model).__name__, error
            )
    return torch.cat([_alone(module, named, example, ascent) for example in x.split(1)])


def _side_by_side(module: nn.Module, named: Parameters, x: Tensor, ascent: Ascent) -> Tensor:
    """Train a copy per example, with stacked parameters, (n, ...)."""

    def log_prob(parameters: Parameters, example: Tensor) -> Tensor:
        return _log_prob(module, parameters, example.unsqueeze(0)).sum()

    gradient, value = vmap(grad_and_value(log_prob)), vmap(log_prob)
    start = {name: p.expand(len(x), *p.shape) for name, p in named.items()}
    return ascent.gain(start, lambda given: gradient(given, x), lambda given: value(given, x))


def _alone(module: nn.Module, named: Parameters, x: Tensor, ascent: Ascent) -> Tensor:
    """Train a single copy on an example, (1, ...), by plain backward passes."""

    def gradient(parameters: Parameters) -> tuple[Parameters, Tensor]:
        leaves = {name: p.detach().requires_grad_(True) for name, p in parameters.items()}
        with torch.enable_grad():
            value = _log_prob(module, leaves, x)
            if not value.requires_grad:
                name = type(module).__name__
                raise UnsupportedError(f"log_prob of {name} does not depend on any parameter")
            found = torch.autograd.grad(value.sum(), [*leaves.values()], allow_unused=True)
        pairs = zip(leaves.items(), found, strict=True)
        return {n: torch.zeros_like(p) if g is None else g for (n, p), g in pairs}, value

    return ascent.gain(named, gradient, lambda given: _log_prob(module, given, x))


def _log_prob(module: nn.Module, parameters: Parameters, x: Tensor) -> Tensor:
    """Evaluate the log-probability for examples, (n,), under the given parameters."""
    renamed = {f"model.{name}": p for name, p in parameters.items()}
    return cast(Tensor, functional_call(ObjectiveModule(module), renamed, (x,)))
