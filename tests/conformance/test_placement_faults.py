"""The emulated device against planted faults: each is found, and the message leads to it."""

from __future__ import annotations

import copy
import inspect
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from harness.compute import trainer
from harness.compute.examination import examine
from harness.compute.inputs import augment
from harness.compute.seeds import generator
from harness.domain import Images
from harness.suite import Recipe
from harness.testing.checks import Fault
from harness.testing.placement.comparison import same_on_both
from harness.testing.placement.emulated import DEVICE, emulated_device
from harness.testing.toy_models import TinyAutoregression, TinyFlow
from oodbench.testing import assert_conforms, check_model_placement, check_statistic_placement


def failed(checks):
    return {check.name: check.message for check in checks if check.outcome == "failed"}


def line_of(marker):
    """Number of the line of this file that ends in a comment."""
    source = inspect.getsource(sys.modules[__name__]).splitlines()
    (number,) = (n for n, line in enumerate(source, 1) if line.endswith(f"# {marker}"))
    return f"(test_placement_faults.py:{number})"


MIXED = "mixes tensors on the device, with shape {}, and on the CPU, with shape {}"
DRAWN = "draws on the device with a generator on the CPU"


class Good(nn.Module):
    """Independent pixels, trained with noise; everything where it belongs."""

    likelihood = "exact"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.logits = nn.Parameter(0.1 * torch.randn(domain.dims, domain.levels))
        self.register_buffer("pixels", torch.arange(domain.dims))

    def log_prob(self, x):
        return self.each(x).sum(1)

    def each(self, x):
        return self.logits.log_softmax(-1)[self.pixels, x.flatten(1).long()]

    def training_loss(self, x, generator):
        kept = torch.rand(x.shape, generator=generator).to(x.device) < 0.9
        return -self.log_prob(x * kept).mean()

    def sample(self, n, generator, temperature=1.0):
        u = torch.rand(n, *self.domain.shape, generator=generator).to(self.logits)
        return (u * self.domain.levels).to(torch.uint8)


class MovesToTheCpu(Good):
    def each(self, x):
        return super().each(x).cpu() * self.logits.exp().sum(1)  # moved


class StaysOnTheCpu(Good):
    def log_prob(self, x):
        return super().log_prob(x).cpu()


class DefaultDevice(Good):
    def each(self, x):
        return super().each(x) + torch.zeros(self.domain.dims)  # default


class ConstantOutsideBuffers(Good):
    def __init__(self, domain):
        super().__init__(domain)
        self.scale = torch.ones(domain.dims)

    def each(self, x):
        return super().each(x) @ torch.diag(self.scale)  # constant


class HiddenFault(Good):
    """Falls back to a slower way, as careful code does."""

    def each(self, x):
        try:
            return super().each(x) + torch.zeros(self.domain.dims)  # hidden
        except Exception:
            return super().each(x)


class DrawsLossThere(Good):
    def training_loss(self, x, generator):
        kept = torch.rand(x.shape, generator=generator, device=x.device) < 0.9  # loss
        return -self.log_prob(x * kept).mean()


class DrawsSamplesThere(Good):
    def sample(self, n, generator, temperature=1.0):
        drawn = self.logits.softmax(-1).multinomial(n, True, generator=generator)  # sample
        return drawn.T.reshape(n, *self.domain.shape).to(torch.uint8)


class OwnGenerator(Good):
    def sample(self, n, generator, temperature=1.0):
        own = torch.Generator(device=self.logits.device)  # own
        return torch.zeros(n, *self.domain.shape).random_(3, generator=own).to(torch.uint8)


class UnlikeNumbers(Good):
    def log_prob(self, x):
        total = super().log_prob(x)
        return total if x.device.type == "cpu" else total * 1.001


class LeavesALayer(Good):
    def to(self, *args):
        self.register_buffer("late", torch.zeros(3))
        buffers = dict(self._buffers)
        super().to(*args)
        self._buffers["late"] = buffers["late"]
        return self


WAYS = {"evaluation", "gradients", "checkpoint", "training"}


@pytest.mark.parametrize(
    ("model", "found", "message"),
    [
        (Good, set(), None),
        (MovesToTheCpu, WAYS, "mul " + MIXED.format((16,), (6, 16)) + " {moved}"),
        (StaysOnTheCpu, {"evaluation", "checkpoint"}, "log_prob is on the CPU: return it on"),
        (DefaultDevice, WAYS, "add " + MIXED.format((6, 16), (16,)) + " {default}"),
        (ConstantOutsideBuffers, WAYS, "mm " + MIXED.format((6, 16), (16, 16)) + " {constant}"),
        (HiddenFault, WAYS, "add " + MIXED.format((6, 16), (16,)) + " {hidden}"),
        (DrawsLossThere, {"training"}, "rand " + DRAWN + " {loss}"),
        (DrawsSamplesThere, {"sample"}, "multinomial " + DRAWN + " {sample}"),
        (OwnGenerator, {"sample"}, "a generator on the device draws other numbers"),
        (UnlikeNumbers, WAYS, "log_prob on the device differs from log_prob on the CPU (by up"),
        (LeavesALayer, {"moved"}, "late stays on the CPU after .to(device)"),
    ],
)
def test_models(model, found, message):
    faults = failed(check_model_placement(model))
    assert faults.keys() == found
    for name, text in faults.items():
        if (message and name in ("evaluation", "sample", "moved")) or len(faults) == 1:
            head, _, marker = message.partition("{")
            assert text.startswith(head + (line_of(marker[:-1]) if marker else "")), text


class GoodStatistic:
    per = "example"

    def features(self, model):
        return ("centred",)

    def fit(self, model, examples):
        self.mean = self.log_prob(model, examples).mean(0)
        return self

    def log_prob(self, model, x):
        with torch.no_grad():
            return model.log_prob(x).double()

    def __call__(self, model, groups):
        centred = self.log_prob(model, groups[:, 0]) - self.mean
        return centred.cpu().numpy().reshape(-1, 1)


class FitMovesToTheCpu(GoodStatistic):
    def fit(self, model, examples):
        values = self.log_prob(model, examples).cpu()
        self.mean = (values * model.scale.detach()).mean()  # fit moved
        return self


class FitDefaultDevice(GoodStatistic):
    def fit(self, model, examples):
        values = self.log_prob(model, examples)
        self.mean = torch.stack([values, torch.zeros(len(values))]).mean()  # fit default
        return self


class FitGenerator(GoodStatistic):
    def fit(self, model, examples):
        shape, own = (len(examples),), torch.Generator()
        kept = torch.rand(shape, generator=own, device=examples.device) > 0.5  # fit drawn
        self.mean = self.log_prob(model, examples)[kept].mean(0)
        return self


class CallMovesToTheCpu(GoodStatistic):
    def __call__(self, model, groups):
        x = groups[:, 0].cpu()
        return self.log_prob(model, x).numpy().reshape(-1, 1)


class CallDefaultDevice(GoodStatistic):
    def __call__(self, model, groups):
        shift = torch.zeros(len(groups), dtype=torch.float64)
        return (self.log_prob(model, groups[:, 0]) + shift).cpu().numpy()[:, None]  # call default


class CallGenerator(GoodStatistic):
    def __call__(self, model, groups):
        noise = torch.empty(len(groups), device=groups.device)
        noise.normal_(generator=torch.Generator())  # call drawn
        return noise.cpu().double().numpy()[:, None]


class CallNumpy(GoodStatistic):
    def __call__(self, model, groups):
        return np.asarray(self.log_prob(model, groups[:, 0])).reshape(-1, 1)  # call numpy


@pytest.mark.parametrize(
    ("statistic", "found", "message", "marker"),
    [
        (GoodStatistic, set(), "", ""),
        (
            FitMovesToTheCpu,
            {"fit", "values"},
            "mul " + MIXED.format((), (8,)),
            "fit moved",
        ),
        (FitDefaultDevice, {"fit", "values"}, "stack " + MIXED.format((8,), (8,)), "fit default"),
        (FitGenerator, {"fit", "values"}, "rand " + DRAWN, "fit drawn"),
        (CallMovesToTheCpu, {"values"}, "bmm " + MIXED.format((1, 4, 16), (1, 6, 4)), ""),
        (CallDefaultDevice, {"values"}, "add " + MIXED.format((6,), (6,)), "call default"),
        (CallGenerator, {"values"}, "normal_ " + DRAWN, "call drawn"),
        (CallNumpy, {"values"}, "numpy() of a tensor on the device", "call numpy"),
    ],
)
def test_statistics(statistic, found, message, marker):
    faults = failed(check_statistic_placement(statistic))
    assert faults.keys() == found
    for text in faults.values():
        assert text.startswith(message + (f" {line_of(marker)}" if marker else "")), text


def unmoved(x, recipe, levels, generator):
    flipped = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(flipped[:, None, None, None], x.flip(-1), x)


def moved(x, recipe, levels, generator):
    return x.cpu()


def drawn_there(x, recipe, levels, generator):
    return x * (torch.rand(x.shape, generator=generator, device=x.device) < 0.9)


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (unmoved, "where " + MIXED.format((4, 1, 4, 4), (4, 1, 1, 1))),
        (moved, "bmm " + MIXED.format((1, 16, 4096), (1, 4, 16))),
        (drawn_there, "rand " + DRAWN),
    ],
)
def test_the_training_loop(monkeypatch, augment, message):
    monkeypatch.setattr(trainer, "augment", augment)
    faults = failed(check_model_placement(TinyAutoregression))
    assert faults.keys() == {"training"}
    assert faults["training"].startswith(message)


def test_augmentation_and_examination():
    recipe = Recipe(translate=0.5, horizontal_flip=True, mutation_rate=0.3)
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (5, 3, 4, 4), np.uint8))
    model = TinyAutoregression(Images(3, 4, 4, bits=2))

    def compute(device):
        examine(copy.deepcopy(model).to(device), x.to(device))
        return {"augmented": augment(x.to(device), recipe, 4, generator(0, "test"))}

    same_on_both(compute)


@pytest.mark.parametrize("model", [TinyAutoregression, TinyFlow])
def test_models_of_the_kit(model):
    assert_conforms(check_model_placement(model))


def test_waits_in_every_step_are_a_remark():
    class Waits(Good):
        def training_loss(self, x, generator):
            loss = -self.log_prob(x).mean()
            return loss if loss.item() > 0 else loss * 2  # wait

    (check,) = (c for c in check_model_placement(Waits) if c.name == "training")
    assert check.outcome == "passed"
    place = line_of("wait").strip("()")
    assert check.message == f"on a GPU, every step would wait at {place}"


@pytest.mark.parametrize("layers", [1, 12])
def test_an_epoch_waits_three_times_however_many_layers(layers):
    """For the last losses, for their mean, and for whether the weights are finite."""

    class Deep(Good):
        def __init__(self, domain):
            super().__init__(domain)
            self.more = nn.ParameterList(torch.zeros(1) for _ in range(layers))

        def log_prob(self, x):
            return super().log_prob(x) + sum(self.more)

    images = np.zeros((6, 1, 4, 4), np.uint8)
    component = SimpleNamespace(build=Deep, recipe=Recipe(minibatch=2, translate=0.3))
    with emulated_device() as emulation:
        training = trainer.Training(component, Images(1, 4, 4), images, 0, DEVICE)
        emulation.waits.clear()
        training.run_epoch(lambda examples: None)
    assert emulation.waits.total() == 3


def test_lists_as_indices_and_new_tensors_have_values_there():
    """Torch makes their tensors past all dispatch: on its own device of this kind, empty ones."""
    x = torch.arange(12.0).reshape(3, 4)

    def made(device):
        y = x.to(device)
        z = y.clone()
        z[[0, 2]] = 7
        return {
            "rows": y[[2, 0]],
            "pairs": y[[0, 1], [1, 2]],
            "mask": y[[True, False, True]],
            "array": y[:, np.array([3, 1])],
            "none": y[[]],
            "written": z,
            "tensor": torch.tensor([[1.0, 2.0]], device=device),
            "like": y.new_tensor([3, 4]),
            "converted": torch.as_tensor(np.ones(3), device=device),
            "singular values": torch.linalg.svdvals(y),
            "text": f"{y.sum():.1f}",
            "list": y.tolist(),
        }

    same_on_both(made)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + torch.ones(()),
        lambda x: torch.where(x > 1, torch.ones(()), x),
        lambda x: x[torch.tensor([0, 1])],
        lambda x: x[torch.tensor([True, False, True])],
        lambda x: x.clone().index_put_((torch.tensor([0]),), torch.ones(())),
        lambda x: x.clone().copy_(torch.ones(4)),
        lambda x: torch.zeros(3, 4).copy_(x),
    ],
)
def test_what_torch_lets_mix(mix):
    x = torch.arange(12.0).reshape(3, 4)
    with emulated_device():
        assert torch.equal(mix(x.to(DEVICE)).cpu(), mix(x))


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + torch.ones(4),
        lambda x: torch.ones(3, 4) * x.sum(),
        lambda x: torch.ones(()).add_(x.sum()),
        lambda x: torch.stack([x.sum(), torch.ones(())]),
        lambda x: torch.ones(3)[x[0].long().clamp(max=2)],
        lambda x: x.clone().index_put_((torch.tensor([0]),), torch.ones(4)),
        lambda x: x.gather(1, torch.zeros(3, 1, dtype=torch.long)),
        lambda x: x @ torch.ones(4, 1),
        lambda x: torch.cat([x, torch.ones(1, 4)]),
    ],
)
def test_what_torch_refuses(mix):
    with pytest.raises(Fault, match="mixes tensors"), emulated_device():
        mix(torch.arange(12.0).reshape(3, 4).to(DEVICE))


def test_views_and_parameters_are_shared_as_on_a_device():
    layer = nn.Linear(2, 3)
    tied, optimizer = nn.Linear(2, 3), torch.optim.SGD(layer.parameters(), lr=1.0)
    tied.weight = layer.weight
    model = nn.Sequential(layer, tied)
    with emulated_device():
        model.to(DEVICE)
        assert len(list(model.parameters())) == 3
        assert optimizer.param_groups[0]["params"][0] is tied.weight
        x = torch.zeros(2, 2).to(DEVICE)
        x[0].add_(1)
        assert x.tolist() == [[1, 1], [0, 0]]
        assert x[1].untyped_storage()._cdata == x.untyped_storage()._cdata
        assert model.to("cpu")[0].weight.device.type == "cpu"
