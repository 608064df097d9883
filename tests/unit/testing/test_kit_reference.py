"""The tiny exact model."""

from __future__ import annotations

import pytest
import torch

from harness.testing.normalisation import _every_example
from harness.testing.toy_models import TinyAutoregression
from oodbench import DensityModel, Images, Samplable
from oodbench.testing import assert_conforms, check_model

DOMAIN = Images(1, 2, 2, bits=2)


def test_it_conforms():
    model = TinyAutoregression(DOMAIN)
    assert isinstance(model, DensityModel)
    assert isinstance(model, Samplable)
    assert_conforms(check_model(TinyAutoregression))


@pytest.mark.parametrize("domain", [DOMAIN, Images(2, 1, 3, bits=1), Images(1, 1, 1, bits=8)])
def test_it_sums_to_one(domain):
    model = TinyAutoregression(domain).double()
    x = _every_example(domain)
    assert len(torch.unique(x, dim=0)) == len(x) == domain.levels**domain.dims
    assert float(model.log_prob(x).exp().sum().detach()) == pytest.approx(1, abs=1e-12)


def test_samples_have_its_frequencies():
    model = TinyAutoregression(Images(1, 1, 2, bits=1), seed=1)
    x = model.sample(20_000, torch.Generator().manual_seed(0))
    every = _every_example(model.domain)
    found = (x.flatten(1)[:, None] == every.flatten(1)).all(-1).double().mean(0)
    expected = model.log_prob(every).exp().detach().double()
    assert torch.allclose(found, expected, atol=0.015)


def test_its_parameters_are_its_seeds():
    first, same, other = (TinyAutoregression(DOMAIN, seed=seed).bias for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
