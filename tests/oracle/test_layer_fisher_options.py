"""What the sources of the Fisher statistics do otherwise: plain K-FAC, and absolute damping."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from plugins.statistics.layer_fisher import (
    LayerFisherDiagonal,
    LayerFisherEkfac,
    LayerFisherKfac,
)
from tests.oracle.layer_gradient_models import (
    DOMAIN,
    FEATURES,
    Density,
    Plain,
    flat,
    groups_of,
    randomised,
)
from tests.oracle.test_layer_fisher import (
    DAMPING,
    EKFAC_CASES,
    calls_of,
    diagonal,
    evaluated,
    examples_of,
    explicit_products,
    loop,
    weighted_modules,
)


def kfac(fit, found, a, d, size):
    """K-FAC by a dense Kronecker product; arguments as for `ekfac`, without rescaling."""
    fisher = np.kron(d.T @ d / len(d), a.T @ a / len(fit))
    damped = fisher + DAMPING * np.trace(fisher) / len(fisher) * np.eye(len(fisher))
    rows = found.reshape(len(found), -1)
    return np.einsum("mi,ij,mj->m", rows, np.linalg.inv(damped), rows) / size


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("name", EKFAC_CASES)
def test_kfac_is_the_dense_kronecker_product(name, size):
    make, number, rows_of = EKFAC_CASES[name]
    torch.manual_seed(1)
    model = randomised(make())
    examples, groups = examples_of(DOMAIN, 40), groups_of(DOMAIN, 3, size)
    module = weighted_modules(model)[number]
    column, products = explicit_products(model, module, rows_of, examples, groups)
    found = evaluated(LayerFisherKfac(damping=DAMPING), model, examples, groups)
    np.testing.assert_allclose(found[:, column], kfac(*products), rtol=1e-8)
    rescaled = evaluated(LayerFisherEkfac(damping=DAMPING), model, examples, groups)
    assert not np.allclose(found[:, column], rescaled[:, column], rtol=1e-3)
    plain = diagonal(model, examples, groups)
    biases = [k for k, (n, _) in enumerate(model.named_parameters()) if n.endswith("bias")]
    np.testing.assert_allclose(found[:, biases], plain[:, biases], rtol=1e-9)


class Positions(Density):
    """log p = sum over two positions p of d(p)^T W a(p): any functions of four pixels."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3, bias=False)
        generator = torch.Generator().manual_seed(0)
        a = torch.randn(4, 2, generator=generator)
        self.register_buffer("a", a - a.mean(0))
        self.register_buffer("d", torch.randn(4, 3, generator=generator))

    def log_prob(self, x):
        codes = x.flatten(1)[:, :4].long() % 4
        return (self.d[codes[:, 2:]] * self.linear(self.a[codes[:, :2]])).sum((1, 2))


def test_kfac_is_the_fisher_information_where_its_assumptions_hold():
    """Over all combinations, inputs, output gradients and positions are independent."""
    model = Positions().double()
    examples = torch.zeros(256, *DOMAIN.shape, dtype=torch.uint8)
    combinations = list(itertools.product(range(4), repeat=4))
    examples.flatten(1)[:, :4] = torch.tensor(combinations, dtype=torch.uint8)
    groups = groups_of(DOMAIN, 6, 5)
    rows = loop(model, examples.unsqueeze(1))[0].flatten(1).numpy()
    inverse = np.linalg.inv(rows.T @ rows / 256)
    g = loop(model, groups)[0].flatten(1).numpy()
    expected = np.einsum("mi,ij,mj->m", g, inverse, g) / 5
    found = evaluated(LayerFisherKfac(damping=1e-12), model, examples, groups)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-8)


def test_kfac_of_a_long_side_is_the_diagonal():
    torch.manual_seed(1)
    model = randomised(flat(nn.Linear(FEATURES, 3, bias=False)))
    examples, groups = examples_of(DOMAIN, 20), groups_of(DOMAIN, 3, 2)
    whole, just, below = (
        evaluated(LayerFisherKfac(damping=DAMPING, max_factor=rows), model, examples, groups)
        for rows in (1024, FEATURES, FEATURES - 1)
    )
    np.testing.assert_array_equal(just, whole)
    np.testing.assert_allclose(below, diagonal(model, examples, groups), rtol=1e-9)


def test_kfac_of_a_grouped_convolution_has_factors_for_each_group():
    """Three groups of channels are three convolutions, of which the damping alone is shared."""
    model = randomised(Plain(nn.Conv2d(3, 6, 2, groups=3, bias=False)))
    examples, groups = examples_of(DOMAIN, 30), groups_of(DOMAIN, 3, 2)
    (module,) = weighted_modules(model)
    (x,), (delta,) = calls_of(model, module, examples)
    blocks = []
    for block in range(3):
        a = F.unfold(x[:, [block]], 2).mT.flatten(0, 1).numpy()
        d = delta[:, 2 * block : 2 * block + 2].movedim(1, -1).flatten(0, 2).numpy()
        blocks.append(np.kron(d.T @ d / len(d), a.T @ a / len(examples)))
    mean = sum(np.trace(block) for block in blocks) / sum(len(block) for block in blocks)
    g = loop(model, groups)[0].numpy().reshape(3, 3, -1)  # groups, blocks, 2 x 4 weights
    expected = sum(
        np.einsum("mi,ij,mj->m", rows, np.linalg.inv(block + DAMPING * mean * np.eye(8)), rows)
        for rows, block in zip(g.swapaxes(0, 1), blocks, strict=True)
    )
    found = evaluated(LayerFisherKfac(damping=DAMPING), model, examples, groups)
    np.testing.assert_allclose(found[:, 0], expected / 2, rtol=1e-8)


@pytest.mark.parametrize("damping", [1e-8, 3.0])
def test_absolute_damping_is_added_as_it_is(damping):
    """F + damping, with no factor of the mean of F."""
    torch.manual_seed(1)
    model = randomised(flat(nn.Linear(FEATURES, 3), nn.Tanh(), nn.Linear(3, 2)))
    examples, groups = examples_of(DOMAIN, 40), groups_of(DOMAIN, 3, 2)
    fit, found = loop(model, examples.unsqueeze(1)), loop(model, groups)
    expected = [
        (g.square() / (f.square().mean(0) + damping)).flatten(1).sum(1) / 2
        for g, f in zip(found, fit, strict=True)
    ]
    options = {"damping": damping, "damping_unit": "absolute"}
    values = evaluated(LayerFisherDiagonal(**options), model, examples, groups)
    np.testing.assert_allclose(values, torch.stack(expected, dim=1).numpy(), rtol=1e-9)
    relative = evaluated(LayerFisherDiagonal(damping=damping), model, examples, groups)
    assert (damping == 1e-8) == np.allclose(relative, values, rtol=1e-3)


@pytest.mark.parametrize("make", [LayerFisherEkfac, LayerFisherKfac])
def test_absolute_damping_of_factors(make):
    """Relative damping, in absolute units: the mean of F over the only layer."""
    torch.manual_seed(1)
    model = randomised(flat(nn.Linear(FEATURES, 3, bias=False)))
    examples, groups = examples_of(DOMAIN, 40), groups_of(DOMAIN, 3, 2)
    (module,) = weighted_modules(model)
    _, (fit, _, a, d, _) = explicit_products(
        model, module, EKFAC_CASES["linear"][2], examples, groups
    )
    product = np.square(a).sum() * np.square(d).sum() / len(a) / len(fit) / fit[0].size
    mean = product if make is LayerFisherKfac else np.square(fit).mean()
    relative = evaluated(make(damping=DAMPING), model, examples, groups)
    options = {"damping": DAMPING * mean, "damping_unit": "absolute"}
    np.testing.assert_allclose(
        evaluated(make(**options), model, examples, groups), relative, rtol=1e-9
    )
