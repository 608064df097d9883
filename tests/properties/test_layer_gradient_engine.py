"""The layer-gradient engine equals the loop on any network."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from oodbench import Images
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.graph import ObjectiveModule
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from tests.oracle.layer_gradient_models import groups_of, randomised

DOMAIN = Images(2, 4, 5, bits=4)


class Network(nn.Module):
    """Steps of any kind, one after the other; log p is a bounded function of what they return."""

    domain, likelihood = DOMAIN, "unnormalized"

    def __init__(self, steps):
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.first = nn.Parameter(torch.ones(1))
        self.unused = nn.Linear(2, 2)

    def log_prob(self, x):
        h = self.first * (x.to(self.first.dtype) + 0.5) / DOMAIN.levels
        log_prob = x.new_zeros(len(x), dtype=h.dtype)
        for step in self.steps:
            h = step(h)
            if isinstance(h, tuple):
                h, more = h
                log_prob = log_prob + more
        return log_prob - torch.sin(h).square().flatten(1).sum(1)


class Embedded(nn.Module):
    """Values become the nearest of 5 vectors."""

    def __init__(self, channels):
        super().__init__()
        self.table = nn.Embedding(5, channels, padding_idx=1)

    def forward(self, h):
        index = (h.detach().mean(1).tanh() * 2 + 2).long().clamp(0, 4)  # (N, H, W)
        return h + self.table(index).movedim(-1, 1)


class Twice(nn.Module):
    """A step applied twice, with its own parameters read by the parent as well."""

    def __init__(self, step, read):
        super().__init__()
        self.step, self.read = step, read

    def forward(self, h):
        h = torch.tanh(self.step(torch.tanh(self.step(h))))
        if not self.read:
            return h
        ladj = sum(torch.sin(p).sum() for p in self.step.parameters())
        return h, ladj.expand(len(h))


class Residual(nn.Module):
    """The same step in two branches."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def forward(self, h):
        return h + self.step(h) * torch.sigmoid(self.step(-h))


class Columns(nn.Module):
    """A linear layer over the last dimension."""

    def __init__(self, width, *, bias):
        super().__init__()
        self.linear = nn.Linear(width, width, bias=bias)

    def forward(self, h):
        return self.linear(h)


@st.composite
def same_shape(draw, channels, size):
    """A module that keeps (N, channels, *size)."""
    kind = draw(st.sampled_from(["conv", "layer norm", "group norm", "columns", "embedding"]))
    if kind == "conv":
        kernel, dilation = draw(st.sampled_from([1, 3])), draw(st.integers(1, 2))
        groups = draw(st.sampled_from([g for g in (1, 2, 4) if channels % g == 0]))
        mode = draw(st.sampled_from(["zeros", "replicate"]))
        return nn.Conv2d(
            channels,
            channels,
            kernel,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=groups,
            bias=draw(st.booleans()),
            padding_mode=mode,
        )
    if kind == "layer norm":
        return nn.LayerNorm((channels, *size) if draw(st.booleans()) else size[1])
    if kind == "group norm":
        return nn.GroupNorm(draw(st.sampled_from([1, channels])), channels)
    if kind == "columns":
        return Columns(size[1], bias=draw(st.booleans()))
    return Embedded(channels)


@st.composite
def networks(draw):
    """Up to four steps, some of which change the shape."""
    channels, size, steps = DOMAIN.channels, DOMAIN.shape[1:], []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["same", "twice", "residual", "conv", "act"]))
        if kind == "conv":
            wide = draw(st.sampled_from([2, 4, 6]))
            stride, padding = draw(st.integers(1, 2)), draw(st.integers(0, 2))
            kernel = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
            step = nn.Conv2d(channels, wide, kernel, stride=stride, padding=padding)
            channels = wide
            size = tuple(
                (s + 2 * padding - k) // stride + 1 for s, k in zip(size, kernel, strict=True)
            )
        elif kind == "act":
            step = draw(st.sampled_from([nn.Tanh(), nn.PReLU(), nn.Softplus()]))
        else:
            step = draw(same_shape(channels, size))
            if kind == "twice":
                step = Twice(step, draw(st.booleans()))
            elif kind == "residual":
                step = Residual(step)
        steps.append(step)
        if min(size) < 2:
            break
    return steps


@settings(max_examples=60)
@given(networks(), st.integers(1, 5), st.integers(1, 3), st.integers(0, 99))
def test_the_engine_equals_the_loop(steps, count, size, seed):
    model = randomised(Network(steps), seed)
    groups = groups_of(DOMAIN, count, size, seed)
    engine = LayerGradientEngine()
    norms, expected = engine(model, groups), looped_layer_gradients(model, groups)
    # Some gradients nearly cancel, such as that of a shift before a normalisation: what is left
    # of them is as exact as the largest gradient's rounding lets it be.
    noise = 1e-12 * float(expected.max()) ** 0.5
    np.testing.assert_allclose(norms.sqrt(), expected.sqrt(), rtol=5e-10, atol=noise)
    plan = engine.plan(model, groups)
    assert plan is not None
    assert {unit.method for unit in plan.units(ObjectiveModule(model))} <= {"rule", "vmap"}
