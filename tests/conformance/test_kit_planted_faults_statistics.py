"""The kit for statistics against planted faults: each is found by the check that is there for it.

A good one passes everything; every fault is a small change to it, and the set of checks that fail
is exactly that expected.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.testing.toy_models import TinyAutoregression
from oodbench import Images, NotFittedError
from oodbench.testing import assert_conforms, check_statistic


def failed(checks):
    return {check.name: check.message for check in checks if check.outcome == "failed"}


def named(checks, name):
    (found,) = (check for check in checks if check.name == name)
    return found


class GoodStatistic:
    """Squared norm of the gradient of each parameter, by autograd."""

    per = "group"

    def features(self, model):
        return [name for name, _ in model.named_parameters()]

    def value(self, model, group):
        return model.log_prob(group).sum()

    def __call__(self, model, groups):
        parameters = [p for _, p in model.named_parameters()]
        rows = []
        for group in groups:
            gradients = torch.autograd.grad(self.value(model, group), parameters)
            rows.append([float(g.double().square().sum()) for g in gradients])
        return np.array(rows)


class GoodExampleStatistic:
    per = "example"

    def features(self, model):
        return ("log_prob", "dims")

    def __call__(self, model, groups):
        with torch.no_grad():
            values = model.log_prob(groups[:, 0]).double()
        return torch.stack([values, torch.full_like(values, model.domain.dims)], 1).numpy()


class GoodFitted(GoodStatistic):
    """Squared norms, each in units of its mean over the fit examples."""

    def fit(self, model, examples):
        self.scale = super().__call__(model, examples.unsqueeze(1)).mean(axis=0)
        return self

    def __call__(self, model, groups):
        if not hasattr(self, "scale"):
            raise NotFittedError("not fitted")
        return super().__call__(model, groups) / self.scale


class FitsNothing(GoodFitted):
    def fit(self, model, examples):
        super().fit(model, examples)


class FitWrites(GoodFitted):
    def fit(self, model, examples):
        super().fit(model, examples)
        examples.zero_()
        return self


class FitTrains(GoodFitted):
    def fit(self, model, examples):
        model.train()
        return super().fit(model, examples)


class FitsOnce(GoodFitted):
    def fit(self, model, examples):
        return self if hasattr(self, "scale") else super().fit(model, examples)


class FitsToNoExample(GoodFitted):
    def fit(self, model, examples):
        return super().fit(model, torch.zeros_like(examples))


class NeedsNoFit(GoodFitted):
    scale = 1.0

    def fit(self, model, examples):
        self.scale = super(GoodFitted, self).__call__(model, examples.unsqueeze(1)).mean(axis=0)
        return self


class FitsToTheFirst(GoodFitted):
    def fit(self, model, examples):
        return super().fit(model, examples[:1])


class LeavesGradients(GoodStatistic):
    def __call__(self, model, groups):
        rows = []
        for group in groups:
            for _, parameter in model.named_parameters():
                parameter.grad = None
            self.value(model, group).backward()
            rows.append([float(p.grad.square().sum()) for _, p in model.named_parameters()])
        return np.array(rows)


class DropsGradients(LeavesGradients):
    """Clean after itself, and after others."""

    def __call__(self, model, groups):
        rows = super().__call__(model, groups)
        for _, parameter in model.named_parameters():
            parameter.grad = None
        return rows


class Freezes(GoodStatistic):
    def __call__(self, model, groups):
        values = super().__call__(model, groups)
        for _, parameter in model.named_parameters():
            parameter.requires_grad_(False)
        return values


class TrainsOn(GoodStatistic):
    def __call__(self, model, groups):
        model.train()
        return super().__call__(model, groups)


class StepsTheModel(GoodStatistic):
    """An optimisation step that is never taken back."""

    def __call__(self, model, groups):
        values = super().__call__(model, groups)
        with torch.no_grad():
            for _, parameter in model.named_parameters():
                parameter.mul_(1.1)
        return values


class LeavesGradOff(GoodExampleStatistic):
    def __call__(self, model, groups):
        torch.set_grad_enabled(False)
        return super().__call__(model, groups)


class DependsOnBatch(GoodStatistic):
    def __call__(self, model, groups):
        values = super().__call__(model, groups)
        return values / values.mean(axis=0)


class CountsGroups(GoodStatistic):
    def __call__(self, model, groups):
        return super().__call__(model, groups) * (1 + np.arange(len(groups)))[:, None]


class FirstCounts(GoodStatistic):
    def value(self, model, group):
        return super().value(model, group) + model.log_prob(group)[0]


class WritesGroups(GoodStatistic):
    def __call__(self, model, groups):
        values = super().__call__(model, groups)
        groups.zero_()
        return values


class NoisyStatistic(GoodStatistic):
    def __call__(self, model, groups):
        return super().__call__(model, groups) + torch.rand(()).item()


class SingleStatistic(GoodStatistic):
    def __call__(self, model, groups):
        return super().__call__(model, groups).astype(np.float32)


class TooFewNames(GoodStatistic):
    def features(self, model):
        return super().features(model)[:1]


class NaNStatistic(GoodExampleStatistic):
    def __call__(self, model, groups):
        return super().__call__(model, groups) * math.nan


class GoodAlone:
    """Of the examples alone."""

    per = "example"
    reads_model = False

    def features(self, model):
        return ("darkest",)

    def __call__(self, model, groups):
        return groups.flatten(1).double().amin(1)[:, None].numpy()


class AsksTheModel(GoodAlone):
    def __call__(self, model, groups):
        return super().__call__(model, groups) / model.domain.levels


class LooksAtTheModel(GoodAlone):
    def __call__(self, model, groups):
        return super().__call__(model, groups) + (model is None)


class NamesByModel(GoodAlone):
    def features(self, model):
        return ("darkest" if model is None else "brightest",)


class PerNothing(GoodStatistic):
    per = "batch"


@pytest.mark.parametrize("domain", [Images(1, 2, 2, bits=2), Images(3, 2, 1)])
@pytest.mark.parametrize("statistic", [GoodStatistic, GoodExampleStatistic, GoodFitted, GoodAlone])
def test_good_statistics_conform(statistic, domain):
    assert_conforms(check_statistic(statistic, domain=domain))


def test_a_model_of_ones_own():
    built = []

    def build(domain):
        built.append(TinyAutoregression(domain, seed=3))
        return built[-1]

    assert_conforms(check_statistic(GoodStatistic, model=build, domain=Images(1, 1, 2, bits=1)))
    assert built
    assert {model.domain for model in built} == {Images(1, 1, 2, bits=1)}


STATISTIC_FAULTS = {
    "leaving .grad": (LeavesGradients, {"left_as_found"}, "a .grad field"),
    "dropping .grad": (DropsGradients, {"left_as_found"}, "a .grad field"),
    "freezing the model": (Freezes, {"left_as_found", "deterministic"}, "a requires_grad flag"),
    "training mode": (TrainsOn, {"left_as_found"}, "the training mode"),
    "stepping the model": (StepsTheModel, {"left_as_found", "deterministic"}, "the state"),
    "depending on the batch": (DependsOnBatch, {"per_group"}, "the other groups"),
    "depending on the place": (CountsGroups, {"per_group"}, "the other groups"),
    "a first among equals": (FirstCounts, {"order_within_group"}, "a group is a set"),
    "writing into the groups": (WritesGroups, {"input_untouched"}, "work on a copy"),
    "noise": (NoisyStatistic, {"deterministic"}, "random draws"),
    "float32": (SingleStatistic, {"shape_and_dtype"}, "not float32"),
    "too few names": (TooFewNames, {"shape_and_dtype"}, "(6, 3), not (6, 1)"),
    "NaN": (NaNStatistic, {"finite"}, "12 of 12 values"),
    "a fit of nothing": (FitsNothing, {"fit_as_found"}, "not NoneType"),
    "a fit that writes": (FitWrites, {"fit_as_found"}, "into the examples"),
    "a fit that trains": (FitTrains, {"fit_as_found"}, "the training mode"),
    "a fit for good": (FitsOnce, {"refit"}, "an earlier fit"),
    "a fit to no example": (FitsToNoExample, {"refit"}, "remove the unneeded `fit`"),
    "no need of a fit": (NeedsNoFit, {"refit"}, "a call before fit returns values"),
    "a fit to the first": (FitsToTheFirst, {"fit_is_of_a_set"}, "the order of the fit"),
    "asking a model": (AsksTheModel, {"without_a_model"}, "without a model raises AttributeError"),
    "looking at a model": (LooksAtTheModel, {"without_a_model"}, "differ without a model"),
    "naming by a model": (NamesByModel, {"without_a_model"}, "differ without a model"),
    "per nothing": (PerNothing, {"interface"}, "'batch'"),
}


@pytest.mark.parametrize("name", STATISTIC_FAULTS)
def test_statistic_faults(name, examine):
    statistic, names, text = STATISTIC_FAULTS[name]
    status, checks = examine("statistics", statistic)
    assert status == 1
    assert failed(checks).keys() == names
    assert any(text in named(checks, check).message for check in names)


def test_a_statistic_that_leaves_gradients_off():
    with torch.enable_grad():
        checks = check_statistic(LeavesGradOff)
    assert failed(checks).keys() == {"left_as_found"}
    assert "whether gradients are enabled" in named(checks, "left_as_found").message
    assert torch.is_grad_enabled()
