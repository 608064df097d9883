"""Verification: a plan is compared with autograd on a few examples, and repaired, before use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from plugins.statistics.layer_gradients.graph import (
    Candidates,
    ObjectiveModule,
    Untraceable,
    candidates,
)
from plugins.statistics.layer_gradients.norms import NormTable
from plugins.statistics.layer_gradients.plan import Plan, make_plan
from plugins.statistics.layer_gradients.recorder import Modified, Recorder
from plugins.statistics.layer_gradients.vmap import requiring_grad

Planner: TypeAlias = Callable[[ObjectiveModule, Candidates], Plan]

# Groups in a verification, and the group to differentiate: with a group on either side, rows in
# the wrong order end up in the wrong group and are detected.
GROUPS, CHOSEN = 3, 1
# Tolerated rounding errors in a norm: relative, and as a share of the largest norm in any layer.
# Batches are rounded differently as a whole, and a deep network amplifies the difference; but the
# error from a wrong rule is far larger.
TOLERANCES = {torch.float64: (1e-6, 1e-10)}
LOW_PRECISION = (0.2, 1e-5)


def three(groups: Tensor, middle: int) -> Tensor:
    """Select three groups for a verification, with the given group in the middle."""
    return groups[[(middle + k - CHOSEN) % len(groups) for k in range(GROUPS)]]


def verified_plan(wrapped: ObjectiveModule, groups: Tensor, planner: Planner = make_plan) -> Plan:
    """Make a plan for the model in agreement with autograd on three groups.

    Arguments:
        wrapped: The wrapped model.
        groups: uint8, (3, b, *shape); b = 2 shows errors invisible with b = 1.
        planner: Makes the initial plan.

    Raises:
        Untraceable: No plan agrees with autograd.
    """
    parameters = list(wrapped.parameters())
    with requiring_grad(parameters, True), torch.enable_grad():
        values, found = candidates(wrapped, groups.flatten(0, 1))
        truth = _truth(parameters, values)
    plan = planner(wrapped, found)
    verify(wrapped, plan, groups, values.detach(), truth)
    return plan


def verify_again(wrapped: ObjectiveModule, plan: Plan, groups: Tensor) -> bool:
    """Verify the remaining parameters on other groups; return whether the plan held unchanged."""
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
    """Repair the plan until it agrees with autograd; return whether it agreed at once.

    Only the middle group is differentiated. The norms for the other two groups must be zero: if
    not, the rows in some tensor are not the examples in order.

    Arguments:
        wrapped: The wrapped model.
        plan: The plan; modified.
        groups: uint8, (3, b, *shape).
        values: The objective for these examples, (3 b,).
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
        found = _values(recorder, x, weights.flatten())
        if found is not None and (
            all(not unit.module for unit in recorder.units) or _close(found, values)
        ):
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


def _values(recorder: Recorder, x: Tensor, weights: Tensor) -> Tensor | None:
    """Run a plan; None if the model fails with outputs that were repeated for each example."""
    with requiring_grad(list(recorder.wrapped.parameters()), False):
        try:
            return recorder.run(x, weights)
        except Exception:
            if not recorder.plan.expand:
                raise
            return None


def _mend(plan: Plan, wrong: set[int], failures: dict[int, Exception]) -> None:
    """Copy the inputs for units with overwritten inputs; move all others to the next way.

    A fused rule that is wrong for any parameter is dropped for all parameters.
    """
    taken = {plan.ways[c][0] for c in wrong if plan.ways[c][0][1] == "fused"}
    wrong = wrong | {column for column, ways in plan.ways.items() if ways[0] in taken}
    overwritten = {c for c in wrong if isinstance(failures.get(c), Modified)}
    overwritten = {c for c in overwritten if plan.ways[c][0] not in plan.copied}
    plan.copied.update(plan.ways[column][0] for column in overwritten)
    if any(len(plan.ways[column]) == 1 for column in wrong - overwritten):
        raise Untraceable("no method for the gradients agrees with autograd")
    plan.reject(wrong - overwritten)


def _drop_fused_rules(plan: Plan) -> None:
    taken = [column for column, ways in plan.ways.items() if ways[0][1] == "fused"]
    if not taken:
        raise Untraceable("hooks on the modules change the values")
    plan.reject(taken)


def _truth(parameters: list[nn.Parameter], values: Tensor) -> Tensor:
    """Compute squared norms for the middle group by autograd, float64, (L,)."""
    if not values.requires_grad:
        raise Untraceable("the objective does not depend on any parameter")
    total = values.view(GROUPS, -1)[CHOSEN].sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    zero = torch.zeros((), dtype=torch.float64, device=values.device)
    return torch.stack([zero if g is None else g.double().square().sum() for g in gradients])


def _close(found: Tensor, expected: Tensor) -> bool:
    """Return whether objectives differ by rounding only."""
    tolerance = 1e-9 if expected.dtype == torch.float64 else 1e-3
    return found.shape == expected.shape and torch.allclose(
        found, expected, rtol=tolerance, atol=tolerance, equal_nan=True
    )


def _wrong(norms: Tensor, truth: Tensor, tolerance: float, floor: float) -> set[int]:
    """Return the columns with norms different from autograd's; non-finite norms are skipped."""
    norms, truth = norms.sqrt(), truth.sqrt()
    floor = floor * float(truth[truth.isfinite()].max(dim=0).values) if len(truth) else 0.0
    bound = tolerance * torch.maximum(norms[CHOSEN], truth) + floor
    off = (norms[CHOSEN] - truth).abs() > bound
    others = torch.cat((norms[:CHOSEN], norms[CHOSEN + 1 :])).amax(0) > floor
    return set((off | others).nonzero().flatten().tolist())
