"""Checks that a model works on the device it is moved to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.compute.checkpoints import load_tensors, tensor_bytes
from harness.compute.trainer import Training
from harness.contracts import (
    DensityModel,
    EstimatesNoise,
    Flow,
    HasLogDensity,
    HasLogProbTerms,
    HasLogProbTokens,
    Samplable,
)
from harness.domain import Domain
from harness.suite import Recipe
from harness.testing.checks import Check, Fault, NotApplicable, run_checks
from harness.testing.model_subject import ModelUnderTest, domains_for, generator
from harness.testing.placement.comparison import remark, same_on_both
from harness.testing.placement.emulated import DEVICE, EmulatedTensor, emulated_device

EXAMPLES, MINIBATCH = 8, 4
RECIPE = Recipe(minibatch=MINIBATCH, learning_rate=1e-6, clip_grad_norm=1e9)
"""Small steps: where a gradient is 0 but for rounding, the optimiser steps by the sign alone.
The state of the optimiser shows gradients that differ."""


def check_model_placement(
    build: Callable[[Domain], DensityModel],
    *,
    domain: Domain | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Check]:
    """Check that a model works on a second device, without hardware.

    The model runs on an emulated device: its tensors claim to be elsewhere, and operations on
    tensors from both devices fail as on a GPU. The CPU computes everything, so numbers must equal
    numbers on the CPU bit for bit, except where torch chooses kernels by the device.

    Arguments:
        build: Returns a new, untrained model for a domain, on the CPU.
        domain: As in `check_model`.
        expected_failures: As in `check_model`.

    Returns:
        One result per check; pass the list to `assert_conforms`.

    Examples:
        >>> import torch
        >>> from oodbench.testing import check_model_placement
        >>> class Pixels(torch.nn.Module):
        ...     likelihood = "exact"
        ...
        ...     def __init__(self, domain):
        ...         super().__init__()
        ...         self.domain = domain
        ...         self.logits = torch.nn.Parameter(torch.zeros(domain.dims, domain.levels))
        ...
        ...     def log_prob(self, x):
        ...         pixel = torch.arange(self.domain.dims)
        ...         values = self.logits.log_softmax(-1)[pixel, x.flatten(1).long()]
        ...         return values @ torch.ones(self.domain.dims)
        >>> failed = [c for c in check_model_placement(Pixels) if c.outcome == "failed"]
        >>> print(failed[0].message.partition(" (<")[0])
        mv mixes tensors on the device, with shape (6, 16), and on the CPU, with shape (16,)
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        domain = domain or domains_for(build).model
        subject = ModelUnderTest(build, domain, domain)
        return run_checks(MODEL_PLACEMENT_CHECKS, subject, expected_failures or {})


def moved(subject: ModelUnderTest) -> None:
    """`to(device)` moves every parameter and the whole state."""
    model = subject.model()
    with emulated_device():
        model = model.to(DEVICE)
        tensors = {**dict(model.named_parameters()), **model.state_dict()}
    left = [name for name, value in tensors.items() if not isinstance(value, EmulatedTensor)]
    if left:
        raise Fault(f"{', '.join(left[:3])} stays on the CPU after .to(device)")


def evaluation(subject: ModelUnderTest) -> str:
    """log_prob and the optional methods work on the device, with the numbers of the CPU."""

    def compute(device: torch.device) -> dict[str, Any]:
        model, x = subject.model().to(device), subject.varied_examples().to(device)
        dtype = next(p.dtype for _, p in model.named_parameters())
        with torch.no_grad():
            results = {"log_prob": model.log_prob(x)}
            if isinstance(model, HasLogDensity):
                results["log_density"] = model.log_density(x.to(dtype) + 0.25)
            if isinstance(model, HasLogProbTerms):
                terms = model.log_prob_terms(x)
                results |= {f"log_prob_terms {name}": value for name, value in terms.items()}
            if isinstance(model, HasLogProbTokens):
                results["log_prob_tokens"] = model.log_prob_tokens(x)
            if isinstance(model, Flow):
                results["to_noise"] = model.to_noise(x.to(dtype))
            if isinstance(model, EstimatesNoise):
                sd = math.sqrt(math.prod(model.noise_range))
                results["estimate_noise"] = model.estimate_noise(x, sd)
        return results

    return remark(same_on_both(compute))


def gradients(subject: ModelUnderTest) -> str:
    """The gradients of log_prob equal the gradients on the CPU."""

    def compute(device: torch.device) -> dict[str, Tensor]:
        model, x = subject.model().to(device), subject.examples(5).to(device)
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        total = model.log_prob(x).sum()
        found = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
        pairs = zip(parameters, found, strict=True)
        return {f"the gradient of {name}": g for name, g in pairs if g is not None}

    return remark(same_on_both(compute))


def sample(subject: ModelUnderTest) -> None:
    """`sample` works for a model on the device, and draws the samples of the CPU."""
    if not isinstance(subject.model(), Samplable):
        raise NotApplicable("the model has no `sample`")

    def compute(device: torch.device) -> dict[str, Any]:
        drawn = subject.model().to(device).sample(3, generator())  # type: ignore[attr-defined]
        return {"sample": drawn.cpu().numpy()}

    same_on_both(compute)


def checkpoint(subject: ModelUnderTest) -> str:
    """The saved state is that of the CPU, and loads into a model on the device."""

    def compute(device: torch.device) -> dict[str, Any]:
        weights = tensor_bytes(subject.model().to(device).state_dict())
        loaded = subject.fresh(seed=5).to(device)
        loaded.load_state_dict(load_tensors(weights))
        with torch.no_grad():
            values = loaded.eval().log_prob(subject.examples(5).to(device))
        return {"the saved state": weights, "log_prob of the loaded state": values}

    return remark(same_on_both(compute))


def training(subject: ModelUnderTest) -> str:
    """The harness trains the model on the device, and continues from a saved epoch."""

    def compute(device: torch.device) -> dict[str, Any]:
        begun, continued = _training(subject, device), _training(subject, device)
        begun.start()
        losses = [begun.run_epoch(lambda amount: None)]
        continued.resume(*begun.state(), begun.epoch)
        losses.append(continued.run_epoch(lambda amount: None))
        own = continued.own_bits_per_dim(subject.examples(EXAMPLES).numpy())
        tensors = {
            f"{what} {name} after training": tensor.numpy()
            for what, state in zip(("weight", "optimiser state"), continued.state(), strict=True)
            for name, tensor in load_tensors(state).items()
        }
        sums = np.array([*losses, own], np.float32)  # the terms of the float64 sums are float32
        return {"loss and bits per dimension": sums, **tensors}

    emulation = same_on_both(compute)
    waits = emulation.waits_of_plugins(2 * EXAMPLES // MINIBATCH)
    remarks = (f"on a GPU, every step would wait at {waits}" if waits else "", remark(emulation))
    return "; ".join(filter(None, remarks))


MODEL_PLACEMENT_CHECKS: tuple[Callable[[ModelUnderTest], str | None], ...] = (
    moved,
    evaluation,
    gradients,
    sample,
    checkpoint,
    training,
)


@dataclass(frozen=True)
class _Component:
    """A model with a recipe, as `Training` takes it from a suite."""

    build: Callable[[Domain], DensityModel]
    recipe: Recipe = RECIPE


def _training(subject: ModelUnderTest, device: torch.device) -> Training:
    examples = subject.examples(EXAMPLES).numpy()
    return Training(_Component(subject.build), subject.domain, examples, 0, device)
