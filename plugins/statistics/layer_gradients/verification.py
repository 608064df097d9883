"""A plan is tried on a few examples against autograd, and mended, before it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from plugins.statistics.layer_gradients.graph import ObjectiveModule, Untraceable, candidates
from plugins.statistics.layer_gradients.norms import NormTable
from plugins.statistics.layer_gradients.plan import Plan, make_plan
from plugins.statistics.layer_gradients.recorder import Modified, Recorder
from plugins.statistics.layer_gradients.vmap import requiring_grad

Planner: TypeAlias = Callable[[ObjectiveModule, dict[str, list[str]]], Plan]

# Groups in a verification, and the one whose objective is differentiated: with one before and one
# after it, rows that are not the examples in their order end up in the wrong group and are seen.
GROUPS, CHOSEN = 3, 1
# Relative errors of a norm that may be rounding, and absolute ones as a share of the largest norm
# of any layer. Batches are rounded differently as a whole, and a deep network amplifies that; but
# a wrong rule is wrong by far more.
TOLERANCES = {torch.float64: (1e-6, 1e-10)}
LOW_PRECISION = (0.2, 1e-5)


def three(groups: Tensor, middle: int) -> Tensor:
    """Three groups for a verification, the given one in the middle of them."""
    return groups[[(middle + k - CHOSEN) % len(groups) for k in range(GROUPS)]]


def verified_plan(wrapped: ObjectiveModule, groups: Tensor, planner: Planner = make_plan) -> Plan:
    """A plan for the model that agrees with autograd on three groups.

    Arguments:
        wrapped: The model.
        groups: uint8, (3, b, *shape); b of 2 shows errors that b of 1 does not.
        planner: Makes the plan to begin with.

    Raises:
        Untraceable: There is none.
    """
    parameters = list(wrapped.parameters())
    with requiring_grad(parameters, True), torch.enable_grad():
        values, found = candidates(wrapped, groups.flatten(0, 1))
        truth = _truth(parameters, values)
    plan = planner(wrapped, found)
    verify(wrapped, plan, groups, values.detach(), truth)
    return plan


def verify_again(wrapped: ObjectiveModule, plan: Plan, groups: Tensor) -> bool:
    """Whether the plan held on other groups, which verify the parameters that are left."""
    parameters = list(wrapped.parameters())
    with requiring_grad(parameters, True), torch.enable_grad():
        values = wrapped(groups.flatten(0, 1))
        truth = _truth(parameters, values)
    unverified = set(plan.unverified)
    held = verify(wrapped, plan, groups, values.detach(), truth)
    plan.unverified &= unverified
    return held


def verify(
    wrapped: ObjectiveModule, plan: Plan, groups: Tensor, values: Tensor, truth: Tensor
) -> bool:
    """Mend the plan until it agrees with autograd; whether it did at once.

    The gradient is that of the middle group alone. The norms of the others must be zero: if not,
    the rows of some tensor are not the examples in their order.

    Arguments:
        wrapped: The model.
        plan: Is changed.
        groups: uint8, (3, b, *shape).
        values: The objective of these examples, (3 b,).
        truth: Squared norms for the middle group, float64, (L,).
    """
    x = groups.flatten(0, 1)
    weights = torch.zeros_like(values).view(GROUPS, -1)
    weights[CHOSEN] = 1
    tolerance, floor = TOLERANCES.get(values.dtype, LOW_PRECISION)
    plan.unverified = set((truth == 0).nonzero().flatten().tolist())
    attempt = 0
    while True:
        plan.start_again()
        failures: dict[int, Exception] = {}
        table = NormTable(GROUPS)
        recorder = Recorder(wrapped, plan, table, failures)
        with requiring_grad(list(wrapped.parameters()), False):
            found = recorder.run(x, weights.flatten())
        if all(not unit.module for unit in recorder.units) or _close(found, values):
            norms = table.result(len(truth), truth)
            wrong = _wrong(norms, truth, tolerance, floor) | set(failures)
            if not wrong:
                plan.calls = recorder.called
                recorder.note_arrivals()
                return attempt == 0
            _mend(plan, wrong, failures)
        elif plan.expand:
            plan.expand = False
        else:
            _drop_fused_rules(plan)
        attempt += 1


def _mend(plan: Plan, wrong: set[int], failures: dict[int, Exception]) -> None:
    """Copy the inputs of units that found theirs written into; for the others, the next way.

    A fused rule that is wrong about one parameter is not asked for any.
    """
    taken = {plan.ways[c][0] for c in wrong if plan.ways[c][0][1] == "fused"}
    wrong = wrong | {column for column, ways in plan.ways.items() if ways[0] in taken}
    overwritten = {c for c in wrong if isinstance(failures.get(c), Modified)}
    overwritten = {c for c in overwritten if plan.ways[c][0] not in plan.copied}
    plan.copied.update(plan.ways[column][0] for column in overwritten)
    if any(len(plan.ways[column]) == 1 for column in wrong - overwritten):
        raise Untraceable("no way to take its gradients agrees with autograd")
    plan.reject(wrong - overwritten)


def _drop_fused_rules(plan: Plan) -> None:
    taken = [column for column, ways in plan.ways.items() if ways[0][1] == "fused"]
    if not taken:
        raise Untraceable("watching its modules changes its values")
    plan.reject(taken)


def _truth(parameters: list[nn.Parameter], values: Tensor) -> Tensor:
    """Squared norms for the middle group by autograd, float64, (L,)."""
    if not values.requires_grad:
        raise Untraceable("its objective depends on no parameter")
    total = values.view(GROUPS, -1)[CHOSEN].sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    zero = torch.zeros((), dtype=torch.float64, device=values.device)
    return torch.stack([zero if g is None else g.double().square().sum() for g in gradients])


def _close(found: Tensor, expected: Tensor) -> bool:
    """Whether objectives differ by rounding only."""
    tolerance = 1e-9 if expected.dtype == torch.float64 else 1e-3
    return found.shape == expected.shape and torch.allclose(
        found, expected, rtol=tolerance, atol=tolerance, equal_nan=True
    )


def _wrong(norms: Tensor, truth: Tensor, tolerance: float, floor: float) -> set[int]:
    """Columns whose norms are not those of autograd; what is not finite cannot tell."""
    norms, truth = norms.sqrt(), truth.sqrt()
    floor = floor * float(truth[truth.isfinite()].max(dim=0).values) if len(truth) else 0.0
    bound = tolerance * torch.maximum(norms[CHOSEN], truth) + floor
    off = (norms[CHOSEN] - truth).abs() > bound
    others = torch.cat((norms[:CHOSEN], norms[CHOSEN + 1 :])).amax(0) > floor
    return set((off | others).nonzero().flatten().tolist())
