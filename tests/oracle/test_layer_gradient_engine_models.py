"""The engine against the loop on models that hide which parameter did what for which example."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from harness.testing.placement.comparison import same_on_both
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.graph import ObjectiveModule
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from tests.oracle.layer_gradient_models import (
    DOMAIN,
    FEATURES,
    Attention,
    Blocked,
    Checkpointed,
    Context,
    Convolved,
    Custom,
    Energy,
    Experts,
    Flow,
    Hooked,
    Method,
    Named,
    Overwriting,
    Pixels,
    Plain,
    Recurrent,
    Recursive,
    SequenceFirst,
    Shuffled,
    Stacked,
    Twice,
    flat,
    groups_of,
    randomised,
    with_unused_parameter,
)

# Model, and how its parameters are expected to be done: by a rule, generically, or in a loop.
MODELS = {
    "linear": (lambda: flat(nn.Linear(FEATURES, 5)), {"rule"}),
    "linear-wide-first": (
        lambda: flat(nn.Linear(FEATURES, 64, bias=False), nn.Linear(64, 2)),
        {"rule"},
    ),
    "conv-same": (lambda: Plain(nn.Conv2d(3, 5, 3, padding="same")), {"rule"}),
    "conv-thin": (
        lambda: Plain(
            nn.Conv2d(3, 7, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(7, 2, (3, 2), padding=(1, 0), dilation=(1, 2)),
        ),
        {"rule"},
    ),
    "conv-strided": (
        lambda: Plain(nn.Conv2d(3, 6, (2, 3), stride=(1, 2), padding=(0, 2), dilation=(2, 1))),
        {"rule"},
    ),
    "conv-grouped": (
        lambda: Plain(nn.Conv2d(3, 6, 3, groups=3, bias=False), nn.Conv2d(6, 4, 1, groups=2)),
        {"rule"},
    ),
    "conv-circular": (
        lambda: Plain(nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular")),
        {"rule"},
    ),
    "conv-1d": (
        lambda: Plain(nn.Flatten(2), nn.Conv1d(3, 2, 4, padding="same", dilation=2)),
        {"rule"},
    ),
    "conv-3d": (
        lambda: Plain(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, 2, stride=(1, 2, 1))),
        {"rule"},
    ),
    "conv-transposed": (lambda: Plain(nn.ConvTranspose2d(3, 2, 2, stride=2)), {"rule"}),
    "conv-transposed-padded": (
        lambda: Plain(
            nn.ConvTranspose2d(
                3, 4, (2, 3), stride=(1, 2), padding=(0, 2), output_padding=(1, 1), dilation=(2, 3)
            ),
            nn.Tanh(),
            nn.ConvTranspose2d(4, 6, 3, padding=1, groups=2, bias=False),
        ),
        {"rule"},
    ),
    "conv-transposed-1d": (
        lambda: Plain(nn.Flatten(2), nn.ConvTranspose1d(3, 2, 4, stride=3)),
        {"rule"},
    ),
    "conv-transposed-3d": (
        lambda: Plain(nn.Unflatten(1, (1, 3)), nn.ConvTranspose3d(1, 2, 2, stride=(1, 2, 1))),
        {"rule"},
    ),
    "conv-gated": (lambda: Plain(nn.Conv2d(3, 8, 3, padding=1), nn.GLU(1)), {"rule"}),
    "batch-norm-of-batches": (
        lambda: Plain(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        None,
    ),
    "norms": (
        lambda: Plain(
            nn.Conv2d(3, 4, 1),
            nn.GroupNorm(2, 4),
            nn.Tanh(),
            nn.LayerNorm((4, 4)),
            nn.Conv2d(4, 4, 2),
            nn.BatchNorm2d(4),
        ),
        {"rule"},
    ),
    "instance-norm": (lambda: Plain(nn.InstanceNorm2d(3, affine=True), nn.PReLU(3)), {"vmap"}),
    "embedding": (Pixels, {"rule"}),
    "embedding-bounded": (lambda: Pixels(max_norm=50.0), {"rule", "loop"}),
    "flow-ladj": (lambda: Flow("per example"), {"rule", "vmap"}),
    "flow-dict": (lambda: Flow("dict"), {"vmap", "rule"}),
    "flow-scalar": (lambda: Flow("scalar"), {"vmap", "rule"}),
    "flow-object": (lambda: Flow("object"), {"vmap", "rule"}),
    "flow-side-channel": (lambda: Flow("attribute"), {"vmap", "rule"}),
    "flow-stacked": (Stacked, {"vmap", "rule"}),
    "sequence-first": (lambda: Plain(SequenceFirst(6)), {"vmap"}),
    "sequence-first-of-three": (lambda: Plain(SequenceFirst(3)), {"vmap"}),
    "shuffled": (lambda: Plain(Shuffled()), {"vmap"}),
    "experts": (lambda: Plain(Experts()), {"loop"}),
    "context": (lambda: Plain(Context(5)), {"vmap"}),
    "context-of-three": (lambda: Plain(Context(3)), {"vmap"}),
    "context-of-six": (lambda: Plain(Context(6)), {"vmap"}),
    "named-tuple": (lambda: Plain(Named()), {"vmap"}),
    "custom-function": (lambda: Plain(Custom()), {"loop"}),
    "overwriting": (lambda: Plain(Overwriting()), {"vmap", "rule"}),
    "blocked": (lambda: Plain(Blocked()), {"rule"}),
    "recursive": (lambda: Plain(Recursive()), {"vmap"}),
    "twice": (lambda: Plain(Twice()), {"vmap", "rule"}),
    "two-resolutions": (lambda: Plain(Convolved()), {"rule"}),
    "checkpointed": (lambda: Plain(Checkpointed()), None),
    "energy": (Energy, None),
    "hooked": (lambda: Plain(Hooked()), {"vmap"}),
    "method": (lambda: Plain(Method()), {"vmap", "rule"}),
    "attention": (lambda: Plain(Attention(batch_first=True)), {"rule"}),
    "attention-sequence-first": (lambda: Plain(Attention(batch_first=False)), {"rule"}),
    "recurrent": (lambda: Plain(Recurrent()), {"loop"}),
    "weight-norm": (
        lambda: flat(parametrizations.weight_norm(nn.Linear(FEATURES, 4))),
        {"rule"},
    ),
    "weight-norm-conv": (
        lambda: Plain(
            parametrizations.weight_norm(nn.Conv2d(3, 4, 3, padding=1)),
            nn.Tanh(),
            parametrizations.weight_norm(nn.Conv2d(4, 2, 2, groups=2, bias=False), dim=1),
            parametrizations.weight_norm(nn.Conv2d(2, 6, (1, 2)), dim=None),
        ),
        {"rule"},
    ),
    "weight-norm-transposed": (
        lambda: Plain(parametrizations.weight_norm(nn.ConvTranspose2d(3, 2, 2))),
        {"vmap", "rule"},
    ),
    "unused": (lambda: Plain(with_unused_parameter()), {"rule"}),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_the_norms_of_the_loop(name):
    make, ways = MODELS[name]
    torch.manual_seed(0)
    model = randomised(make())
    engine = LayerGradientEngine()
    for count, size in ((4, 1), (3, 2), (6, 1), (2, 5), (1, 1)):
        groups = groups_of(DOMAIN, count, size, seed=count)
        expected = looped_layer_gradients(model, groups)
        np.testing.assert_allclose(engine(model, groups), expected, rtol=1e-9, atol=1e-18)
    plan = engine.plan(model, groups)
    assert (
        None if plan is None else {unit.method for unit in plan.units(ObjectiveModule(model))}
    ) == ways


@pytest.mark.parametrize("name", MODELS)
def test_chunks_as_long_as_something_else_has_rows(name):
    """Sizes at which the rows of something else are as many as the examples."""
    torch.manual_seed(0)
    model = randomised(MODELS[name][0]())
    engine = LayerGradientEngine()
    for count, size in ((5, 1), (3, 1), (1, 6), (2, 3)):
        groups = groups_of(DOMAIN, count, size, seed=count)
        expected = looped_layer_gradients(model, groups)
        np.testing.assert_allclose(engine(model, groups), expected, rtol=1e-9, atol=1e-18)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_done_the_same_way_on_another_device(name):
    groups = groups_of(DOMAIN, 3, 2)

    def norms(device):
        torch.manual_seed(0)
        model, engine = randomised(MODELS[name][0]()).to(device), LayerGradientEngine()
        found = engine(model, groups.to(device))
        plan = engine.plan(model, groups.to(device))
        ways = plan and [unit.method for unit in plan.units(ObjectiveModule(model))]
        return {"norms": found, "ways": ways}

    found = same_on_both(norms)
    is_chosen_by_device = {"attention", "attention-sequence-first", "recurrent"}
    assert (found.rounding == 0) == (name not in is_chosen_by_device)
