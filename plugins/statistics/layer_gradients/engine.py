"""Layer gradients for any model: a forward and a backward pass per chunk of groups."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from oodbench import DensityModel, full_precision, is_out_of_memory
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
# A trial counts the tensors returned by operations; some operations allocate more and free the
# memory before they return.
SLACK = 1.2
# Number of groups in the second trial, where costs that do not depend on the number are shared.
TRIAL_GROUPS = 8

# Maps a number of groups to a table for the norms.
MakeTable: TypeAlias = Callable[[int], NormTable]

_log = logging.getLogger(__name__)


class LayerGradientEngine:
    r"""Squared gradient norms for every layer in a model, for many groups at once.

    f_l(X) = ‖ ∂/∂θ_l Σ_{x in X} log p(x) ‖²        (Eq. 9 of the paper)

    or with another objective, a number per example, in place of log p(x).

    A single forward and backward pass handles all groups. Parameters do not take a gradient:
    hooks record the inputs and output gradients for every module with parameters, and the norms
    follow from these, by a rule for the module type or by automatic vectorisation of that module
    alone. The module for each parameter is read off the graph for a forward pass (`graph`), and
    then verified against autograd on three groups (`verification`); parameters failing
    verification use a more general method, in the end the loop.

    A plan is made once for a model and kept as long as the modules and parameters stay the same;
    parameter values may change.

    Arguments:
        objective: Function to differentiate.
        max_bytes: Memory in bytes for a chunk in addition to the model. Chunks are made to fit,
            but have at least a single group. The chunk size changes numbers by rounding only.
        planner: Makes the initial plan, before verification.

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
        """Compute the norms; fall back to the loop if the model cannot be followed.

        Arguments:
            model: In evaluation mode; left unchanged.
            groups: uint8, (M, b, *domain.shape).

        Returns:
            float64, (M, L), on the groups' device; never negative. NaN for groups in which an
            objective is not finite: autograd gives a gradient of 0 at -inf, which would pass for
            a very typical group.

        Raises:
            UnsupportedError: The objective does not depend on any parameter, or a parameter is not
                floating.
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
        """Compute the quantity measured by a table, without falling back to the loop.

        Arguments:
            model: As in `__call__`.
            groups: As in `__call__`.
            table: Makes a table for the given number of groups, at least once per chunk: a chunk
                is repeated if memory runs out, or if a method proves wrong.

        Raises:
            Untraceable, Misaligned: The model cannot be followed.
        """
        known = self._find(model, groups)
        if known.plan is None:
            raise Untraceable(f"the model cannot be followed: {known.obstacle}")
        return self._norms(model, known, known.plan, groups, table)

    def plan(self, model: nn.Module, groups: Tensor) -> Plan | None:
        """Return the verified plan for a model, making the plan if needed; None for the loop."""
        return self._find(model, groups).plan

    def obstacle(self, model: nn.Module, groups: Tensor) -> Exception | None:
        """Return the reason why there is no verified plan; None if there is a plan."""
        return self._find(model, groups).obstacle

    def _find(self, model: nn.Module, groups: Tensor) -> _Known:
        with full_precision(model):  # rounding to bfloat16 could pass for a wrong rule
            wrapped = ObjectiveModule(model, self._objective)
            found = signature(wrapped)
            known = self._known.get(model)
            if known is None or known.signature != found:
                known = self._known[model] = _Known(found)
                try:
                    known.plan = verified_plan(wrapped, three(groups[:, :2], 0), self._planner)
                    known.verified = min(2, groups.shape[1])
                except Exception as error:  # the loop fails too if the model is at fault
                    _note(model, error)
                    known.obstacle = _copy(error)
        return known

    def _norms(
        self, model: nn.Module, known: _Known, plan: Plan, groups: Tensor, table: MakeTable
    ) -> Tensor:
        wrapped = ObjectiveModule(model, self._objective)
        return _Evaluation(wrapped, known, plan, groups, table, self._max_bytes).norms()


@dataclass
class _Known:
    """The engine's knowledge about a model: the plan, and the number of examples that fit."""

    signature: object
    plan: Plan | None = None
    obstacle: Exception | None = None  # to a plan
    verified: int = 0  # verified group size, 1 or 2; 2 stands for all larger sizes
    most_examples: int = 2**31
    bytes: dict[int, float] = field(default_factory=dict)  # per group, by group size


@dataclass
class _Evaluation:
    """The groups in a call, with the plan for the model.

    Attributes:
        finite: Groups with finite objectives only, bool, (M,), after the last evaluation.
    """

    wrapped: ObjectiveModule
    known: _Known
    plan: Plan
    groups: Tensor
    table: MakeTable
    max_bytes: int
    finite: Tensor = field(init=False)

    def norms(self) -> Tensor:
        """Compute all norms; verify parameters seen with a nonzero gradient for the first time."""
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
        return norms.masked_fill_(~self.finite.unsqueeze(1), torch.nan)

    def _verify_again(self, groups: Tensor) -> bool:
        """Return whether the plan held unchanged; if repair fails, leave the model to the loop."""
        try:
            with full_precision(self.wrapped.model):
                return verify_again(self.wrapped, self.plan, groups)
        except Untraceable as error:
            self.known.plan, self.known.obstacle = None, _copy(error)
            raise

    def _chunks(self) -> Tensor:
        """Compute the norms by chunk; if memory runs out, halve the chunk size for good."""
        groups, known, size = self.groups, self.known, self.groups.shape[1]
        per_group = max(1.0, SLACK * self._bytes_of_a_group())
        pieces: list[tuple[Tensor, Tensor]] = []
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
        norms, finite = zip(*pieces, strict=True)
        self.finite = torch.cat(finite)
        return torch.cat(norms)

    def _bytes_of_a_group(self) -> float:
        """Return the maximum number of bytes per group in a chunk, from trials.

        Larger chunks take less per group, since some costs are fixed and pieces are bounded. So a
        trial with one group tells how many groups fit for certain, and a trial with several, at
        most 8, of these tells how many more.
        """
        size = self.groups.shape[1]
        if size not in self.known.bytes:
            one = self._bytes_of_a_trial(1)
            count = min(TRIAL_GROUPS, int(self.max_bytes / (SLACK * max(1, one))))
            self.known.bytes[size] = one
            if count > 1:
                with _out_of_memory_ignored():
                    self.known.bytes[size] = self._bytes_of_a_trial(count) / count
        return self.known.bytes[size]

    def _bytes_of_a_trial(self, count: int) -> int:
        """Return the maximum number of bytes in a chunk of so many groups, all equal."""
        wrapped, first = self.wrapped, self.groups[:1]
        groups = first.expand(count, *first.shape[1:]).clone()
        with Allocations([groups, *wrapped.parameters(), *wrapped.buffers()]) as made:
            _chunk(wrapped, self.plan, groups, NormTable(count))
        return made.peak


@contextmanager
def _out_of_memory_ignored() -> Iterator[None]:
    """Leave the context early if memory runs out inside."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise


def _chunk(
    wrapped: ObjectiveModule, plan: Plan, groups: Tensor, table: NormTable
) -> tuple[Tensor, Tensor]:
    """Compute the norms for a chunk, float64, (M, L), and mark finite objectives, bool, (M,)."""
    parameters = list(wrapped.parameters())
    # Otherwise autograd would also form every parameter's gradient for the whole batch.
    with requiring_grad(parameters, False):
        values = Recorder(wrapped, plan, table).run(groups.flatten(0, 1))
        finite = values.isfinite().view(groups.shape[:2]).all(1)
        return table.result(len(parameters), groups), finite


def _copy(error: Exception) -> Exception:
    """Copy an error without the traceback, which would keep the model in memory."""
    kind = MemoryError if is_out_of_memory(error) else Untraceable
    return kind(str(error) or type(error).__name__)


def _note(model: nn.Module, error: Exception) -> None:
    name = type(model).__name__
    _log.info("layer gradients of %s one group at a time: %s", name, error)


# Shared by all instances of the statistic, so that the plan for a model is made once.
ENGINES = {
    "log-prob": LayerGradientEngine(log_prob),
    "latent-sum": LayerGradientEngine(latent_sum),
}
