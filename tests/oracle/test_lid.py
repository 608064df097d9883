"""Jacobian spectra and local intrinsic dimension against known singular values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from harness.metrics.roc import auroc
from harness.testing.toy_models import TinyAutoregression, TinyFlow
from oodbench import Images, NotFittedError, ScoreError, UnsupportedError
from oodbench.testing import assert_conforms, check_statistic
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.scorers.lid import Lid, LidDimension
from plugins.scorers.log_likelihood import LogLikelihood
from plugins.statistics.jacobian_spectrum import JacobianSpectrum
from plugins.statistics.jacobians.exact import noise_jacobian
from plugins.statistics.jacobians.lanczos import _probes, quantiles

DOMAIN = Images(1, 4, 4)
DIMS = DOMAIN.dims


class LinearFlow(nn.Module):
    """x = U diag(σ) V' z in grey levels, with random rotations U and V."""

    likelihood = "exact"

    def __init__(self, sigma, domain=DOMAIN):
        super().__init__()
        self.domain = domain
        generator = torch.Generator().manual_seed(5)
        draws = torch.randn(2, len(sigma), len(sigma), generator=generator, dtype=torch.float64)
        u, v = torch.linalg.qr(draws).Q
        sigma = torch.as_tensor(sigma, dtype=torch.float64)
        self.weight = nn.Parameter(v @ torch.diag(1 / sigma) @ u.T)

    def to_noise(self, x):
        return x.flatten(1) @ self.weight.T


def examples(count, domain=DOMAIN, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 1, *domain.shape)
    return torch.randint(domain.levels, shape, generator=generator, dtype=torch.uint8)


def moved(model):
    """A flow off its start, in float64."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.double().eval()


SPECTRA = {
    "spread": np.geomspace(1e-2, 1e2, DIMS),
    "two levels": np.where(np.arange(DIMS) < 5, 30.0, 0.3),
    "equal": np.full(DIMS, 3.0),
}
WHOLE, FREE = {"exact_up_to": DIMS}, {"exact_up_to": DIMS - 1, "probes": DIMS, "steps": DIMS}


@pytest.mark.parametrize("sigma", SPECTRA.values(), ids=SPECTRA)
@pytest.mark.parametrize("options", [WHOLE, FREE], ids=["whole", "matrix-free"])
def test_a_linear_flow_has_the_singular_values_it_was_made_of(sigma, options):
    found = JacobianSpectrum(**options)(LinearFlow(sigma), examples(2))
    assert (found.dtype, found.shape) == (np.dtype("float64"), (2, DIMS))
    expected = np.log(np.sort(sigma)[::-1])
    np.testing.assert_allclose(found, np.stack([expected] * 2), atol=1e-6)


FLOWS = {
    "glow": lambda: glow(DOMAIN, levels=2, steps=2, width=4),
    "glow-linear": lambda: glow_linear(DOMAIN, steps=3, width=8, hidden_layers=1),
}


@pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize("options", [WHOLE, FREE], ids=["whole", "matrix-free"])
def test_they_are_those_of_the_generator(make, options):
    model, x = moved(make()), examples(3)
    found = JacobianSpectrum(**options)(model, x)
    z = model.to_noise(x[:, 0]).detach()

    def generator(z):
        return ((model.inverse(z[None]) + 0.5) * 256 - 0.5).flatten()

    for row, noise, example in zip(found, z, x, strict=True):
        torch.testing.assert_close(generator(noise), example.flatten().double())
        jacobian = torch.autograd.functional.jacobian(generator, noise).numpy()
        expected = np.log(np.linalg.svd(jacobian, compute_uv=False))
        np.testing.assert_allclose(row, expected, atol=1e-6)
    assert np.ptp(found[:, 0]) > 1e-3  # it is not the same everywhere


def test_the_jacobian_of_a_flow_in_closed_form():
    model, x = TinyFlow(DOMAIN).double(), examples(3)[:, 0].double()
    a = (2 * (x.flatten(1) + 0.5) / 256 - 1) @ model.weight.T + model.bias
    expected = torch.diag_embed(a.cosh()) @ model.weight * (2 / 256)
    torch.testing.assert_close(noise_jacobian(model, x), expected.detach())


@pytest.mark.parametrize("options", [WHOLE, FREE], ids=["whole", "matrix-free"])
def test_what_the_noise_does_not_see_is_cut_at_rounding(options):
    model = LinearFlow(np.full(DIMS, 2.0))
    with torch.no_grad():  # two directions of the image, of singular value 0
        model.weight.copy_(torch.diag(torch.tensor([0.5] * (DIMS - 2) + [0.0] * 2)))
    found = JacobianSpectrum(**options)(model, examples(1))[0]
    eps = torch.finfo(torch.float64).eps
    largest = -math.log((eps if options is WHOLE else eps**0.5) * 0.5)
    expected = [largest] * 2 + [math.log(2)] * (DIMS - 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_probe_and_step_see_the_mean_square_that_the_noise_moves():
    model = LinearFlow(SPECTRA["spread"])
    found = JacobianSpectrum(exact_up_to=0, probes=1, steps=1, seed=3)(model, examples(1))
    (probe,) = _probes(DIMS, 1, 3)
    assert probe.norm().item() == pytest.approx(1)
    squares = (model.weight.detach() @ probe).square().sum().item()
    np.testing.assert_allclose(found, -0.5 * math.log(squares), rtol=1e-12)


def test_steps_resolve_a_spectrum_of_so_many_values():
    """Lanczos' iteration ends after as many steps as there are different singular values."""
    model = LinearFlow(np.repeat([0.1, 1.0, 10.0], [5, 6, 5]))

    def found(steps):
        options = {"exact_up_to": 0, "probes": DIMS, "steps": steps}
        return JacobianSpectrum(**options)(model, examples(1))[0]

    expected = np.repeat(np.log([10.0, 1.0, 0.1]), [5, 6, 5])
    np.testing.assert_allclose(found(3), expected, atol=1e-9)
    np.testing.assert_allclose(found(DIMS), expected, atol=1e-9)
    assert not np.allclose(found(2), expected, atol=0.05)


def test_quantiles_by_hand():
    values, weights = np.array([4.0, 1.0, 9.0, 2.0]), np.array([0.25, 0.5, 1e-15, 0.25])
    # the middles of the steps 1, 2 and 4 lie at 1/4, 5/8 and 7/8, and 9 has no weight
    assert quantiles(values, weights, 2).tolist() == [pytest.approx(3.0), 1.0]
    assert quantiles(values, weights, 4).tolist() == pytest.approx([4.0, 2.0, 4 / 3, 1.0])


def test_few_probes_and_steps_estimate_a_spectrum():
    domain = Images(1, 8, 8)
    sigma = np.geomspace(0.1, 10, domain.dims)
    model = LinearFlow(sigma, domain)
    found = JacobianSpectrum(exact_up_to=0, probes=4, steps=20)(model, examples(2, domain))
    assert np.array_equal(found[0], found[1])  # the probes are those of every example
    assert (np.diff(found[0]) <= 0).all()
    # a probe sees each of 64 values with a weight of its own: 64 / 4 give an error of about 4
    for threshold in np.quantile(sigma, [0.25, 0.5, 0.75]):
        count = (found[0] > math.log(threshold)).sum()
        assert abs(count - (sigma > threshold).sum()) < 8
    other = JacobianSpectrum(exact_up_to=0, probes=4, steps=20, seed=1)(model, examples(1, domain))
    assert not np.allclose(other[0], found[0], atol=1e-3)


def test_a_matrix_free_statistic_conforms():
    assert_conforms(check_statistic(lambda: JacobianSpectrum(exact_up_to=0, probes=2, steps=3)))


def test_a_model_that_is_no_flow_is_unsupported():
    model = TinyAutoregression(DOMAIN)
    message = r"^jacobian_spectrum needs a flow with to_noise\(x\); TinyAutoregression lacks this"
    with pytest.raises(UnsupportedError, match=message):
        JacobianSpectrum().features(model)
    with pytest.raises(UnsupportedError, match=message):
        JacobianSpectrum()(model, examples(1))


def test_groups_are_of_one_example():
    with pytest.raises(
        ValueError, match=r"^jacobian_spectrum is per example: expected groups with 1 exam"
    ):
        JacobianSpectrum()(LinearFlow(SPECTRA["equal"]), examples(5).view(1, 5, *DOMAIN.shape))


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("options", [WHOLE, FREE], ids=["whole", "matrix-free"])
def test_the_dimension_of_an_image_of_fewer(size, options):
    # fit: images of 9 dimensions, the rest squeezed to nothing; then of 4
    def spectra(kept):
        sigma = np.where(np.arange(DIMS) < kept, np.linspace(10, 20, DIMS), 1e-4)
        return JacobianSpectrum(**options)(LinearFlow(sigma), examples(2 * size))

    scorer = LidDimension(dimension=9 / DIMS)
    scorer.fit({"jacobian_spectrum": spectra(9).reshape(2, size, DIMS)})
    for kept in (9, 4):
        rows = {"jacobian_spectrum": spectra(kept).reshape(2, size, DIMS)}
        assert scorer.score(rows).tolist() == [-kept, -kept]


def test_the_threshold_and_the_mean_over_a_group_by_hand():
    fit = np.array([[[3.0, 2.0, 1.0, 0.0]], [[7.0, 6.0, 5.0, 4.0]]])
    scorer = LidDimension(dimension=0.5).fit({"jacobian_spectrum": fit})
    assert scorer.fit_info() == {"log_threshold": 3.5}
    rows = np.array([[[9.0, 8.0, 3.6, 3.4], [9.0, 0.0, 0.0, 0.0]]])
    assert scorer.score({"jacobian_spectrum": rows}).tolist() == [-2.0]
    quarter = LidDimension(dimension=0.25, statistic="mine").fit({"mine": fit})
    assert quarter.fit_info() == {"log_threshold": 5.25}
    assert -quarter.score({"mine": fit}).mean() == 1.0  # a quarter of four


def test_singular_values_at_the_threshold_do_not_count():
    fit = {"jacobian_spectrum": np.full((2, 1, 4), 2.0)}
    assert LidDimension().fit(fit).score(fit).tolist() == [0.0, 0.0]


def test_the_combination_is_of_means_over_groups():
    # means of the fit groups: log p -3 and -1, LID 1 and 2; each example on its own has others
    def statistics(log_prob, *lids):
        spectra = [[[9.0] * d + [0.0] * (4 - d) for d in group] for group in lids]
        values = np.array(log_prob, dtype=float)[:, :, None]
        return {"log_prob": values, "jacobian_spectrum": np.array(spectra)}

    scorer = Lid(dimension=0.4).fit(statistics([[-6, 0], [-2, 0]], (0, 2), (1, 3)))
    assert (scorer.log_prob_.tolist(), scorer.lid_.tolist()) == ([-3.0, -1.0], [1.0, 2.0])
    given = statistics([[-4, 0], [0, 0], [-8, 0], [0, 0]], (4, 0), (3, 0), (4, 4), (4, 1))
    p = [2 / 3, 2 / 3, 1 / 3, 1.0]  # log p -2, 0, -4, 0 and LID 2, 1.5, 4, 2.5
    np.testing.assert_allclose(scorer.score(given), -np.log(p), atol=1e-15)


def test_the_combination_by_hand():
    # LID of the fit groups 1, 2, 3, so τ in between; log p -3, -2, -1
    fit = {
        "log_prob": np.array([-3.0, -2.0, -1.0])[:, None, None],
        "jacobian_spectrum": np.array([[[9.0, 0, 0, 0]], [[9, 9, 0, 0]], [[9, 9, 9, 0]]]),
    }
    scorer = Lid(dimension=0.5).fit(fit)
    evaluated = {
        "log_prob": np.array([-9.0, 0.0, -2.0, 0.0])[:, None, None],
        "jacobian_spectrum": np.array(
            [[[9.0, 9, 0, 0]], [[0, 0, 0, 0]], [[9, 9, 9, 9]], [[9, 9, 9, 0]]]
        ),
    }
    p = [1 / 4, 1 / 4, 3 / 4, 1.0]  # likelihood low; dimension low; one above the least; neither
    np.testing.assert_allclose(scorer.score(evaluated), -np.log(p), atol=1e-15)


def planted(groups, size, log_prob, shift, seed):
    rng = np.random.default_rng(seed)
    spectra = np.linspace(4, -4, DIMS) + rng.normal(0, 0.3, (groups, size, 1)) + shift
    values = log_prob + 30 * rng.normal(size=(groups, size, 1))
    return {"log_prob": values, "jacobian_spectrum": spectra}


@pytest.mark.parametrize("size", [1, 5])
def test_either_kind_of_outlier_is_found(size):
    fit, inside = planted(80, size, -1000, 0, 0), planted(60, size, -1000, 0, 1)
    unlikely = planted(60, size, -1200, 0, 2)
    flat = planted(60, size, -800, -2, 3)  # the paradox: more likely, of fewer dimensions
    lid, dimension, likelihood = Lid().fit(fit), LidDimension().fit(fit), LogLikelihood().fit(fit)
    for outside in (unlikely, flat):
        assert auroc(lid.score(inside), lid.score(outside)) > 0.9
    assert auroc(dimension.score(inside), dimension.score(flat)) > 0.95
    assert auroc(likelihood.score(inside), likelihood.score(flat)) < 0.05


@pytest.mark.parametrize("scorer", [Lid, LidDimension])
def test_what_cannot_be_fitted_or_scored_is_refused(scorer):
    name = scorer.name
    with pytest.raises(NotFittedError, match=f"^{name} was asked for scores before it was"):
        scorer().score(planted(2, 1, 0, 0, 0))
    with pytest.raises(NotFittedError, match=f"^{name} was asked for its fit before it was"):
        scorer().fit_info()
    with pytest.raises(ScoreError, match=f"^{name} needs at least one fit group$"):
        scorer().fit(planted(0, 1, 0, 0, 0))
    endless = planted(2, 1, 0, np.inf, 0)
    with pytest.raises(ScoreError, match=f"^{name}: jacobian_spectrum of the fit groups is not"):
        scorer().fit(endless)
