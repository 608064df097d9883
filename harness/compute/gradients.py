"""Gradients of a loss, of a step as written or compiled by `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

from harness.contracts import DensityModel

Loss: TypeAlias = Callable[[DensityModel, Tensor, Generator], Tensor]


def gradients(loss: Loss, model: DensityModel, x: Tensor, noise: Generator) -> Tensor:
    """Add the gradient of a loss to the parameters' `.grad`; return the loss without a graph."""
    value = loss(model, x, noise)
    value.backward()  # type: ignore[no-untyped-call]
    return value.detach()


class CompiledGradients:
    """The function `gradients` for a given loss, compiled; results differ by rounding only.

    If compilation fails (no compiler is available, or the model contains unsupported operations),
    this step and all later steps run uncompiled, after a single note. An error in the model itself
    is raised as usual, because the uncompiled step fails too.

    Arguments:
        loss: The loss function to compile.
        note: Receives, once, the reason for continuing without compilation.
        backend: Backend for `torch.compile`.
    """

    def __init__(
        self,
        loss: Loss,
        note: Callable[[str], None],
        backend: str | Callable[..., Any] = "inductor",
    ) -> None:
        self._plain, self._note = loss, note
        self._compiled: Loss | None = torch.compile(loss, backend=backend)

    def __call__(self, model: DensityModel, x: Tensor, noise: Generator) -> Tensor:
        """Return the loss; gradients, which must be None before, are added to the parameters."""
        if self._compiled is None:
            return gradients(self._plain, model, x, noise)
        state, buffers = noise.get_state(), _buffers(model)
        try:
            return gradients(self._compiled, model, x, noise)
        except Exception as error:
            failed = error
        noise.set_state(state)
        for name, before in buffers.items():
            model.state_dict()[name].copy_(before)
        for _, parameter in model.named_parameters():
            parameter.grad = None
        loss = gradients(self._plain, model, x, noise)
        self._compiled = None
        lines = [line.strip() for line in str(failed).splitlines() if line.strip()]
        reason = " ".join(lines[:2])  # the first line may only name the part that failed
        self._note(f"training continues without --compile: {type(failed).__name__}: {reason}")
        return loss


def _buffers(model: DensityModel) -> dict[str, Tensor]:
    """Copy what a loss may change besides the parameters' gradients, by name."""
    layers = {name for name, _ in model.named_parameters()}
    state = model.state_dict()
    return {name: value.clone() for name, value in state.items() if name not in layers}
