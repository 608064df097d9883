"""A training step through `torch.compile`, and without it where that does not work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

from harness.contracts import DensityModel

Loss: TypeAlias = Callable[[DensityModel, Tensor, Generator], Tensor]


def gradients(loss: Loss, model: DensityModel, x: Tensor, noise: Generator) -> Tensor:
    """Add the gradient of a loss to `.grad` of the parameters; the loss, without a graph."""
    value = loss(model, x, noise)
    value.backward()  # type: ignore[no-untyped-call]
    return value.detach()


class CompiledGradients:
    """As `gradients` of a given loss, compiled, which changes numbers by rounding only.

    Where compiling fails (there is no compiler, or the model does what cannot be compiled), this
    step and all later ones go on without, after one note. An error of the model itself is raised
    as ever, because the step without compiling meets it too.

    Arguments:
        loss: What is compiled.
        note: Told, once, why it goes on without.
        backend: Of `torch.compile`.
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
        """The loss; the gradients, which must be None before, are added to the parameters."""
        if self._compiled is None:
            return gradients(self._plain, model, x, noise)
        state = noise.get_state()
        try:
            return gradients(self._compiled, model, x, noise)
        except Exception as error:
            failed = error
        noise.set_state(state)
        for _, parameter in model.named_parameters():
            parameter.grad = None
        loss = gradients(self._plain, model, x, noise)
        self._compiled = None
        lines = [line.strip() for line in str(failed).splitlines() if line.strip()]
        reason = " ".join(lines[:2])  # the first may only say which part failed
        self._note(f"training goes on without --compile: {type(failed).__name__}: {reason}")
        return loss
