"""Training loop. Epoch e depends only on the train key and e."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from harness.compute.checkpoints import (
    Buildable,
    build_model,
    load_tensors,
    optimizer_tensors,
    restore_optimizer,
    tensor_bytes,
)
from harness.compute.device import in_chunks, without_waiting
from harness.compute.gradients import CompiledGradients, Loss, gradients
from harness.compute.inputs import augment, model_input, stored_tensor
from harness.compute.precision import networks_in
from harness.compute.seeds import derived_seed, generator
from harness.contracts import DensityModel, Preparable, Trainable
from harness.data.roles import permutation
from harness.dequantise import dequantised_log_prob
from harness.domain import Domain, Examples, bits_per_dim
from harness.errors import DataError, TrainingError
from harness.suite import Recipe

CHECK_STEPS = 16
"""Number of steps between checks of the losses: on a GPU each check waits for the device."""
OWN_EXAMPLES = 512
ADVICE = "a smaller learning_rate, a longer warmup_epochs or clip_grad_norm may help"


@dataclass
class EpochProgress:
    """Progress within an epoch.

    Attributes:
        noise: Generator for dequantisation noise, in its current state.
        augmentation: Generator for augmentation, in its current state.
        losses: Training loss for each step so far, in bits per dimension.
    """

    noise: torch.Generator
    augmentation: torch.Generator
    losses: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, seed: int, epoch: int) -> EpochProgress:
        """Return the progress before the first step."""
        return cls(generator(seed, "noise", epoch), generator(seed, "augmentation", epoch))


class Training:
    """A model in training; between two calls, always at the end of an epoch.

    Arguments:
        component: Model plugin, options and recipe.
        domain: Domain to build the model for.
        examples: `domain.dtype`, (N, *domain.shape), the train split.
        seed: Seed for initial weights, order, noise and augmentation.
        device: Device for the model and, if they fit, the examples.

    Raises:
        DomainError: The model cannot be built for the domain.
        DataError: There are fewer examples than one minibatch needs.
    """

    def __init__(
        self,
        component: Buildable,
        domain: Domain,
        examples: Examples,
        seed: int,
        device: torch.device,
    ) -> None:
        self.recipe = component.recipe
        self.seed = seed
        self.device = device
        self.domain = domain
        self.epoch = 0
        self.epoch_progress: EpochProgress | None = None
        chosen = subset(examples, self.recipe.examples, seed, "examples")
        self.examples = _on_device(stored_tensor(chosen), device)
        self.steps_per_epoch = len(self.examples) // self.recipe.minibatch
        if self.steps_per_epoch == 0:
            raise DataError(
                f"a minibatch has {self.recipe.minibatch} examples, but only {len(self.examples)} "
                "are available for training"
            )
        self.model = build_model(component, domain, derived_seed(seed, "weights")).to(device)
        self.optimizer = _optimizer(self.model, self.recipe)
        self._gradients: Loss = partial(gradients, self._loss)

    def compile(self, note: Callable[[str], None]) -> None:
        """Run all further steps through `torch.compile`; `note` gets the reason if this fails."""
        self._gradients = CompiledGradients(self._loss, note)

    def start(self) -> None:
        """Begin at epoch 0: prepare models that have a data-dependent start."""
        if isinstance(self.model, Preparable):
            order = self._order(0)[: self.recipe.prepare_batches * self.recipe.minibatch]
            noise = generator(self.seed, "augmentation", 0)
            self.model.train()
            with torch.no_grad():
                first = self._minibatch(order.to(self.examples.device))
                self.model.prepare(augment(first, self.recipe, self.domain.levels, noise))
        _check_weights(self.model, 0)

    def resume(self, weights: bytes, optimizer: bytes, epoch: int) -> None:
        """Continue from a stored epoch."""
        self.model.load_state_dict(load_tensors(weights))
        if tensors := load_tensors(optimizer):  # empty before the first step
            restore_optimizer(self.optimizer, tensors)
        self.epoch, self.epoch_progress = epoch, None

    def resume_within(
        self, weights: bytes, optimizer: bytes, progress: dict[str, Tensor], steps: int
    ) -> None:
        """Continue within an epoch, after `steps` steps, from a state returned by `progress`."""
        self.resume(weights, optimizer, steps // self.steps_per_epoch)
        current = self.epoch_progress = EpochProgress.of(self.seed, self.epoch + 1)
        current.noise.set_state(progress["noise"])
        current.augmentation.set_state(progress["augmentation"])
        current.losses = list(progress["losses"].to(self.device))
        assert self.steps == steps, "as many losses as steps"

    def state(self) -> tuple[bytes, bytes]:
        """Return weights and optimiser state, in the form that `resume` accepts."""
        optimizer = optimizer_tensors(self.optimizer)
        return tensor_bytes(self.model.state_dict()), tensor_bytes(optimizer)

    def progress(self) -> dict[str, Tensor]:
        """Return the additional state for `resume_within`: generators and losses in the epoch."""
        current = self.epoch_progress or EpochProgress.of(self.seed, self.epoch + 1)
        return {
            "noise": current.noise.get_state(),
            "augmentation": current.augmentation.get_state(),
            "losses": torch.stack(current.losses) if current.losses else torch.empty(0),
        }

    @property
    def steps(self) -> int:
        """Number of steps since the start, over all epochs."""
        in_epoch = len(self.epoch_progress.losses) if self.epoch_progress else 0
        return self.epoch * self.steps_per_epoch + in_epoch

    def run_epoch(
        self, advance: Callable[[int], None], after_step: Callable[[], None] = lambda: None
    ) -> float:
        """Train for one epoch, or for the rest of an epoch already begun.

        Arguments:
            advance: Called from time to time with the number of examples done.
            after_step: Called after each step except the last.

        Returns:
            Mean training loss, in bits per dimension.

        Raises:
            TrainingError: The loss or, at the end, a weight is not finite; the message names epoch
                and step, or the layer.
        """
        epoch = self.epoch + 1
        order = self._order(epoch).to(self.examples.device)
        current = self.epoch_progress = self.epoch_progress or EpochProgress.of(self.seed, epoch)
        losses, looked = current.losses, len(current.losses)
        self.model.train()
        for step in range(len(losses), self.steps_per_epoch):
            chosen = order[step * self.recipe.minibatch :][: self.recipe.minibatch]
            x = self._minibatch(chosen)
            x = augment(x, self.recipe, self.domain.levels, current.augmentation)
            losses.append(self._step(x, current.noise, (epoch - 1) * self.steps_per_epoch + step))
            if (step + 1) % CHECK_STEPS == 0 or step + 1 == self.steps_per_epoch:
                _check_finite(losses, epoch)
                advance(len(chosen) * (step + 1 - looked))
                looked = step + 1
            if step + 1 < self.steps_per_epoch:
                after_step()
        _check_weights(self.model, epoch)
        self.epoch, self.epoch_progress = epoch, None
        return float(torch.stack(losses).double().mean())

    def own_bits_per_dim(self, examples: Examples) -> float:
        """Return mean bits per dimension over at most 512 test examples of the model's data set.

        A continuous density is evaluated with fixed noise, see `dequantised_log_prob`.
        """
        own = stored_tensor(subset(examples, OWN_EXAMPLES, self.seed, "own test examples"))

        def total_of(x: Tensor) -> float:
            x = model_input(x.to(self.device), self.domain)
            return float(dequantised_log_prob(self.model, x).double().sum())

        self.model.eval()
        with torch.no_grad():
            total = sum(part for _, part in in_chunks(own, 64, total_of))
        return float(bits_per_dim(total / len(own), self.domain.dims))

    def _order(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.examples), generator=generator(self.seed, "order", epoch))

    def _minibatch(self, chosen: Tensor) -> Tensor:
        return model_input(without_waiting(self.examples[chosen], self.device), self.domain)

    def _step(self, x: Tensor, noise: torch.Generator, step: int) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, step, self.steps_per_epoch)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._gradients(self.model, x, noise)
        if self.recipe.clip_grad_norm is not None:
            parameters = [parameter for _, parameter in self.model.named_parameters()]
            torch.nn.utils.clip_grad_norm_(parameters, self.recipe.clip_grad_norm)
        self.optimizer.step()
        return loss

    def _loss(self, model: DensityModel, x: Tensor, noise: torch.Generator) -> Tensor:
        """Return the training loss in bits per dimension."""
        with networks_in(self.recipe, self.device):
            loss = training_loss(model, x, noise)
        return loss / (self.domain.dims * math.log(2))


def training_loss(model: DensityModel, x: Tensor, noise: torch.Generator) -> Tensor:
    """Return the model's training loss, by default minus the mean log_prob; nats per example."""
    if isinstance(model, Trainable):
        return model.training_loss(x, noise)
    return -model.log_prob(x).mean()


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate: linear from 1 / warm-up steps, then constant.

    Arguments:
        recipe: Recipe with `learning_rate` and `warmup_epochs`.
        step: Step number, counted from 0 over all epochs.
        steps_per_epoch: Converts epochs into steps.
    """
    warmup = recipe.warmup_epochs * steps_per_epoch
    return recipe.learning_rate * min(1.0, (step + 1) / max(warmup, 1.0))


FUSED = {"adam", "adamw"}
"""Optimisers that torch updates in a single pass over the memory, on these kinds of devices."""
FUSED_ON = {"cpu", "cuda"}


def _optimizer(model: DensityModel, recipe: Recipe) -> torch.optim.Optimizer:
    classes = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax, "adamw": torch.optim.AdamW}
    build: Callable[..., torch.optim.Optimizer] = classes[recipe.optimizer]
    parameters = [parameter for _, parameter in model.named_parameters()]
    is_fused = recipe.optimizer in FUSED and parameters[0].device.type in FUSED_ON
    # All parameters in a few calls: less time than in many, and the same numbers but for rounding.
    way = {"fused": True} if is_fused else {"foreach": True}
    return build(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, **way)


def subset(examples: Examples, most: int | None, seed: int, purpose: str) -> Examples:
    """Choose random examples from a split, in the split's order; all if `most` is None.

    Many data sets are stored in class order, so the first examples cover only a few classes. With
    the same seed, a larger subset contains every smaller one.

    Arguments:
        examples: (N, *domain.shape).
        most: Maximum number of examples.
        seed: Training seed.
        purpose: Purpose of the examples; different purposes give different choices.

    Returns:
        (n, *domain.shape), a copy.
    """
    order = permutation(len(examples), derived_seed(seed, purpose))
    return examples[np.sort(order[:most])]


def _on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to the device, or keep it in main memory if the device lacks room."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if tensor.nbytes > free // 4:
            return tensor
    return tensor.to(device)


def _check_finite(losses: list[Tensor], epoch: int) -> None:
    finite = torch.isfinite(torch.stack(losses[-CHECK_STEPS:]))
    if not bool(finite.all()):
        first = max(0, len(losses) - CHECK_STEPS) + int((~finite).nonzero()[0, 0])
        raise TrainingError(
            f"the loss is {float(losses[first])} at epoch {epoch}, step {first + 1}; {ADVICE}"
        )


def _check_weights(model: DensityModel, epoch: int) -> None:
    """Raise if a weight is not finite.

    The loss of the last step can be finite although the updated weights are not.
    """
    layers = dict(model.named_parameters())
    finite = torch.stack([layer.isfinite().all() for layer in layers.values()])
    if not bool(finite.all()):  # a single look: on a GPU each one waits for the device
        name = next(name for name, is_finite in zip(layers, finite, strict=True) if not is_finite)
        raise TrainingError(
            f"layer {name!r} has weights that are not finite at the end of epoch {epoch}; {ADVICE}"
        )
