"""Log-densities after a gamma curve, against the change of variables by autograd in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd.functional import jacobian

from oodbench import Images, UnsupportedError
from plugins.models.glow import glow
from plugins.models.pixelcnn import pixelcnn
from plugins.statistics.gamma_log_density import GammaLogDensity
from plugins.statistics.layer_gradient_sq_norms import LayerGradientSqNorms
from plugins.statistics.log_prob import LogProb

DOMAIN = Images(1, 2, 2, bits=5)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = glow(DOMAIN, levels=1, steps=2, width=4)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


@pytest.fixture(scope="module")
def x():
    return torch.tensor([[0, 31, 7, 16], [3, 3, 0, 25]], dtype=torch.uint8).reshape(2, 1, 2, 2)


def seen(model, x, gamma):
    """Log-density of one image after the curve, from the density and the Jacobian of its inverse.

    Both curve and inverse are of values from 0 to 32, and the density is in these units.
    """

    def inverse(y):
        return 32 * (y / 32) ** (1 / gamma)

    y = 32 * ((x.double() + 0.5) / 32) ** gamma
    matrix = jacobian(inverse, y).reshape(4, 4)
    return model.log_density(inverse(y)[None])[0] + torch.linalg.slogdet(matrix).logabsdet


@pytest.mark.parametrize("gamma", [2.2, 0.4])
def test_is_the_change_of_variables(model, x, gamma):
    expected = [seen(model, example, gamma).item() for example in x]
    values = GammaLogDensity(gamma=gamma)(model, x[:, None])
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, np.reshape(expected, (2, 1)), rtol=1e-10)


def test_without_a_curve_is_log_prob(model, x):
    values = GammaLogDensity(gamma=1.0)(model, x[:, None])
    assert values.tolist() == LogProb()(model, x[:, None]).tolist()
    assert not np.allclose(values, GammaLogDensity()(model, x[:, None]))


def test_gradients_in_the_parameters_are_those_without_a_curve(model, x):
    """For every score of parameters' gradients, the curve changes nothing."""
    norms = []
    for example in x:
        gradients = torch.autograd.grad(seen(model, example, 2.2), list(model.parameters()))
        norms.append([gradient.square().sum().item() for gradient in gradients])
    stored = LayerGradientSqNorms()(model, x[:, None])
    np.testing.assert_allclose(stored, norms, rtol=1e-8, atol=1e-12)


def test_a_probability_of_discrete_images_has_no_curve(x):
    discrete = pixelcnn(DOMAIN, blocks=1, width=4)
    message = r"^gamma_log_density needs a model with log_density; \w+ lacks this method$"
    with pytest.raises(UnsupportedError, match=message):
        GammaLogDensity()(discrete, x[:, None])
