"""Checkpoints: tensors as safetensors bytes, and models rebuilt from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import safetensors.torch
import torch
from torch import Tensor

from harness.compute.precision import in_bfloat16
from harness.compute.saved.matching import Fit, described
from harness.contracts import DensityModel
from harness.domain import Domain
from harness.errors import DataError, StoreError
from harness.store.layout import CHECKPOINTS, WEIGHTS
from harness.store.records import Store
from harness.suite import ModelComponent, Recipe


class Buildable(Protocol):
    """A model with a recipe: what a suite calls `ModelComponent`, or a stand-in without plugin."""

    @property
    def recipe(self) -> Recipe:
        """The recipe; only the precision matters for a model that is not trained."""

    @property
    def build(self) -> Callable[[Domain], DensityModel]:
        """Builds the model for a domain."""


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return named tensors as a safetensors file; equal tensors give equal bytes."""
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    content: bytes = safetensors.torch.save(copies)
    return content


def load_tensors(content: bytes) -> dict[str, Tensor]:
    """Load the tensors in a safetensors file.

    Raises:
        StoreError: The content has another format; pickles, for example, are not read.
    """
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except Exception as error:
        raise StoreError(f"weights cannot be read as safetensors ({error})") from error
    return tensors


def build_model(component: Buildable, domain: Domain, seed: int) -> DensityModel:
    """Build a model on the CPU, with seeded initial weights and the recipe's precision.

    Raises:
        DomainError: The model cannot be built for the domain.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = component.build(domain)
    return model.to(floating_type(component.recipe))


def floating_type(recipe: Recipe) -> torch.dtype:
    """Return the torch dtype of the parameters for a recipe's precision."""
    return {"float32": torch.float32, "float64": torch.float64}[recipe.parameters]


def load_model(
    store: Store,
    component: ModelComponent,
    domain: Domain,
    key: str,
    device: torch.device,
) -> DensityModel:
    """Load the model from a stored checkpoint, in evaluation mode and evaluation precision.

    Raises:
        StoreError: The checkpoint is damaged.
    """
    model = build_model(component, domain, 0)
    weights = store.read(CHECKPOINTS, key, WEIGHTS)
    model.load_state_dict(load_tensors(weights))
    return evaluated(component, model, device)


def model_with(
    component: ModelComponent, domain: Domain, content: bytes, device: torch.device
) -> DensityModel:
    """Build a model with weights from elsewhere, in evaluation mode and evaluation precision.

    Arguments:
        component: The model.
        domain: Domain of the model.
        content: Weights, a safetensors file.
        device: Device for the model.

    Raises:
        DataError: The content is damaged, or has the weights of another model.
    """
    model = build_model(component, domain, 0)
    try:
        fit = Fit(model.state_dict(), load_tensors(content))
    except StoreError as error:
        raise DataError(str(error)) from error
    if not fit.fits:
        raise DataError(described(fit))
    try:
        model.load_state_dict(fit.complete())
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"the model does not accept the weights: {error}") from error
    return evaluated(component, model, device)


def evaluated(
    component: ModelComponent, model: DensityModel, device: torch.device
) -> DensityModel:
    """Return a model on a device, in evaluation mode and evaluation precision."""
    model = model.to(device).eval()
    return in_bfloat16(model) if component.evaluation_precision == "bfloat16" else model


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser as named tensors, `"PARAMETER.FIELD"`."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, fields in state.items()
        for name, value in fields.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore an optimiser's state from the result of `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
