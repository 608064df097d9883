"""A compiled training step against the plain one, and what happens where none can be compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.compute.gradients import CompiledGradients, gradients
from harness.compute.seeds import generator
from harness.compute.trainer import Training, training_loss
from oodbench import Images
from plugins.models.glow import glow
from tests.oracle.layer_gradient_models import randomised
from tests.oracle.test_training import component

DOMAIN = Images(1, 4, 4)
ROOT = Path(__file__).parent.parent.parent


def build(domain=DOMAIN):
    torch.manual_seed(0)
    return randomised(glow(domain, levels=1, steps=1, width=3)).train()


def step(take):
    """The loss of one step and the gradient of every parameter."""
    model, x = build(), torch.arange(80).reshape(5, 1, 4, 4).byte()
    loss = take(model, x, generator(3, "noise", 1))
    return [loss, *(parameter.grad for parameter in model.parameters())]


def plain(model, x, noise):
    return gradients(training_loss, model, x, noise)


def test_gradients_are_those_of_autograd():
    model, x = build(), torch.arange(80).reshape(5, 1, 4, 4).byte()
    loss = training_loss(model, x, generator(3, "noise", 1))
    expected = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    torch.testing.assert_close(step(plain), [loss.detach(), *expected], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stage", ["forward", "backward"])
def test_what_cannot_be_compiled_goes_on_uncompiled_with_one_note(stage):
    calls, notes = [], []

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, delta):
            raise NotImplementedError("no kernel\nand more lines")

    def backend(graph, inputs):
        calls.append(1)
        if stage == "forward":
            raise NotImplementedError("no kernel\nand more lines")
        return lambda *args: [Wrong.apply(out) for out in graph(*args)]

    take = CompiledGradients(training_loss, notes.append, backend)
    for _ in range(2):  # the very numbers, so the noise is drawn anew and no gradient is doubled
        for a, b in zip(step(take), step(plain), strict=True):
            assert a is b or torch.equal(a, b)
    assert len(calls) >= 1
    assert len(notes) == 1
    assert notes[0].startswith("training continues without --compile: ")
    assert "no kernel" in notes[0]
    assert "\n" not in notes[0]


def test_an_error_of_the_model_is_raised_as_it_is():
    def loss(model, x, noise):
        raise ZeroDivisionError("its own")

    notes = []
    with pytest.raises(ZeroDivisionError, match="^its own$"):
        step(CompiledGradients(loss, notes.append))
    assert notes == []


def trained(compiled):
    images = np.random.default_rng(0).integers(0, 256, (12, *DOMAIN.shape), dtype=np.uint8)
    notes = []
    made = component(build, minibatch=4, precision="float64")
    training = Training(made, DOMAIN, images, 3, torch.device("cpu"))
    training.start()
    if compiled:
        training.compile(notes.append)
    losses = [training.run_epoch(lambda n: None) for _ in range(2)]
    return losses, [parameter.detach() for parameter in training.model.parameters()], notes


NO_COMPILER = """
from tests.oracle.test_compiling import trained
losses, weights, notes = trained(True)
expected_losses, expected, _ = trained(False)
assert losses == expected_losses
assert all(a.equal(b) for a, b in zip(weights, expected, strict=True))
assert len(notes) == 1, notes
assert "compiler" in notes[0].lower(), notes
"""


@pytest.mark.slow
def test_a_machine_without_a_compiler_trains_as_it_would_have(tmp_path):
    environment = os.environ | {
        "CXX": "no-such-compiler",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
    }
    command = [sys.executable, "-c", NO_COMPILER]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
@pytest.mark.filterwarnings("default")
def test_compiled_training_is_the_same_but_for_rounding():
    torch._dynamo.reset()
    losses, weights, notes = trained(True)
    assert notes == []
    expected_losses, expected, _ = trained(False)
    assert losses == pytest.approx(expected_losses, rel=1e-10)
    torch.testing.assert_close(weights, expected, rtol=1e-9, atol=1e-9)
