"""The fused steps of Glow against the steps one by one, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from oodbench import Images
from plugins.models.flows.actnorm import ActNorm
from plugins.models.flows.couplings import ConvCoupling
from plugins.models.flows.fused import can_be_fused, fused_steps
from plugins.models.flows.glow import GlowLevel, GlowStep
from plugins.models.flows.multiscale import squeeze
from plugins.models.glow import glow


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def randomised(module, seed=0):
    """In float64, every parameter moved off its start, far enough that each one counts."""
    module = module.double()
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.add_(0.15 * normal(*parameter.shape, seed=seed + number))
    return module


def one_by_one(steps, x):
    ladj = x.new_zeros(len(x))
    for step in steps:
        x, more = step(x)
        ladj = ladj + more
    return x, ladj


def with_gradients(function, steps, x):
    """Outputs, and gradients of some function of both outputs for input and every parameter."""
    x = x.clone().requires_grad_()
    y, ladj = function(steps, x)
    total = (torch.sin(y) * normal(*y.shape, seed=7)).sum() + (ladj * normal(len(x), seed=8)).sum()
    return [y, ladj, *torch.autograd.grad(total, [x, *steps.parameters()])]


# Steps, width, and the shape of the input
CASES = {
    "square": (3, 5, (2, 4, 4, 4)),
    "one-step-one-hidden-channel": (1, 1, (2, 4, 2, 3)),
    "one-pixel": (2, 6, (3, 12, 1, 1)),
    "one-example-in-a-row": (2, 4, (1, 2, 1, 5)),
    "as-many-channels-as-pixels-and-examples": (2, 4, (4, 4, 2, 2)),
    "wider-than-a-vector": (3, 37, (5, 6, 3, 7)),
}


@pytest.mark.parametrize("name", CASES)
def test_values_determinants_and_gradients_are_those_of_the_steps_one_by_one(name):
    count, width, shape = CASES[name]
    torch.manual_seed(1)
    steps = randomised(nn.ModuleList(GlowStep(shape[1], width=width) for _ in range(count)))
    x = normal(*shape, seed=3)
    expected = with_gradients(one_by_one, steps, x)
    found = with_gradients(fused_steps, steps, x)
    names = ["y", "ladj", "x", *(name for name, _ in steps.named_parameters())]
    for name, one, other in zip(names, found, expected, strict=True):
        largest = float(other.detach().abs().max())
        assert largest > 1e-3 or "conv1" in name or "norm1" in name, name
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12 * max(1.0, largest))


def test_the_memory_format_of_the_input_does_not_matter():
    steps = randomised(nn.ModuleList(GlowStep(4, width=3) for _ in range(2)))
    x = normal(2, 4, 3, 5)
    strided = normal(2, 4, 6, 5)[:, :, ::2]
    strided.copy_(x)
    expected = fused_steps(steps, x)
    for other in (x.contiguous(memory_format=torch.channels_last), strided):
        torch.testing.assert_close(fused_steps(steps, other), expected, rtol=0, atol=1e-13)


def test_the_input_is_left_as_it_was():
    steps = randomised(nn.ModuleList(GlowStep(4, width=3) for _ in range(2)))
    x = normal(2, 4, 3, 5)
    before = x.clone()
    fused_steps(steps, x)
    assert torch.equal(x, before)


def test_the_loss_of_a_whole_glow_and_its_gradients(monkeypatch):
    domain = Images(3, 8, 8)
    model = randomised(glow(domain, levels=2, steps=2, width=6), seed=40)
    x = torch.randint(256, (5, *domain.shape), generator=torch.Generator().manual_seed(1)).byte()

    def gradients():
        loss = model.training_loss(x, torch.Generator().manual_seed(2))
        return [loss, *torch.autograd.grad(loss, list(model.parameters()))]

    found = gradients()
    with monkeypatch.context() as context:
        context.setattr(GlowLevel, "forward", lambda self, x: one_by_one(self.steps, squeeze(x)))
        expected = gradients()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_levels_are_fused_as_built(monkeypatch):
    level = GlowLevel(1, steps=2, width=3)
    monkeypatch.delattr(ConvCoupling, "forward")
    assert level(torch.zeros(2, 1, 4, 4))[0].shape == (2, 4, 2, 2)


class Doubled(ActNorm):
    def forward(self, x):
        return 2 * super().forward(x)


def replaced(level):
    level.steps[1].coupling.norm1 = Doubled(3).double()


def patched(level):
    conv = level.steps[0].coupling.conv1
    conv.forward = lambda x: 2 * nn.Conv2d.forward(conv, x)


def parametrised(level):
    parametrizations.weight_norm(level.steps[1].coupling.conv2)
    with torch.no_grad():
        level.steps[1].coupling.conv2.parametrizations.weight.original0.mul_(2)


def hooked(level):
    level.steps[0].coupling.conv3.register_forward_hook(lambda module, args, output: 2 * output)


def hooked_before(level):
    level.steps[0].mix.register_forward_pre_hook(lambda module, args: (2 * args[0],))


def subclassed(level):
    class Negated(GlowStep):
        def forward(self, x):
            y, ladj = super().forward(x)
            return -y, ladj

    level.steps[0].__class__ = Negated


CHANGES = [replaced, patched, parametrised, hooked, hooked_before, subclassed]


@pytest.mark.parametrize("change", CHANGES)
def test_a_step_that_was_changed_does_what_it_was_changed_to(change):
    torch.manual_seed(0)
    level = randomised(GlowLevel(1, steps=2, width=3))
    x = normal(2, 1, 4, 4)
    before = level(x)[0]
    changed = copy.deepcopy(level)
    change(changed)
    y, ladj = changed(x)
    assert not torch.allclose(y, before, rtol=1e-3)
    torch.testing.assert_close((y, ladj), one_by_one(changed.steps, squeeze(x)))


def test_hooks_on_gradients_are_seen_too():
    level = randomised(GlowLevel(1, steps=2, width=3))
    assert all(can_be_fused(step) for step in level.steps)
    seen = []
    handle = level.steps[1].coupling.norm2.register_full_backward_hook(
        lambda module, inputs, outputs: seen.append(1)
    )
    level(normal(2, 1, 4, 4))[0].sum().backward()
    assert seen == [1]
    handle.remove()
    assert can_be_fused(level.steps[1])
