"""Reconstructions, their errors and the score of Graham et al. against plain definitions."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from oodbench import Images, ScoreError, UnsupportedError
from plugins.models.diffusion import diffusion
from plugins.models.networks.diffusion import Diffusion
from plugins.models.networks.readings import make_reading
from plugins.models.vae import vae
from plugins.scorers.ddpm_ood import DDPMOOD
from plugins.statistics.reconstruction_error import ReconstructionError

DOMAIN, SD = Images(1, 2, 3), 0.3


def images(n):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(60, 196, (n, *DOMAIN.shape), generator=generator).byte()


class OfGaussian(nn.Module):
    """The best estimate of the noise for independent pixels, N(0, SD^2)."""

    def forward(self, z, gamma):
        variance = torch.sigmoid(gamma)[:, None, None, None]
        return variance.sqrt() * z / ((1 - variance) * SD**2 + variance)


def gaussian():
    reading = make_reading("bound", DOMAIN, 1)
    return Diffusion(
        DOMAIN, denoiser=OfGaussian(), reading=reading, draws=1, noise_seed=0
    ).double()


@pytest.mark.parametrize("start", [0.5, 0.8, 1.0])
def test_noise_is_removed_along_the_path_of_equal_probability(start):
    """Without new noise, many steps keep z / sd(z): y = SD z / sqrt(alpha^2 SD^2 + sigma^2)."""
    x = images(4)
    gamma = torch.tensor(-13.3 + 18.3 * start).double()
    alpha, sigma = torch.sigmoid(-gamma).sqrt(), torch.sigmoid(gamma).sqrt()
    noise = torch.randn(DOMAIN.shape, generator=torch.Generator().manual_seed(5)).double()
    z = alpha * ((2 * x.double() + 1) / 256 - 1) + sigma * noise
    y = SD * z / (alpha**2 * SD**2 + sigma**2).sqrt()
    found = gaussian().reconstruct(x, start, 2000, 5)
    torch.testing.assert_close(found, ((y + 1) * 128 - 0.5).clamp(0, 255), rtol=0, atol=0.3)


def test_a_step_is_the_definition():
    torch.manual_seed(0)
    model, x = diffusion(DOMAIN, width=4, halvings=1).double(), images(2)
    rows = []
    for y in (2 * x.double() + 1) / 256 - 1:
        noise = torch.randn(DOMAIN.shape, generator=torch.Generator().manual_seed(3)).double()
        for gamma in (-4.15, -8.725, -13.3):  # the share 1/2 of the levels, 1/4, 0
            alpha = math.sqrt(1 / (1 + math.exp(gamma)))
            sigma = math.sqrt(1 - alpha**2)
            z = alpha * y + sigma * noise
            noise = model.denoiser(z[None], torch.tensor([gamma]).double())[0]
            y = (z - sigma * noise) / alpha
        rows.append(((y + 1) * 128 - 0.5).clamp(0, 255))
    torch.testing.assert_close(
        model.reconstruct(x, 0.5, 2, 3), torch.stack(rows), rtol=0, atol=1e-4
    )


def test_the_statistic_is_the_mean_squared_error_from_each_start():
    model, x = gaussian(), images(3)
    statistic = ReconstructionError(starts=4, steps=2, noise_seed=7)
    assert statistic.features(model) == ("mse_1", "mse_2", "mse_3", "mse_4")
    found = statistic(model, x.unsqueeze(1))
    for i, example in enumerate(x):
        for k in range(1, 5):
            y = model.reconstruct(example[None], k / 4, 2 * k, 7 + k)[0].numpy()
            expected = ((y / 255 - example.numpy() / 255) ** 2).mean()
            assert found[i, k - 1] == pytest.approx(expected)
    assert (np.diff(found[:, :3], axis=1) > 0).all()  # more noise, more changes


def test_a_model_without_reconstructions_is_unsupported():
    model = vae(DOMAIN, latents=2, width=2)
    for ask in (
        ReconstructionError().features,
        lambda m: ReconstructionError()(m, images(1)[None]),
    ):
        with pytest.raises(UnsupportedError, match="VAE lacks this method"):
            ask(model)


def test_the_score_is_the_mean_z_score():
    """By hand: the errors of start 1 have mean 2 and deviation 1, of start 2 mean 30 and 10."""
    fit = np.array([[1.0, 20.0, 5.0], [2.0, 40.0, 5.0], [3.0, 30.0, 5.0]]).reshape(3, 1, 3)
    groups = np.array([[[4.0, 30.0, 5.0], [2.0, 10.0, 9.0]]])
    scorer = DDPMOOD().fit({"reconstruction_error": fit})
    scores = scorer.score({"reconstruction_error": groups})
    np.testing.assert_allclose(scores, [(2 + 0 + 0 - 2) / 4])
    worse = scorer.score({"reconstruction_error": groups + 1})
    np.testing.assert_allclose(worse, [(3 + 0.1 + 1 - 1.9) / 4])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0]], "at least two fit examples, not 1"),
        ([[1.0, 2.0], [1.0, 2.0]], "the same for all 2 fit examples"),
        ([[1.0, np.nan], [1.0, 2.0]], "not finite"),
    ],
)
def test_errors_that_allow_no_fit(values, message):
    with pytest.raises(ScoreError, match=message):
        DDPMOOD().fit({"reconstruction_error": np.array(values)[:, None]})
