"""The layer-gradient engine against the loop, on this project's models and in trouble."""

from __future__ import annotations

import copy
import logging
import subprocess
import sys
import textwrap
from itertools import accumulate

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from harness.testing.toy_models import TinyAutoregression
from oodbench import Images, UnsupportedError
from plugins.models.autoregressive import maf, spline_flow
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.models.realnvp import realnvp
from plugins.statistics.layer_gradients import engine as engine_module
from plugins.statistics.layer_gradients import norms, registry
from plugins.statistics.layer_gradients.allocations import Allocations
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.graph import ObjectiveModule
from plugins.statistics.layer_gradients.norms import Deferred, Outer
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from plugins.statistics.layer_gradients.registry import layer_gradient_rule
from plugins.statistics.layer_gradients.rules import fused_glow as glow_level
from plugins.statistics.layer_gradients.rules import torch_layers
from tests.oracle.layer_gradient_models import (
    DOMAIN,
    Attention,
    Density,
    Energy,
    Plain,
    flat,
    groups_of,
    randomised,
)

GRAY, COLOUR = Images(1, 8, 8, bits=5), Images(3, 8, 8)
MODELS = {
    "glow": (lambda: glow(COLOUR, levels=2, steps=3, width=8), COLOUR, {"fused", "rule"}),
    "glow-narrow": (
        lambda: glow(COLOUR, levels=3, steps=1, width=3),
        COLOUR,
        {"fused", "rule"},
    ),
    "glow-gray": (lambda: glow(GRAY, levels=1, steps=2, width=20), GRAY, {"fused", "rule"}),
    "glow-flat": (
        lambda: glow(Images(1, 2, 6), levels=1, steps=2, width=4),
        Images(1, 2, 6),
        {"fused", "rule"},
    ),
    "realnvp": (lambda: realnvp(GRAY, couplings=1, width=6), GRAY, {"rule"}),
    "maf": (lambda: maf(GRAY, transforms=2, width=20), GRAY, {"rule"}),
    "spline-flow": (
        lambda: spline_flow(Images(1, 4, 2), transforms=2, width=12, bins=3),
        Images(1, 4, 2),
        {"rule"},
    ),
    "linear-shared": (
        lambda: glow_linear(GRAY, steps=3, width=10, hidden_layers=2, shared_steps=True),
        GRAY,
        {"rule"},
    ),
    "linear-own": (
        lambda: glow_linear(COLOUR, steps=2, width=10, hidden_layers=1, shared_steps=False),
        COLOUR,
        {"rule"},
    ),
}


def ways(engine, model, groups):
    plan = engine.plan(model, groups)
    return None if plan is None else {unit.method for unit in plan.units(ObjectiveModule(model))}


def assert_equal_to_the_loop(engine, model, groups, rtol=1e-9):
    expected = looped_layer_gradients(model, groups)
    np.testing.assert_allclose(engine(model, groups), expected, rtol=rtol, atol=1e-30)
    return expected


@pytest.fixture(params=MODELS)
def case(request):
    torch.manual_seed(0)
    make, domain, expected = MODELS[request.param]
    return randomised(make()), domain, expected


@pytest.mark.parametrize("size", [1, 2, 5])
def test_every_layer_has_the_norm_of_the_loop(case, size):
    model, domain, expected = case
    engine = LayerGradientEngine()
    groups = groups_of(domain, 5, size)
    norms = assert_equal_to_the_loop(engine, model, groups)
    # All but the top's weight, which nothing reads, and what lies behind dead units.
    assert (norms > 0).any(0).double().mean() > 0.8
    assert ways(engine, model, groups) == expected


@pytest.mark.parametrize("size", [1, 5])
def test_rules_without_the_takeover(case, size, monkeypatch):
    model, domain, _ = case
    monkeypatch.setattr(registry, "_FUSED_RULES", {})
    engine = LayerGradientEngine()
    groups = groups_of(domain, 4, size)
    assert_equal_to_the_loop(engine, model, groups)
    assert ways(engine, model, groups) == {"rule"}


def test_automatic_vectorisation_without_rules(case, monkeypatch):
    model, domain, _ = case
    monkeypatch.setattr(registry, "_FUSED_RULES", {})
    monkeypatch.setattr(registry, "_RULES", {})
    engine = LayerGradientEngine()
    groups = groups_of(domain, 3, 2)
    assert_equal_to_the_loop(engine, model, groups)
    assert ways(engine, model, groups) == {"vmap"}


def test_chunks_of_every_size_give_the_same_and_a_ragged_one_last(case):
    model, domain, _ = case
    groups = groups_of(domain, 7, 2)
    engine = LayerGradientEngine()
    expected = assert_equal_to_the_loop(engine, model, groups)
    for most in (1, 4, 6, 10):
        engine._known[model].most_examples = most
        np.testing.assert_allclose(engine(model, groups), expected, rtol=1e-9, atol=1e-30)


@pytest.mark.parametrize("size", [1, 5])
def test_float32_at_equal_batch_size(case, size):
    model, domain, expected = case
    model = model.float()
    engine = LayerGradientEngine()
    groups = groups_of(domain, 4, size)
    engine.plan(model, groups)
    engine._known[model].most_examples = size
    assert_equal_to_the_loop(engine, model, groups, rtol=1e-4)
    assert ways(engine, model, groups) == expected


@pytest.mark.parametrize("shared", [True, False])
def test_glow_linear_of_full_size(shared):
    domain = Images(1, 28, 28)
    steps = 10 if shared else 2
    model = glow_linear(domain, steps=steps, shared_steps=shared).double()
    engine = LayerGradientEngine()
    assert_equal_to_the_loop(engine, model, groups_of(domain, 1, 2))
    assert ways(engine, model, groups_of(domain, 1, 2)) == {"rule"}


def full_glow(domain):
    """All layers of the paper's Glow, each with a gradient, and activations that stay small."""
    model = glow(domain).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "conv3" in name or "prior" in name:
                parameter.add_(0.01 * torch.randn_like(parameter))
    return model


def test_glow_of_full_depth_and_width():
    torch.manual_seed(0)
    domain = Images(3, 8, 8)
    model = full_glow(domain)
    groups = groups_of(domain, 1, 2)
    engine = LayerGradientEngine()
    norms = assert_equal_to_the_loop(engine, model, groups)
    assert norms.shape == (1, 1353)
    assert (norms > 0).sum() == 1352
    assert ways(engine, model, groups) == {"fused", "rule"}


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_glow_of_full_size(size):
    torch.manual_seed(0)
    domain = Images(3, 32, 32)
    model = full_glow(domain)
    groups = groups_of(domain, 2, size)
    engine = LayerGradientEngine()
    assert_equal_to_the_loop(engine, model, groups)
    assert ways(engine, model, groups) == {"fused", "rule"}


# What a plan does not see when it is made


def test_layers_that_were_zero_in_verification_are_verified_when_they_are_not():
    """At the start the last convolution of each coupling hides the two before it."""
    torch.manual_seed(0)
    model = glow(COLOUR, levels=2, steps=2, width=6).double().eval()
    engine, groups = LayerGradientEngine(), groups_of(COLOUR, 4, 2)
    assert_equal_to_the_loop(engine, model, groups)
    plan = engine.plan(model, groups)
    assert len(plan.unverified) > 20
    randomised(model)
    assert_equal_to_the_loop(engine, model, groups)
    assert engine.plan(model, groups) is plan
    assert len(plan.unverified) == 1  # the top's weight, which nothing reads


def test_a_wrong_rule_is_found_even_if_its_layer_had_no_gradient_at_first(wrong_rule):
    model = flat(wrong_rule(48), nn.Linear(48, 4)).double().eval()
    nn.init.zeros_(model.network[2].weight)
    engine, groups = LayerGradientEngine(), groups_of(DOMAIN, 4, 2)
    assert_equal_to_the_loop(engine, model, groups)
    assert ways(engine, model, groups) == {"rule"}
    randomised(model)
    assert_equal_to_the_loop(engine, model, groups)
    assert ways(engine, model, groups) == {"rule", "vmap"}


def test_a_new_parametrisation_makes_a_new_plan():
    model = randomised(flat(nn.Linear(48, 6), nn.Tanh(), nn.Linear(6, 4)))
    engine, groups = LayerGradientEngine(), groups_of(DOMAIN, 4, 2)
    assert_equal_to_the_loop(engine, model, groups)
    parametrizations.weight_norm(model.network[1])
    assert_equal_to_the_loop(engine, model, groups)
    model.network[1].register_forward_hook(lambda module, args, output: 3 * output)
    assert_equal_to_the_loop(engine, model, groups)


@pytest.mark.parametrize("before", [False, True])
def test_a_hook_on_the_way_back_makes_a_new_plan(before):
    model, groups = randomised(MODELS["glow"][0]()), groups_of(COLOUR, 3, 1)
    engine = LayerGradientEngine()
    assert_equal_to_the_loop(engine, model, groups)
    convolution = model.levels[0].steps[1].coupling.conv2
    if before:
        handle = convolution.register_full_backward_pre_hook(lambda module, outer: (2 * outer[0],))
    else:
        handle = convolution.register_full_backward_hook(
            lambda module, inner, outer: (2 * inner[0],)
        )
    assert_equal_to_the_loop(engine, model, groups)
    handle.remove()
    assert_equal_to_the_loop(engine, model, groups)
    assert ways(engine, model, groups) == {"fused", "rule"}


def test_a_model_that_takes_another_path_for_other_examples(caplog):
    class Branching(Density):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(48, 4), nn.Linear(48, 4)

        def log_prob(self, x):
            y = x.flatten(1).double() / 256
            h = self.first(y) if y[0, 0] < 0.5 else self.second(y)
            return -h.square().sum(1)

    model = randomised(Branching())
    engine = LayerGradientEngine()
    dark, bright = torch.zeros(4, 1, *DOMAIN.shape).byte(), torch.full((4, 1, 3, 4, 4), 200).byte()
    assert_equal_to_the_loop(engine, model, dark)
    with caplog.at_level(logging.INFO):
        assert_equal_to_the_loop(engine, model, bright)
    assert "the order of module calls depends on the examples" in caplog.text


# What cannot be followed


def test_the_loop_serves_a_model_that_cannot_be_followed_and_a_note_says_so(caplog):
    model, groups = randomised(Energy()), groups_of(DOMAIN, 4, 2)
    engine = LayerGradientEngine()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert_equal_to_the_loop(engine, model, groups)
    assert [record.getMessage() for record in caplog.records] == [
        "layer gradients of Energy one group at a time: "
        "the model differentiates within the forward pass"
    ]


def test_a_density_that_is_no_module():
    class Wrapped:
        domain, likelihood = DOMAIN, "exact"

        def __init__(self, model):
            self._model = model

        def __getattr__(self, name):
            return getattr(self._model, name)

    model = Wrapped(randomised(flat(nn.Linear(48, 4))))
    assert_equal_to_the_loop(LayerGradientEngine(), model, groups_of(DOMAIN, 3, 2))


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_nothing_to_do(shape):
    model = randomised(flat(nn.Linear(48, 4)))
    norms = LayerGradientEngine()(model, torch.zeros(*shape, *DOMAIN.shape).byte())
    assert torch.equal(norms, torch.zeros(shape[0], 2, dtype=torch.float64))


def test_a_density_of_no_parameter_is_an_error():
    model = flat(nn.Linear(48, 4))
    model.log_prob = lambda x: torch.zeros(len(x))
    with pytest.raises(
        UnsupportedError, match="^log_prob of Plain does not depend on any parameter$"
    ):
        LayerGradientEngine()(model, groups_of(DOMAIN, 3, 2))


# Memory


def test_chunks_fit_the_budget(case, monkeypatch):
    model, domain, _ = case
    groups = groups_of(domain, 9, 2)
    sizes = []
    inner = engine_module._chunk
    monkeypatch.setattr(
        engine_module,
        "_chunk",
        lambda entry, plan, chunk, table: (
            sizes.append(len(chunk)),
            inner(entry, plan, chunk, table),
        )[1],
    )
    engine = LayerGradientEngine()
    expected = engine(model, groups)
    assert sizes == [1, 8, 9]  # trials with one group and with several first
    engine._max_bytes = 2.1 * engine_module.SLACK * engine._known[model].bytes[2]
    sizes.clear()
    torch.testing.assert_close(engine(model, groups), expected, rtol=1e-9, atol=1e-30)
    assert sizes == [2, 2, 2, 2, 1]


def peak_of(run):
    """Bytes that torch's allocator hands out at most, as its profiler sees it."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        run()
    events = profile.profiler.kineto_results.events()
    return max(accumulate(event.nbytes() for event in events if event.name() == "[memory]"))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("width", [8, 96])
def test_memory_stays_within_the_budget_and_uses_it(width, size):
    torch.manual_seed(0)
    model = randomised(glow(COLOUR, levels=2, steps=2, width=width)).float()
    groups = groups_of(COLOUR, 60, size)
    one = LayerGradientEngine(max_bytes=0)  # one group at a time, whatever it takes
    one(model, groups)
    needed = one._known[model].bytes[size]
    for factor in (1.2, 5, 20):
        engine = LayerGradientEngine(max_bytes=int(factor * needed))
        engine(model, groups)
        result = 2 * 8 * len(groups) * len(list(model.parameters()))  # the rows, and all in one
        peak = peak_of(lambda: engine(model, groups)) - result  # noqa: B023
        assert 0.1 * factor * needed < peak <= factor * needed


def test_allocations_are_those_of_the_profiler():
    known = torch.zeros(1000)
    with Allocations([known]) as made:
        known.view(10, 100)
        a = torch.ones(100)  # 400 bytes
        (a + 1).unsqueeze(0)  # 400 more, freed at once
        b = known[:200] * 2  # 800
        del a
        torch.sort(b)  # 800 and 1600
    assert made.peak == 800 + 800 + 1600


@pytest.mark.parametrize(
    ("convolution", "scratch"),
    [
        (nn.Conv2d(2, 3, 3, padding=1, bias=False), 5 * 16 * 18 + 54),
        (nn.Conv2d(2, 3, 1, bias=False), 6),
        (nn.ConvTranspose2d(2, 3, 3, padding=1, bias=False), 16 * 27 + 54),
    ],
)
def test_what_a_convolution_may_write_out_is_counted(convolution, scratch):
    x = torch.zeros(5, 2, 4, 4)
    with torch.no_grad(), Allocations([x, convolution.weight]) as made:
        convolution(x)
    assert made.peak == 4 * (5 * 3 * 16 + scratch)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried"),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_the_chunks_for_good(error, monkeypatch):
    model, groups = randomised(flat(nn.Linear(48, 4))), groups_of(DOMAIN, 13, 2)
    expected = looped_layer_gradients(model, groups)
    inner, sizes = engine_module._chunk, []

    def chunk(entry, plan, groups, table):
        sizes.append(len(groups))
        if len(groups) > 4:
            raise error
        return inner(entry, plan, groups, table)

    monkeypatch.setattr(engine_module, "_chunk", chunk)
    engine = LayerGradientEngine()
    np.testing.assert_allclose(engine(model, groups), expected, rtol=1e-9)
    assert sizes == [1, 8, 13, 6, 3, 3, 3, 3, 1]
    sizes.clear()
    engine(model, groups)
    assert sizes == [3, 3, 3, 3, 1]


def test_out_of_memory_with_one_group_is_the_callers(monkeypatch):
    def chunk(entry, plan, groups, table):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(engine_module, "_chunk", chunk)
    with pytest.raises(torch.OutOfMemoryError):
        LayerGradientEngine()(flat(nn.Linear(48, 4)), groups_of(DOMAIN, 5, 2))


# The model is left as it was


def watched(model):
    """All that must not change."""
    hooks = [
        (dict(module._forward_hooks), dict(module._forward_pre_hooks), sorted(vars(module)))
        for module in model.modules()
    ]
    flags = [(p.requires_grad, p.grad, p._version, p.data_ptr()) for p in model.parameters()]
    return hooks, flags, [module.training for module in model.modules()]


@pytest.mark.parametrize(
    "make", [lambda: MODELS["glow"][0](), lambda: Plain(Attention(batch_first=True))]
)
def test_hooks_flags_and_forwards_are_as_before(make):
    model = make()
    next(model.parameters()).requires_grad_(False)
    before = watched(model)
    groups = groups_of(model.domain, 3, 2)
    engine = LayerGradientEngine()
    with torch.no_grad():
        engine(model, groups)
        engine(model, groups)
        assert not torch.is_grad_enabled()
    assert watched(model) == before


@pytest.mark.parametrize("after", range(1, 5))
def test_hooks_flags_and_forwards_are_as_before_even_if_the_model_fails(after):
    """It fails in the graph, the verification and the chunk, in forward and backward passes."""

    class Failing(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls == after:
                raise ZeroDivisionError
            if self.calls == after - 1 and x.requires_grad:
                x.register_hook(lambda delta: 1 / 0)
            return x.clone()

    model = flat(nn.Linear(48, 4), Failing(), nn.Linear(4, 4))
    failing = model.network[2]
    failing.calls = 0
    before = watched(model)
    engine, groups = LayerGradientEngine(), groups_of(DOMAIN, 3, 2)
    failed = False
    for _ in range(3):
        try:
            engine(model, groups)
        except ZeroDivisionError:
            failed = True
        assert watched(model) == before
    assert failed or engine.plan(model, groups) is None


def test_plans_do_not_keep_models_alive():
    engine = LayerGradientEngine()
    model = randomised(flat(nn.Linear(48, 4)))
    engine(model, groups_of(DOMAIN, 3, 2))
    assert len(engine._known) == 1
    del model
    assert len(engine._known) == 0


def test_a_copy_of_a_model_is_a_model_of_its_own(case):
    model, domain, _ = case
    engine, groups = LayerGradientEngine(), groups_of(domain, 3, 1)
    engine(model, groups)
    other = randomised(copy.deepcopy(model), seed=5)
    assert_equal_to_the_loop(engine, other, groups)
    assert_equal_to_the_loop(engine, model, groups)


# Rules of one's own


class Bilinear(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, features))

    def forward(self, x):
        return x * x * self.weight


@pytest.fixture
def wrong_rule():
    class Wrong(Bilinear):
        pass

    @layer_gradient_rule(Bilinear, parameters=["weight"])
    def twice_too_large(module, call):
        return {"weight": 2 * call.grouped(call.inputs[0].square() * call.delta()).sum(1)}

    yield Wrong
    del registry._RULES[Bilinear]


def test_a_rule_can_be_registered():
    @layer_gradient_rule(Bilinear, parameters=["weight"], outputs=True)
    def bilinear(module, call):
        calls.append(call)
        return {"weight": call.grouped(call.inputs[0].square() * call.delta()).sum(1)}

    calls = []
    try:
        model = randomised(flat(Bilinear(48)))
        engine, groups = LayerGradientEngine(), groups_of(DOMAIN, 4, 2)
        assert_equal_to_the_loop(engine, model, groups)
        assert ways(engine, model, groups) == {"rule"}
        assert [call.groups for call in calls] == [3, 1, 8, 4]
        torch.testing.assert_close(
            calls[3].outputs[0], calls[3].inputs[0].square() * model.network[1].weight
        )
    finally:
        del registry._RULES[Bilinear]


def test_a_wrong_rule_is_not_used(wrong_rule):
    model = randomised(flat(wrong_rule(48)))
    engine, groups = LayerGradientEngine(), groups_of(DOMAIN, 4, 2)
    assert_equal_to_the_loop(engine, model, groups)
    assert ways(engine, model, groups) == {"vmap"}


def test_rules_hold_only_for_their_forward_and_parameters():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    patched = nn.Linear(2, 2)
    patched.forward = lambda x: x
    assert registry.find_rule(nn.Linear(2, 2), ["weight", "bias"]) is not None
    assert registry.find_rule(nn.Linear(2, 2), ["weight", "other"]) is None
    assert registry.find_rule(Doubled(2, 2), ["weight"]) is None
    assert registry.find_rule(patched, ["weight"]) is None
    assert registry.find_rule(nn.BatchNorm2d(2).train(), ["weight"]) is None
    assert registry.find_rule(nn.BatchNorm2d(2).eval(), ["weight"]) is not None


def test_glow_is_taken_over_only_as_it_was_built():
    model = glow(COLOUR, levels=1, steps=2, width=4)
    level = model.levels[0]
    assert registry.find_fused_rule(level) is not None
    level.steps[1].coupling.conv2 = nn.Conv2d(4, 4, 1, bias=False)
    assert registry.find_fused_rule(level) is None
    assert_equal_to_the_loop(LayerGradientEngine(), randomised(model), groups_of(COLOUR, 3, 2))


# Norms of products


@pytest.mark.parametrize(
    "shape", [(3, 1, 5, 7), (3, 2, 5, 7), (3, 40, 5, 7), (3, 256, 5, 7), (2, 3, 4, 5, 6)]
)
def test_both_forms_of_the_norm_of_a_product(shape):
    *rest, p, i, o = shape
    a, d = torch.randn(*rest, p, i).double(), torch.randn(*rest, p, o).double()
    expected = torch.stack([(y.mT @ x).square().sum() for x, y in zip(a, d, strict=True)])
    torch.testing.assert_close(Outer(a, d).sq_norms(), expected)
    a, d = a.reshape(-1, p, i), d.reshape(-1, p, o)
    for form in (norms._gram_sq_norms, norms._direct_sq_norms):
        torch.testing.assert_close(form(a, d).reshape(len(expected), -1).sum(1), expected)


@pytest.mark.parametrize("positions", [1, 2, 7])
def test_norms_of_masked_products(positions, monkeypatch):
    a, d = torch.randn(5, positions, 4).double(), torch.randn(5, positions, 6).double()
    mask = torch.rand(6, 4) < 0.6
    expected = torch.stack([((y.T @ x) * mask).square().sum() for x, y in zip(a, d, strict=True)])
    torch.testing.assert_close(norms.masked_sq_norms(a, d, mask), expected, rtol=1e-12, atol=0)
    monkeypatch.setattr(norms, "PIECE_BYTES", 400)
    torch.testing.assert_close(norms.masked_sq_norms(a, d, mask), expected, rtol=1e-12, atol=0)
    a[2] = 0
    tiny = norms.masked_sq_norms(1e-30 * a.float(), 1e-3 * d.float(), mask) * 1e33 * 1e33
    expected[2] = 0
    torch.testing.assert_close(tiny, expected, rtol=1e-5, atol=0)


def test_products_in_pieces(monkeypatch):
    a, d = torch.randn(7, 9, 5), torch.randn(7, 9, 6)
    expected = Outer(a.double(), d.double()).sq_norms()
    monkeypatch.setattr(norms, "PIECE_BYTES", 300)
    torch.testing.assert_close(Outer(a, d).sq_norms(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        norms.explicit_sq_norms(a), a.double().square().sum((1, 2)), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("size", [1, 4])
def test_a_level_of_glow_in_pieces(size, monkeypatch):
    monkeypatch.setattr(glow_level, "PIECE_BYTES", 7000)  # two groups at a time of 8 x 54 weights
    model = randomised(MODELS["glow"][0]())
    assert_equal_to_the_loop(LayerGradientEngine(), model, groups_of(COLOUR, 5, size))


CONVOLUTIONS = [
    nn.Conv2d(3, 5, 3, padding=1),
    nn.Conv2d(5, 2, 3, padding=1),
    nn.Conv2d(4, 4, (3, 2), padding=(2, 0), dilation=(2, 1)),
    nn.Conv2d(2, 6, (3, 1), padding="same", bias=False),
    nn.Conv2d(2, 6, (2, 4), padding=1, dilation=(1, 2), padding_mode="reflect"),
]
OTHER_CONVOLUTIONS = [
    nn.Conv2d(3, 5, 3, padding=1, stride=2),
    nn.Conv2d(4, 6, (3, 2), padding=(2, 0), stride=(2, 3), dilation=(1, 2), groups=2),
    nn.Conv1d(4, 6, 3, padding=1, stride=2, groups=2),
    nn.Conv3d(2, 3, (2, 3, 1), padding=1, stride=2),
    nn.ConvTranspose1d(4, 3, 4, stride=2, padding=1),
    nn.ConvTranspose2d(4, 6, (3, 4), stride=(2, 1), padding=1, output_padding=(1, 0), groups=2),
]


def assert_deferred_norms_are_those_of_autograd(convolution, size):
    """Compare the rule of a convolution with autograd on three groups in float64."""
    convolution = copy.deepcopy(convolution).double()
    space = (8, 7, 5)[: len(convolution.kernel_size)]
    x = torch.randn(3 * size, convolution.in_channels, *space).double()
    y = convolution(x)
    call = registry.Call(3, (x,), {}, deltas=[torch.randn_like(y)])
    rule = registry.find_rule(convolution, ["weight"])
    weight = rule.function(convolution, call)["weight"]
    assert isinstance(weight, Deferred)
    expected = []
    for m in range(3):
        part = slice(m * size, (m + 1) * size)
        total = (convolution(x[part]) * call.deltas[0][part]).sum()
        (gradient,) = torch.autograd.grad(total, convolution.weight)
        expected.append(gradient.square().sum())
    torch.testing.assert_close(weight.norms(), torch.stack(expected), rtol=1e-12, atol=0)
    torch.testing.assert_close(norms.sq_norms(weight.gradient()), weight.norms())


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_the_norm_of_a_convolution_by_rows_of_the_kernel(convolution, size, monkeypatch):
    monkeypatch.setattr(torch_layers, "SMALL", 0)
    monkeypatch.setattr(torch_layers, "gram_is_cheaper", lambda *sizes: False)
    assert_deferred_norms_are_those_of_autograd(convolution, size)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("convolution", [*CONVOLUTIONS, *OTHER_CONVOLUTIONS])
def test_the_norm_of_a_convolution_with_a_kernel_for_each_group(convolution, size, monkeypatch):
    two_groups = 16 * convolution.weight.numel()
    monkeypatch.setattr(torch_layers, "PIECE_BYTES", two_groups)
    monkeypatch.setattr(torch_layers, "gram_is_cheaper", lambda *sizes: False)
    monkeypatch.setattr(torch_layers, "_has_fast_groups", lambda x: True)
    assert_deferred_norms_are_those_of_autograd(convolution, size)


def test_a_first_call_imports_neither_the_compiler_of_torch_nor_sympy():
    program = """
        import sys, torch
        from torch import nn
        from plugins.statistics.layer_gradients.engine import LayerGradientEngine

        class Model(nn.Linear):
            def log_prob(self, x):
                return self(x.float()).sum(1)

        print(LayerGradientEngine()(Model(3, 2), torch.ones(4, 1, 3).byte()).shape)
        print(sorted({"sympy", "torch._dynamo", "torch._inductor"} & set(sys.modules)))
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert found.stdout == "torch.Size([4, 2])\n[]\n", found.stderr


def test_squares_do_not_leave_the_range_of_float32():
    a, d = torch.full((1, 2, 3), 1e15), torch.full((1, 2, 3), 1e15)
    for form in (norms._gram_sq_norms, norms._direct_sq_norms):
        assert form(a, d).item() == pytest.approx(9 * 4e60, rel=1e-6)
    assert norms.explicit_sq_norms(torch.tensor([[1e25, 1e-25]])).item() == pytest.approx(1e50)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-20, 1e-13, 1e-6, 1.0, 1e15, 1e20, 1e35])
def test_long_sums_of_squares_are_exact_whatever_their_range(scale, monkeypatch):
    monkeypatch.setattr(norms, "DOUBLE_BYTES", 8)
    rows = scale * torch.rand(5, 9 * norms.RUN)
    rows[3] = 0.0
    rows[4, 1:] *= 1e-9
    expected = rows.double().square().sum(1)
    torch.testing.assert_close(norms.explicit_sq_norms(rows), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(norms.explicit_sq_norms(rows[:3]), expected[:3], rtol=1e-6, atol=0)


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1e-18, 1e-20), (1e25, 1e25), (1e30, 1e-30)])
def test_long_sums_of_products_are_exact_whatever_their_range(scales):
    a, d = (scale * torch.rand(3, 8, 2 * norms.RUN) for scale in scales)
    expected = (a.double() * d.double()).sum((1, 2))
    torch.testing.assert_close(norms._inner_products(a, d), expected, rtol=1e-6, atol=0)
    mixed = d * torch.randn(3, 8, 2 * norms.RUN).sign()  # sums of either sign
    expected = (a.double() * mixed.double()).sum((1, 2))
    atol = 1e-6 * scales[0] * scales[1]
    torch.testing.assert_close(norms._inner_products(a, mixed), expected, rtol=1e-6, atol=atol)


def test_the_entry_of_a_model_without_submodules():
    model = TinyAutoregression(Images(1, 2, 2, bits=2)).double()
    engine, groups = LayerGradientEngine(), groups_of(model.domain, 4, 3)
    assert_equal_to_the_loop(engine, model, groups)
    assert ways(engine, model, groups) == {"vmap"}
