"""The statistics against slow definitions, closed forms and finite differences."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from harness.testing.toy_models import TinyAutoregression
from oodbench import DensityModel, Images, UnsupportedError
from oodbench.testing import assert_conforms, check_statistic
from plugins.models.glow import glow
from plugins.statistics.layer_gradient_sq_norms import LayerGradientSqNorms
from plugins.statistics.layer_sizes import LayerSizes
from plugins.statistics.log_prob import LogProb
from plugins.statistics.log_prob_terms import LogProbTerms

DOMAIN = Images(1, 1, 3, bits=3)


class LinearGaussian(nn.Module):
    """z = W y + c at the middle y of the bin; log p = log N(z; 0, I) + log|det W| - D log 2^k."""

    likelihood = "exact"

    def __init__(self, domain=DOMAIN, *, dtype=torch.float64):
        super().__init__()
        self.domain = domain
        generator = torch.Generator().manual_seed(7)
        noise = torch.randn(domain.dims, domain.dims, generator=generator, dtype=dtype)
        self.weight = nn.Parameter(torch.eye(domain.dims, dtype=dtype) * 2 + 0.3 * noise)
        self.shift = nn.Parameter(torch.tensor([0.3, -1.0, 0.6], dtype=dtype))
        self.unused = nn.Parameter(torch.ones(4, dtype=dtype))

    def bins(self, x):
        return (x.flatten(1).to(self.weight.dtype) + 0.5) / self.domain.levels

    def log_prob(self, x):
        z = self.bins(x) @ self.weight.T + self.shift
        base = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
        ladj = torch.linalg.slogdet(self.weight).logabsdet
        return base + ladj - self.domain.dims * self.domain.bits * math.log(2)


def examples(groups, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (groups, size, *DOMAIN.shape)
    return torch.randint(DOMAIN.levels, shape, generator=generator, dtype=torch.uint8)


def closed_form(model, groups):
    """d/dc = -sum z and d/dW = -sum z y^T + b W^-T, in NumPy."""
    weight = model.weight.detach().double().numpy()
    shift = model.shift.detach().double().numpy()
    rows = []
    for group in groups:
        y = (group.flatten(1).double().numpy() + 0.5) / DOMAIN.levels
        z = y @ weight.T + shift
        d_weight = -z.T @ y + len(y) * np.linalg.inv(weight).T
        d_shift = -z.sum(axis=0)
        rows.append([np.sum(d_weight**2), np.sum(d_shift**2), 0.0])
    return np.array(rows)


def backward_loop(model, groups):
    """One explicit backward per group and example, squares summed one by one in Python."""
    rows = []
    for group in groups:
        model.zero_grad(set_to_none=True)
        for x in group:
            model.log_prob(x[None]).sum().backward()
        row = []
        for _, parameter in model.named_parameters():
            gradient = [] if parameter.grad is None else parameter.grad.flatten().tolist()
            row.append(sum(value * value for value in gradient))
        rows.append(row)
    model.zero_grad(set_to_none=True)
    return np.array(rows)


def finite_differences(model, groups, step=1e-5):
    """Central differences of the summed log-probability, one entry of one tensor at a time."""
    rows = np.zeros((len(groups), 3))
    with torch.no_grad():
        for m, group in enumerate(groups):
            for j, (_, parameter) in enumerate(model.named_parameters()):
                flat = parameter.view(-1)
                for i in range(flat.numel()):
                    value = flat[i].item()
                    flat[i] = value + step
                    above = model.log_prob(group).sum().item()
                    flat[i] = value - step
                    below = model.log_prob(group).sum().item()
                    flat[i] = value
                    rows[m, j] += ((above - below) / (2 * step)) ** 2
    return rows


def test_the_linear_gaussian_is_a_density_model():
    assert isinstance(LinearGaussian(), DensityModel)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("oracle", [closed_form, backward_loop])
def test_layer_norms_match_exact_oracles(oracle, size):
    model, groups = LinearGaussian(), examples(6, size)
    norms = LayerGradientSqNorms()(model, groups)
    np.testing.assert_allclose(norms, oracle(model, groups), rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [1, 5])
def test_layer_norms_match_finite_differences(size):
    model, groups = LinearGaussian(), examples(3, size)
    norms = LayerGradientSqNorms()(model, groups)
    np.testing.assert_allclose(norms, finite_differences(model, groups), rtol=1e-7, atol=1e-12)


def test_layer_norms_are_of_the_sum_not_of_the_sum_of_norms():
    model, group = LinearGaussian(), examples(1, 5)
    norms = LayerGradientSqNorms()(model, group)
    single = LayerGradientSqNorms()(model, group.transpose(0, 1))
    assert not np.allclose(norms[0, :2], single[:, :2].sum(axis=0), rtol=1e-3)
    repeated = group[:, :1].expand(1, 5, *DOMAIN.shape)
    np.testing.assert_allclose(
        LayerGradientSqNorms()(model, repeated)[0], 25 * single[0], rtol=1e-12
    )


def test_layer_norms_shape_dtype_and_names():
    model = LinearGaussian()
    statistic = LayerGradientSqNorms()
    norms = statistic(model, examples(4, 2))
    assert (norms.dtype, norms.shape) == (np.dtype("float64"), (4, 3))
    assert statistic.per == "group"
    assert statistic.features(model) == ("weight", "shift", "unused")
    assert statistic(model, examples(0, 2)).shape == (0, 3)


def test_layer_norms_of_an_unreached_parameter_are_zero():
    assert (LayerGradientSqNorms()(LinearGaussian(), examples(4, 2))[:, 2] == 0.0).all()


def test_layer_norms_name_a_shared_tensor_once():
    model = LinearGaussian()
    before = LayerGradientSqNorms()(model, examples(4, 2))
    model.alias = model.weight
    assert LayerGradientSqNorms().features(model) == ("weight", "shift", "unused")
    np.testing.assert_array_equal(LayerGradientSqNorms()(model, examples(4, 2)), before)


def test_a_frozen_parameter_is_a_layer_like_the_others():
    model, groups = LinearGaussian(), examples(4, 2)
    expected = LayerGradientSqNorms()(model, groups)
    model.weight.requires_grad_(False)
    np.testing.assert_array_equal(LayerGradientSqNorms()(model, groups), expected)
    assert not model.weight.requires_grad
    assert model.shift.requires_grad


@pytest.mark.parametrize("training", [True, False])
def test_layer_norms_leave_the_model_as_found(training):
    model = LinearGaussian().train(training)
    model.shift.grad = torch.full_like(model.shift, 3.0)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    LayerGradientSqNorms()(model, examples(4, 2))
    assert model.weight.grad is None
    assert model.unused.grad is None
    assert torch.equal(model.shift.grad, torch.full_like(model.shift, 3.0))
    assert model.training is training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_flags_are_restored_when_the_model_fails():
    model = LinearGaussian()
    model.weight.requires_grad_(False)
    model.log_prob = lambda x: 1 / 0
    with pytest.raises(ZeroDivisionError):
        LayerGradientSqNorms()(model, examples(1, 1))
    assert not model.weight.requires_grad


def test_layer_norms_under_no_grad():
    model, groups = LinearGaussian(), examples(4, 2)
    expected = LayerGradientSqNorms()(model, groups)
    with torch.no_grad():
        np.testing.assert_array_equal(LayerGradientSqNorms()(model, groups), expected)
        assert not torch.is_grad_enabled()


def test_a_detached_model_is_an_error_not_a_row_of_zeros():
    model = LinearGaussian()
    attached = model.log_prob
    model.log_prob = lambda x: attached(x).detach()
    message = "log_prob of LinearGaussian does not depend on any parameter"
    with pytest.raises(UnsupportedError, match=f"^{message}$"):
        LayerGradientSqNorms()(model, examples(1, 1))


class Linear(nn.Module):
    """Its gradient is the given vector, whatever the example."""

    domain = DOMAIN
    likelihood = "unnormalized"

    def __init__(self, gradient):
        super().__init__()
        self.gradient = gradient
        self.weight = nn.Parameter(torch.zeros_like(gradient))

    def log_prob(self, x):
        return (self.weight * self.gradient).sum().expand(len(x))


def test_squares_are_accumulated_in_float64():
    # In float32 the square of 1e25 overflows, and 1e8 swallows a thousand ones.
    for values in ([1e25], [1e4] + [1.0] * 1000):
        gradient = torch.tensor(values, dtype=torch.float32)
        norms = LayerGradientSqNorms()(Linear(gradient), examples(1, 1))
        expected = sum(value * value for value in gradient.tolist())
        assert norms[0, 0] == pytest.approx(expected, rel=1e-14)


def test_layer_norms_of_a_float32_model_match_the_closed_form():
    model, groups = LinearGaussian(dtype=torch.float32), examples(6, 5)
    norms = LayerGradientSqNorms()(model, groups)
    np.testing.assert_allclose(norms, closed_form(model, groups), rtol=1e-5)


def test_log_prob_matches_the_normal_density():
    model, groups = LinearGaussian(), examples(8, 1)
    values = LogProb()(model, groups)
    weight, shift = model.weight.detach().numpy(), model.shift.detach().numpy()
    for value, group in zip(values[:, 0], groups, strict=True):
        z = weight @ ((group.numpy().reshape(-1) + 0.5) / 8) + shift
        expected = -0.5 * sum(v * v + math.log(2 * math.pi) for v in z)
        expected += math.log(abs(np.linalg.det(weight))) - 3 * 3 * math.log(2)
        assert value == pytest.approx(expected, rel=1e-12)


def test_log_prob_shape_dtype_and_names():
    statistic, model = LogProb(), LinearGaussian(dtype=torch.float32)
    values = statistic(model, examples(8, 1))
    assert (values.dtype, values.shape) == (np.dtype("float64"), (8, 1))
    assert statistic.per == "example"
    assert statistic.features(model) == ("log_prob",)


def test_log_prob_builds_no_graph():
    class Watching(LinearGaussian):
        def log_prob(self, x):
            values = super().log_prob(x)
            self.built_graph = values.requires_grad
            return values

    model = Watching()
    LogProb()(model, examples(2, 1))
    assert not model.built_graph


def test_log_prob_is_not_of_groups():
    with pytest.raises(
        ValueError, match=r"^log_prob is per example: expected groups with 1 example, not 5$"
    ):
        LogProb()(LinearGaussian(), examples(2, 5))


def test_log_prob_terms_are_those_of_the_model_in_its_order():
    model, groups = TinyAutoregression(DOMAIN).double(), examples(4, 1)
    statistic = LogProbTerms()
    terms = model.log_prob_terms(groups[:, 0])
    assert tuple(statistic.features(model)) == tuple(terms) == ("pixel.0", "pixel.1", "pixel.2")
    values = statistic(model, groups)
    for column, term in enumerate(terms.values()):
        np.testing.assert_array_equal(values[:, column], term.detach().numpy())
    np.testing.assert_allclose(values.sum(1), LogProb()(model, groups)[:, 0], rtol=1e-13)


def test_log_prob_terms_are_not_of_groups_and_not_of_every_model():
    message = r"^log_prob_terms is per example: expected groups with 1 example, not 5$"
    with pytest.raises(ValueError, match=message):
        LogProbTerms()(TinyAutoregression(DOMAIN), examples(2, 5))
    message = (
        r"^log_prob_terms needs a model with log_prob_terms; LinearGaussian lacks this method$"
    )
    for call in (LogProbTerms().features, lambda model: LogProbTerms()(model, examples(2, 1))):
        with pytest.raises(UnsupportedError, match=message):
            call(LinearGaussian())


@pytest.mark.parametrize(
    "module",
    [
        "plugins.statistics",
        "plugins.statistics.log_prob",
        "plugins.statistics.log_prob_terms",
        "plugins.statistics.layer_gradient_sq_norms",
        "plugins.scorers",
        "plugins.scorers.gradient_gaussian",
        "oodbench.testing",
    ],
)
def test_importing_needs_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("model", [TinyAutoregression, LinearGaussian])
@pytest.mark.parametrize("statistic", [LogProb, LayerGradientSqNorms])
def test_built_in_statistics_conform(statistic, model):
    assert_conforms(check_statistic(statistic, model=model, domain=DOMAIN))


# layer_sizes


def test_layer_sizes_are_numbers_of_elements():
    model = glow(Images(1, 4, 4), levels=1, steps=1, width=3)
    statistic = LayerSizes()
    sizes = statistic(model, torch.zeros((2, 5, 1, 4, 4), dtype=torch.uint8))
    expected = {name: p.numel() for name, p in model.named_parameters()}
    assert sizes.dtype == np.float64
    for row in sizes:
        assert dict(zip(statistic.features(model), row, strict=True)) == expected
    assert expected["levels.0.steps.0.coupling.conv1.weight"] == 3 * 2 * 9
