"""Layer gradients where the log-probability is not finite, although autograd gives a number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oodbench import Images, ScoreError
from plugins.statistics.layer_fisher import LayerFisherDiagonal
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.reference import looped_layer_gradients

DOMAIN = Images(1, 3, 4)


class Holed(torch.nn.Module):
    """A density that is zero for examples with a bright first pixel, in one of three forms."""

    likelihood = "estimate"

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.domain = DOMAIN
        self.layer = torch.nn.Linear(DOMAIN.dims, 1) if form == "module" else None
        self.shift = torch.nn.Parameter(torch.zeros(()))

    def log_prob(self, x):
        y = x.flatten(1).to(self.shift.dtype) / 255
        values = -(y - self.shift).square().sum(1)
        if self.layer is not None:
            values = values + self.layer(y)[:, 0]
        if self.form == "loop":
            values = Untraced.apply(values)
        return torch.where(x.flatten(1)[:, 0] > 127, -torch.inf, values)


class Untraced(torch.autograd.Function):
    """The identity, which automatic vectorisation cannot pass."""

    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


@pytest.mark.parametrize("form", ["module", "parameter", "loop"])
@pytest.mark.parametrize("size", [1, 2])
def test_groups_without_a_finite_objective_have_no_norms(form, size):
    torch.manual_seed(0)
    model = Holed(form).eval()
    groups = torch.randint(0, 100, (6, size, *DOMAIN.shape), dtype=torch.uint8)
    whole = LayerGradientEngine()(model, groups)
    assert whole.isfinite().all()
    groups[1, -1].view(-1)[0] = groups[4, -1].view(-1)[0] = 200
    for found in (LayerGradientEngine()(model, groups), looped_layer_gradients(model, groups)):
        assert found[[1, 4]].isnan().all()
        kept = [0, 2, 3, 5]
        assert torch.allclose(found[kept], whole[kept], rtol=1e-5)


@pytest.mark.parametrize("form", ["module", "parameter", "loop"])
def test_a_fisher_information_needs_finite_log_probabilities(form):
    torch.manual_seed(0)
    model = Holed(form).eval()
    examples = torch.randint(0, 100, (6, *DOMAIN.shape), dtype=torch.uint8)
    statistic = LayerFisherDiagonal().fit(model, examples)
    group = examples[:2].clone().unsqueeze(1)
    group[1].view(-1)[0] = 200
    assert statistic(model, group).tolist()[0] != [0.0] * 3
    assert np.isnan(statistic(model, group)[1]).all()
    examples[3].view(-1)[0] = 200
    with pytest.raises(ScoreError, match="1 of 6 fit examples; the first is fit example 3"):
        LayerFisherDiagonal().fit(model, examples)
