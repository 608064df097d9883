"""Layer gradients of any model, for all groups of a chunk in one forward and backward pass."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from oodbench import DensityModel, is_out_of_memory
from plugins.statistics.layer_gradients import rules  # noqa: F401 - importing registers them
from plugins.statistics.layer_gradients.allocations import Allocations
from plugins.statistics.layer_gradients.graph import ObjectiveModule, Untraceable
from plugins.statistics.layer_gradients.norms import NormTable
from plugins.statistics.layer_gradients.objectives import Objective, latent_sum, log_prob
from plugins.statistics.layer_gradients.plan import Plan, make_plan, signature
from plugins.statistics.layer_gradients.recorder import Recorder
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from plugins.statistics.layer_gradients.registry import Misaligned
from plugins.statistics.layer_gradients.verification import (
    Planner,
    three,
    verified_plan,
    verify_again,
)
from plugins.statistics.layer_gradients.vmap import requiring_grad

MAX_BYTES = 2**30
# A trial counts the tensors that operations return; some use more and free it before they return.
SLACK = 1.15

# Of a number of groups, to the table that their norms go into.
MakeTable: TypeAlias = Callable[[int], NormTable]

_log = logging.getLogger(__name__)


class LayerGradientEngine:
    r"""Squared gradient norms of every layer of a model, for many groups at once.

    f_l(X) = ‖ ∂/∂θ_l Σ_{x in X} log p(x) ‖²        (Eq. 9 of the paper)

    or the same of another objective than log p(x), which is one number for each example.

    One forward and one backward pass take all groups. No parameter takes a gradient: every module
    that owns some notes what it is given and the gradients of what it returns, and the norms
    follow from these, by a rule of the module's kind or by automatic vectorisation of that module
    alone. Which module serves which parameter is read off the graph of one forward pass (`graph`)
    and then verified against autograd on three groups (`verification`); what fails there is done
    in a more general way, if need be by the loop.

    A plan is made once for a model and kept as long as its modules and parameters stay the same;
    their values may change.

    Arguments:
        objective: What is differentiated.
        max_bytes: Memory that a chunk may take beside the model; chunks are made to fit, though
            none is smaller than one group. It changes numbers by rounding only.
        planner: Makes the plan that is then verified.

    References:
        | OOD Detection with Immature Models
        | https://arxiv.org/abs/2502.00820
        | The Gram form of a product's norm: Efficient Per-Example Gradient Computations
          (Goodfellow, 2015) https://arxiv.org/abs/1510.01799
    """

    def __init__(
        self,
        objective: Objective = log_prob,
        *,
        max_bytes: int = MAX_BYTES,
        planner: Planner = make_plan,
    ) -> None:
        self._objective, self._max_bytes, self._planner = objective, max_bytes, planner
        self._known: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()

    def __call__(self, model: DensityModel, groups: Tensor) -> Tensor:
        """The norms; a model that cannot be followed is done by the loop.

        Arguments:
            model: In evaluation mode; left as found.
            groups: uint8, (M, b, *domain.shape).

        Returns:
            float64, (M, L), on the device of the groups; never negative.

        Raises:
            ScoreError: The objective depends on no parameter at all.
        """
        if isinstance(model, nn.Module) and groups.numel():
            known = self._find(model, groups)
            try:
                if known.plan is not None:
                    return self._norms(model, known, known.plan, groups, NormTable)
            except (Untraceable, Misaligned) as error:
                _note(model, error)
        return looped_layer_gradients(model, groups, self._objective)

    def follow(self, model: nn.Module, groups: Tensor, table: MakeTable) -> Tensor:
        """The same for whatever a table measures, without the loop.

        Arguments:
            model: As in a call.
            groups: As in a call.
            table: Makes a table for so many groups, once or more for each chunk: what fails for
                want of memory, or was done in a way that proved wrong, is done again.

        Raises:
            Untraceable, Misaligned: The model cannot be followed.
        """
        known = self._find(model, groups)
        if known.plan is None:
            raise Untraceable("it cannot be followed")
        return self._norms(model, known, known.plan, groups, table)

    def plan(self, model: nn.Module, groups: Tensor) -> Plan | None:
        """The verified plan of a model, made if need be; None if the loop has to do."""
        return self._find(model, groups).plan

    def _find(self, model: nn.Module, groups: Tensor) -> _Known:
        wrapped = ObjectiveModule(model, self._objective)
        found = signature(wrapped)
        known = self._known.get(model)
        if known is None or known.signature != found:
            known = self._known[model] = _Known(found)
            try:
                known.plan = verified_plan(wrapped, three(groups[:, :2], 0), self._planner)
                known.verified = min(2, groups.shape[1])
            except Exception as error:  # the loop will show whether the model is at fault
                _note(model, error)
        return known

    def _norms(
        self, model: nn.Module, known: _Known, plan: Plan, groups: Tensor, table: MakeTable
    ) -> Tensor:
        wrapped = ObjectiveModule(model, self._objective)
        return _Evaluation(wrapped, known, plan, groups, table, self._max_bytes).norms()


@dataclass
class _Known:
    """What the engine knows of a model: its plan, and how many examples fit."""

    signature: object
    plan: Plan | None = None
    verified: int = 0  # the group size that it was verified for, of 1 and 2, which stands for more
    most_examples: int = 2**31
    bytes: dict[int, int] = field(default_factory=dict)  # of a group, by its size


@dataclass
class _Evaluation:
    """The groups of one call, with the plan of their model."""

    wrapped: ObjectiveModule
    known: _Known
    plan: Plan
    groups: Tensor
    table: MakeTable
    max_bytes: int

    def norms(self) -> Tensor:
        """The norms of all groups; parameters that were out of sight before are verified now."""
        if self.known.verified < min(2, self.groups.shape[1]):
            self._verify_again(three(self.groups[:, :2], 0))
            self.known.verified = 2
        norms = self._chunks()
        while self.plan.unverified:
            columns = torch.tensor(sorted(self.plan.unverified), device=norms.device)
            seen = norms[:, columns] != 0
            if not bool(seen.any()):
                break
            row = int(seen.any(1).nonzero()[0])
            held = self._verify_again(three(self.groups, row))
            self.plan.unverified -= set(columns[seen[row]].tolist())
            if not held:
                self.known.bytes.clear()
                norms = self._chunks()
        return norms

    def _verify_again(self, groups: Tensor) -> bool:
        """Whether the plan held as it was; if nothing holds any more, the model is the loop's."""
        try:
            return verify_again(self.wrapped, self.plan, groups)
        except Untraceable:
            self.known.plan = None
            raise

    def _chunks(self) -> Tensor:
        """The norms, chunk by chunk; where memory runs out chunks are halved, for good."""
        groups, known, size = self.groups, self.known, self.groups.shape[1]
        per_group = max(1.0, SLACK * self._bytes_of_a_group())
        pieces: list[Tensor] = []
        start = 0
        while start < len(groups):
            step = max(1, min(int(self.max_bytes / per_group), known.most_examples // size))
            chunk = groups[start : start + step]
            try:
                pieces.append(_chunk(self.wrapped, self.plan, chunk, self.table(len(chunk))))
            except (MemoryError, RuntimeError) as error:
                if step == 1 or not is_out_of_memory(error):
                    raise
                known.most_examples = len(chunk) * size // 2
                continue
            start += step
        return torch.cat(pieces)

    def _bytes_of_a_group(self) -> int:
        """What each group of a chunk takes at most, from a trial with one.

        Several together take less each, since some costs are fixed and pieces are bounded.
        """
        wrapped, size = self.wrapped, self.groups.shape[1]
        if size not in self.known.bytes:
            with Allocations([self.groups, *wrapped.parameters(), *wrapped.buffers()]) as made:
                _chunk(wrapped, self.plan, self.groups[:1], NormTable(1))
            self.known.bytes[size] = made.peak
        return self.known.bytes[size]


def _chunk(wrapped: ObjectiveModule, plan: Plan, groups: Tensor, table: NormTable) -> Tensor:
    """The norms of groups that are done together, float64, (M, L)."""
    parameters = list(wrapped.parameters())
    # Without this, autograd would form the gradient of the whole batch for every parameter too.
    with requiring_grad(parameters, False):
        Recorder(wrapped, plan, table).run(groups.flatten(0, 1))
        return table.result(len(parameters), groups)


def _note(model: nn.Module, error: Exception) -> None:
    name = type(model).__name__
    _log.info("layer gradients of %s one group at a time: %s", name, error)


# Those that the statistic uses: what they know of a model serves all calls.
ENGINES = {
    "log-prob": LayerGradientEngine(log_prob),
    "latent-sum": LayerGradientEngine(latent_sum),
}
