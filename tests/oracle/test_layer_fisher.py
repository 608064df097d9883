"""The Fisher score statistics against dense and explicit definitions, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from oodbench import Images, NotFittedError, ScoreError, UnsupportedError
from oodbench.testing import assert_conforms, check_statistic
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.scorers.fisher import FisherDiagonal, FisherEkfac
from plugins.scorers.gradient_gaussian import GradientGaussian
from plugins.statistics.fisher import gradients as fisher_gradients
from plugins.statistics.layer_fisher import (
    LayerFisherDiagonal,
    LayerFisherEkfac,
    LayerFisherKfac,
)
from plugins.statistics.layer_gradients import engine as engine_module
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.plan import plan_without_fused_rules
from tests.oracle.layer_gradient_models import (
    DOMAIN,
    FEATURES,
    Convolved,
    Custom,
    Density,
    Energy,
    Experts,
    Pixels,
    Plain,
    Twice,
    flat,
    groups_of,
    randomised,
    with_unused_parameter,
)
from tests.unit.plugins.odd_models import Branching

DAMPING = 0.03
COLOUR, GRAY = Images(3, 4, 4), Images(1, 4, 4, bits=5)


def loop(model, groups):
    """Gradients by autograd, group by group: for each layer float64 (M, ...)."""
    parameters = [p.requires_grad_() for _, p in model.named_parameters()]
    rows = [
        torch.autograd.grad(model.log_prob(x).sum(), parameters, allow_unused=True) for x in groups
    ]
    return [
        torch.stack([torch.zeros_like(p) if row[k] is None else row[k] for row in rows])
        for k, p in enumerate(parameters)
    ]


def quadratic(group, fit, size):
    """g^T F^-1 g / b with a damped diagonal F, of gradients (M, n) and fit gradients (N, n)."""
    fisher = fit.square().mean(0)
    if not fisher.any():
        return torch.zeros(len(group), dtype=torch.float64)
    return (group.square() / (fisher + DAMPING * fisher.mean())).sum(1) / size


def diagonal(model, examples, groups):
    """The definition of the diagonal statistic."""
    fit, found = loop(model, examples.unsqueeze(1)), loop(model, groups)
    columns = [
        quadratic(g.reshape(len(g), -1), f.reshape(len(f), -1), groups.shape[1])
        for g, f in zip(found, fit, strict=True)
    ]
    return torch.stack(columns, dim=1).numpy()


def examples_of(domain, count, seed=3):
    return groups_of(domain, count, 1, seed=seed)[:, 0]


def evaluated(statistic, model, examples, groups):
    return statistic.fit(model, examples)(model, groups)


class Scale(nn.Module):
    """A layer whose only parameter has no dimensions."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return self.factor * x


MODELS = {
    "linear": (lambda: flat(nn.Linear(FEATURES, 6), nn.Tanh(), nn.Linear(6, 4)), DOMAIN),
    "conv": (lambda: Plain(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.Tanh()), DOMAIN),
    "conv-thin": (lambda: Plain(nn.Conv2d(3, 2, 3, padding=1), nn.Tanh()), DOMAIN),
    "conv-groups": (lambda: Plain(nn.Conv2d(3, 6, (2, 3), groups=3), nn.Tanh()), DOMAIN),
    "embedding": (Pixels, DOMAIN),
    "twice": (lambda: flat(Twice()), DOMAIN),
    "convolved": (lambda: Plain(Convolved()), DOMAIN),
    "scalar": (lambda: flat(nn.Linear(FEATURES, 4), Scale()), DOMAIN),
    "no-vmap": (lambda: Plain(Custom()), DOMAIN),
    "unused": (lambda: Plain(with_unused_parameter()), DOMAIN),
    "glow": (lambda: glow(COLOUR, levels=2, steps=1, width=5), COLOUR),
    "glow-linear": (
        lambda: glow_linear(GRAY, steps=3, width=5, hidden_layers=1, shared_steps=True),
        GRAY,
    ),
}


@pytest.fixture(params=MODELS)
def case(request):
    torch.manual_seed(0)
    make, domain = MODELS[request.param]
    return randomised(make()), domain


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_diagonal_is_that_of_the_loop(case, size):
    model, domain = case
    examples, groups = examples_of(domain, 7), groups_of(domain, 4, size)
    found = evaluated(LayerFisherDiagonal(damping=DAMPING), model, examples, groups)
    np.testing.assert_allclose(found, diagonal(model, examples, groups), rtol=1e-9, atol=1e-12)
    assert (found > 0).any()


def test_the_diagonal_is_that_of_the_dense_fisher_information():
    model = randomised(flat(nn.Linear(FEATURES, 2)))
    examples, groups = examples_of(DOMAIN, 9), groups_of(DOMAIN, 3, 2)
    rows, found = (
        [g.flatten(1).numpy() for g in loop(model, x)] for x in (examples.unsqueeze(1), groups)
    )
    expected = []
    for fit, group in zip(rows, found, strict=True):
        fisher = np.diag(sum(np.outer(g, g) for g in fit) / len(fit))
        inverse = np.linalg.inv(np.diag(fisher + DAMPING * fisher.mean()))
        expected.append([g @ inverse @ g / 2 for g in group])
    values = evaluated(LayerFisherDiagonal(damping=DAMPING), model, examples, groups)
    np.testing.assert_allclose(values, np.array(expected).T, rtol=1e-10)


def test_a_linear_gaussian_has_as_much_as_parameters():
    """log p = log N(y; mu, v I): S = |sum (y - mu)|^2 / (b v), on average D under the model."""

    class Gaussian(Density):
        def __init__(self):
            super().__init__()
            self.mu = nn.Parameter(torch.full((FEATURES,), 127.5, dtype=torch.float64))

        def log_prob(self, x):
            return -0.5 * (x.flatten(1) - self.mu).square().sum(1) / (256**2 / 12)

    model, size = Gaussian(), 4
    examples, groups = examples_of(DOMAIN, 2000), groups_of(DOMAIN, 400, size, seed=8)
    values = evaluated(LayerFisherDiagonal(damping=1e-9), model, examples, groups)
    y = (groups.flatten(2).double() - 127.5).sum(1) / (256 / 12**0.5)
    np.testing.assert_allclose(values[:, 0], y.square().sum(1) / size, rtol=0.15)
    assert values.mean() == pytest.approx(FEATURES, rel=0.03)  # mean of chi2_48 over 400 groups


# EKFAC


def ekfac(fit, found, a, d, size):
    """EKFAC by plain matrices.

    Arguments:
        fit: Gradients of the fit examples, (N, O, I); found: those of the groups, (M, O, I).
        a, d: All rows of a and of delta of the fit examples, (R, I) and (R, O).
    """
    u_a = np.linalg.eigh(a.T @ a)[1]
    u_d = np.linalg.eigh(d.T @ d)[1]
    u = np.kron(u_d, u_a)  # columns are eigenvectors of the row-major vec of (O, I)
    rotated = fit.reshape(len(fit), -1) @ u
    s = (rotated**2).mean(0)
    fisher = u @ np.diag(s + DAMPING * s.mean()) @ u.T
    rows = found.reshape(len(found), -1)
    return np.einsum("mi,ij,mj->m", rows, np.linalg.inv(fisher), rows) / size


def calls_of(model, module, x):
    """Inputs and gradients of outputs of every call of a module, for a batch of examples."""
    inputs, outputs = [], []

    def note(module, args, output):
        inputs.append(args[0].detach())
        outputs.append(output)

    handle = module.register_forward_hook(note)
    total = model.log_prob(x).sum()
    handle.remove()
    return inputs, torch.autograd.grad(total, outputs)


def input_patches(module, x, delta):
    """Rows of the usual expansion: patches of the input, and delta, by position."""
    a = F.unfold(x, module.kernel_size, padding=module.padding, stride=module.stride)
    return a.mT.reshape(-1, a.shape[1]), delta.movedim(1, -1).flatten(0, 2)


def delta_patches(module, x, delta):
    """Rows of the other expansion: the input, and patches of delta turned round."""
    reach = [k - 1 - p for k, p in zip(module.kernel_size, module.padding, strict=True)]
    d = F.unfold(delta, module.kernel_size, padding=reach)
    return x.movedim(1, -1).flatten(0, 2), d.mT.reshape(-1, d.shape[1])


def explicit_products(model, module, rows_of, examples, groups):
    """One weight's column, and what `ekfac` takes, by hooks, example by example."""

    def rows(x):
        calls = zip(*calls_of(model, module, x), strict=True)
        pairs = [rows_of(module, *call) for call in calls]
        return [torch.cat(side).detach().numpy() for side in zip(*pairs, strict=True)]

    def gradients(groups):
        return np.stack([d.T @ a for a, d in (rows(x) for x in groups)])

    fit, found = gradients(examples.unsqueeze(1)), gradients(groups)
    column = [p is module.weight for _, p in model.named_parameters()].index(True)
    truth = loop(model, groups)[column].flatten(1).square().sum(1)
    np.testing.assert_allclose((found**2).sum((1, 2)), truth, rtol=1e-9)  # the same gradient
    a, d = rows(examples)
    return column, (fit, found, a, d, groups.shape[1])


def linear_rows(module, x, delta):
    return x.flatten(0, -2), delta.flatten(0, -2)


class SharedLinear(nn.Module):
    """One linear layer, called three times."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        x = x.flatten(1)[:, :4]
        for _ in range(3):
            x = torch.tanh(self.linear(x))
        return x


EKFAC_CASES = {
    "linear": (lambda: flat(nn.Linear(FEATURES, 3), nn.Tanh(), nn.Linear(3, 2)), 1, linear_rows),
    "conv": (lambda: Plain(nn.Conv2d(3, 4, 3, stride=2, padding=1)), 0, input_patches),
    "conv-thin": (lambda: Plain(nn.Conv2d(3, 2, 3, padding=1)), 0, delta_patches),
    "shared": (lambda: flat(SharedLinear()), 0, linear_rows),
}


def weighted_modules(model):
    return [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("name", EKFAC_CASES)
def test_ekfac_is_that_of_plain_matrices(name, size):
    make, number, rows_of = EKFAC_CASES[name]
    torch.manual_seed(1)
    model = randomised(make())
    examples, groups = examples_of(DOMAIN, 40), groups_of(DOMAIN, 3, size)
    module = weighted_modules(model)[number]
    column, products = explicit_products(model, module, rows_of, examples, groups)
    expected = ekfac(*products)
    statistic = LayerFisherEkfac(damping=DAMPING)
    found = evaluated(statistic, model, examples, groups)
    np.testing.assert_allclose(found[:, column], expected, rtol=1e-8)
    # Every other kind of tensor is as in the diagonal, and this one is not.
    plain = diagonal(model, examples, groups)
    assert not np.allclose(found[:, column], plain[:, column], rtol=1e-2)
    biases = [k for k, (n, _) in enumerate(model.named_parameters()) if n.endswith("bias")]
    np.testing.assert_allclose(found[:, biases], plain[:, biases], rtol=1e-9)


def test_what_a_suite_leaves_out_is_as_documented():
    ekfac, kfac = LayerFisherEkfac(), LayerFisherKfac()
    assert LayerFisherDiagonal().damping == ekfac.damping == kfac.damping == 1e-3
    assert LayerFisherDiagonal().damping_unit == ekfac.damping_unit == "relative"
    assert ekfac.max_factor == kfac.max_factor == 1024


class Product(Density):
    """log p = d(x2)^T W a(x1): input and output gradient of W are any two functions."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3, bias=False)
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("a", torch.randn(4, 2, generator=generator))
        self.register_buffer("d", torch.randn(4, 3, generator=generator))

    def log_prob(self, x):
        first, second = x.flatten(1)[:, 0].long() % 4, x.flatten(1)[:, 1].long() % 4
        return (self.d[second] * self.linear(self.a[first])).sum(1)


def test_ekfac_is_the_dense_fisher_information_where_that_is_a_kronecker_product():
    """Over all pairs (a, d) the two are independent, so F = E[a a^T] x E[d d^T] exactly."""
    model = Product().double()
    examples = torch.zeros(16, *DOMAIN.shape, dtype=torch.uint8)
    examples.flatten(1)[:, 0] = torch.arange(16) // 4
    examples.flatten(1)[:, 1] = torch.arange(16) % 4
    groups = groups_of(DOMAIN, 6, 5)
    rows = loop(model, examples.unsqueeze(1))[0].flatten(1).numpy()
    inverse = np.linalg.inv(rows.T @ rows / 16)
    g = loop(model, groups)[0].flatten(1).numpy()
    expected = np.einsum("mi,ij,mj->m", g, inverse, g) / 5
    found = evaluated(LayerFisherEkfac(damping=1e-12), model, examples, groups)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-8)
    assert not np.allclose(diagonal(model, examples, groups)[:, 0], expected, rtol=0.05)


def test_a_side_without_factor_keeps_its_coordinates(case):
    model, domain = case
    examples, groups = examples_of(domain, 7), groups_of(domain, 3, 2)
    found = evaluated(LayerFisherEkfac(damping=DAMPING, max_factor=1), model, examples, groups)
    # Sides of one column have a factor, of which the eigenvector is 1.
    np.testing.assert_allclose(found, diagonal(model, examples, groups), rtol=1e-9, atol=1e-12)


def test_the_largest_factor_is_of_max_factor_rows():
    torch.manual_seed(1)
    model = randomised(flat(nn.Linear(FEATURES, 3, bias=False)))
    examples, groups = examples_of(DOMAIN, 20), groups_of(DOMAIN, 3, 2)
    whole, just, below = (
        evaluated(LayerFisherEkfac(max_factor=rows), model, examples, groups)
        for rows in (1024, FEATURES, FEATURES - 1)
    )
    np.testing.assert_array_equal(just, whole)
    assert not np.allclose(below, whole, rtol=1e-2)


def test_grouped_convolutions_have_a_factor_for_each_group():
    model = randomised(Plain(nn.Conv2d(3, 6, 2, groups=3, bias=False)))
    examples, groups = examples_of(DOMAIN, 30), groups_of(DOMAIN, 3, 2)
    (module,) = weighted_modules(model)
    found = evaluated(LayerFisherEkfac(damping=DAMPING), model, examples, groups)

    def rows(x, block):
        (x,), (delta,) = calls_of(model, module, x)
        alone = nn.Conv2d(1, 2, 2)
        pair = input_patches(alone, x[:, [block]], delta[:, 2 * block : 2 * block + 2])
        return [side.detach().numpy() for side in pair]

    fisher_of, gradients = [], []
    for block in range(3):
        a, d = rows(examples, block)
        u = np.kron(np.linalg.eigh(d.T @ d)[1], np.linalg.eigh(a.T @ a)[1])
        both = []
        for some in (examples.unsqueeze(1), groups):
            products = [d.T @ a for a, d in (rows(x, block) for x in some)]
            both.append(np.stack(products).reshape(len(some), -1) @ u)
        fisher_of.append((both[0] ** 2).mean(0))
        gradients.append(both[1])
    s, g = np.concatenate(fisher_of), np.concatenate(gradients, axis=1)
    expected = (g**2 / (s + DAMPING * s.mean())).sum(1) / 2
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-9)


# Edges


STATISTICS = [LayerFisherDiagonal, LayerFisherEkfac, LayerFisherKfac]


@pytest.mark.parametrize("make", STATISTICS)
def test_layers_without_gradient_have_no_value(make):
    torch.manual_seed(0)
    model = glow(COLOUR, levels=2, steps=1, width=4).double().eval()  # zero convolutions
    examples, groups = examples_of(COLOUR, 6), groups_of(COLOUR, 3, 2)
    found = evaluated(make(), model, examples, groups)
    norms = torch.stack([g.flatten(1).square().sum(1) for g in loop(model, groups)], dim=1)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found == 0, norms == 0)
    assert (found == 0).any()


def test_what_no_fit_example_reached_counts_nothing():
    """Bright images go to the second of two experts; the first has no gradient at the fit."""
    torch.manual_seed(0)
    model = randomised(Plain(Experts()))
    groups = groups_of(DOMAIN, 24, 1)
    bright = groups[:, 0, 0, 0, 0] > 127
    statistic = LayerFisherDiagonal().fit(model, groups[bright, 0])
    first = ["experts.0" in name for name in statistic.features(model)]
    second = [not here for here in first]
    assert (statistic(model, groups[bright])[:, second] > 0).all()
    assert (statistic(model, groups[~bright]) == 0).all()
    both = LayerFisherDiagonal().fit(model, groups[:, 0])
    assert (both(model, groups[~bright])[:, first] > 0).all()


def test_a_model_that_cannot_be_followed_is_done_by_the_loop_or_refused():
    torch.manual_seed(0)
    model = randomised(Energy())
    examples, groups = examples_of(DOMAIN, 6), groups_of(DOMAIN, 3, 2)
    found = evaluated(LayerFisherDiagonal(damping=DAMPING), model, examples, groups)
    np.testing.assert_allclose(found, diagonal(model, examples, groups), rtol=1e-9, atol=1e-12)
    reason = "Kronecker factors of Energy cannot be computed: the model differentiates.*diagonal"
    for statistic in (LayerFisherEkfac, LayerFisherKfac):
        with pytest.raises(UnsupportedError, match=reason):
            statistic().fit(model, examples)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    for statistic in (LayerFisherEkfac, LayerFisherKfac):
        with pytest.raises(ScoreError, match="not finite for 6 of 6 fit examples"):
            statistic().fit(model, examples)


def test_examples_that_take_another_way_through_the_model_than_the_fit():
    torch.manual_seed(0)
    model, groups = Branching(DOMAIN).double(), groups_of(DOMAIN, 6, 1)
    dark, bright = groups // 2, 128 + groups // 2
    statistic = LayerFisherDiagonal(damping=DAMPING).fit(model, dark[:, 0])
    for some in (dark, bright, dark):
        expected = diagonal(model, dark[:, 0], some)
        np.testing.assert_allclose(statistic(model, some), expected, rtol=1e-9, atol=1e-12)
    with pytest.raises(UnsupportedError, match="^Branching computes these groups otherwise"):
        LayerFisherEkfac().fit(model, dark[:, 0])(model, bright)


def test_a_lack_of_memory_is_not_the_nature_of_a_model(monkeypatch):
    def planner(wrapped, candidates):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(fisher_gradients, "ENGINE", LayerGradientEngine(planner=planner))
    model, examples = randomised(flat(nn.Linear(FEATURES, 2))), examples_of(DOMAIN, 5)
    with pytest.raises(MemoryError, match="^out of memory$"):
        LayerFisherEkfac().fit(model, examples)
    assert (evaluated(LayerFisherDiagonal(), model, examples, groups_of(DOMAIN, 3, 2)) > 0).any()


@pytest.mark.parametrize("make", STATISTICS)
def test_memory_that_runs_out_on_the_way_counts_nothing_twice(make, monkeypatch):
    torch.manual_seed(0)
    model = randomised(flat(nn.Linear(FEATURES, 4), nn.Tanh(), nn.Linear(4, 2)))
    examples, groups = examples_of(DOMAIN, 13), groups_of(DOMAIN, 3, 2)
    expected = evaluated(make(), model, examples, groups)
    inner, failed = engine_module._chunk, []

    def chunk(entry, plan, groups, table):
        found = inner(entry, plan, groups, table)
        if len(groups) > 4:  # at the end of the chunk, when everything has been added
            failed.append(len(groups))
            raise torch.OutOfMemoryError("out of memory")
        return found

    monkeypatch.setattr(engine_module, "_chunk", chunk)
    fresh = LayerGradientEngine(planner=plan_without_fused_rules)
    monkeypatch.setattr(fisher_gradients, "ENGINE", fresh)
    found = evaluated(make(), model, examples, groups)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert failed == [8, 13, 6, 8]  # 8 in the trials, of the fit and of the groups


@pytest.mark.parametrize("make", STATISTICS)
def test_what_cannot_be_fitted_says_so(make):
    model = randomised(flat(nn.Linear(FEATURES, 2)))
    groups = groups_of(DOMAIN, 3, 2)
    with pytest.raises(NotFittedError):
        make()(model, groups)
    with pytest.raises(ScoreError, match="at least one fit example"):
        make().fit(model, groups[:0, 0])
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(ScoreError, match="finite"):  # by name or as a guess
        make().fit(model, examples_of(DOMAIN, 5))


@pytest.mark.parametrize("statistic", [LayerFisherEkfac, LayerFisherKfac])
def test_the_conformance_kit_on_a_flow(statistic):
    def small(domain):
        return glow(domain, levels=1, steps=1, width=3)

    domain = Images(3, 2, 2)
    assert_conforms(check_statistic(statistic, model=small, domain=domain))


# Scorers on them


@pytest.mark.parametrize(
    ("make", "name", "scorer"),
    [
        (LayerFisherDiagonal, "layer_fisher_diagonal", FisherDiagonal),
        (LayerFisherEkfac, "layer_fisher_ekfac", FisherEkfac),
        (LayerFisherKfac, "layer_fisher_ekfac", FisherEkfac),
    ],
)
@pytest.mark.parametrize("size", [1, 5])
def test_planted_ood_has_higher_scores(make, name, scorer, size):
    """Fitted on dim images; bright ones are farther from where the model has its mass."""
    torch.manual_seed(0)
    model = glow(COLOUR, levels=1, steps=2, width=6).double()
    dim = groups_of(COLOUR, 90, size) // 4 + 96
    model.prepare(dim[:30].flatten(0, 1))
    model = randomised(model)
    statistic = make().fit(model, dim[:30].flatten(0, 1))
    sides = [statistic(model, x) for x in (dim[30:60], dim[60:], groups_of(COLOUR, 30, size))]
    for each in (scorer(), GradientGaussian(statistic=name)):
        each.fit({name: sides[0]})
        inside, outside = (each.score({name: side}) for side in sides[1:])
        assert (outside[:, None] > inside).mean() > 0.95


def test_the_total_is_the_sum_over_layers():
    values = {"layer_fisher_ekfac": np.array([[0.5, 1.5], [0.0, 0.0]])}
    scorer = FisherEkfac().fit(values)
    np.testing.assert_allclose(scorer.score(values), [np.log(3), 0.0])
    with pytest.raises(ScoreError, match="had 2 layers at the fit, not 1"):
        scorer.score({"layer_fisher_ekfac": np.ones((3, 1))})
    for bad in (np.nan, -1.0):
        with pytest.raises(ScoreError, match="negative or not finite"):
            FisherEkfac().fit({"layer_fisher_ekfac": np.full((2, 1), bad)})
