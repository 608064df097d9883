"""A statistic that a model cannot have by its nature is unsupported; all others have numbers."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest
import torch

from harness import events
from harness.registry.registry import Registry
from harness.run.run import run
from harness.suite import load_suite
from oodbench import Images, UnsupportedError
from tests.unit.plugins import odd_models

DOMAIN = Images(1, 3, 3)
KRONECKER = {"layer_fisher_ekfac", "layer_fisher_kfac"}
CENTRED = "centred_gradient_sq_norms"
GRADIENTS = {"layer_gradient_sq_norms", CENTRED, "layer_fisher_diagonal"} | KRONECKER
TERMS, SPECTRUM, REGRET = "log_prob_terms", "jacobian_spectrum", "likelihood_regret"
UNSUPPORTED = {
    "Plain": {TERMS, SPECTRUM},
    "Energy": {TERMS, SPECTRUM, *KRONECKER},
    "Branching": {TERMS, SPECTRUM},
    "Constant": {TERMS, SPECTRUM, *GRADIENTS},
    "Outside": {TERMS, SPECTRUM, REGRET, *GRADIENTS},
    "Counting": {TERMS, SPECTRUM, *GRADIENTS},
    "Bare": GRADIENTS,
    "Rounding": {TERMS, *{SPECTRUM}},
    "Curved": {TERMS},
    "NoModule": {TERMS, SPECTRUM, REGRET, *KRONECKER},
}
"""Statistics that each model cannot have."""
TEXT = {"mean_byte", "zlib_bits", "log_prob_tokens"}
"""Statistics that images cannot have."""
NOISE = {"diffusion_path", "gamma_log_density", "reconstruction_error", "score_norms"}
"""Statistics that need a model of noise, or a density over real values, which none is or has."""


def images(count, bright=255):
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, bright + 1, (count, *DOMAIN.shape), generator=generator).byte()


def has_number(name, model, **options):
    """Whether a statistic has numbers for a model; False if it is unsupported."""
    statistic = Registry().get("statistics", name).load()(**options)
    groups = images(6).unsqueeze(1 if statistic.per == "example" else 0)
    try:
        if hasattr(statistic, "fit"):
            statistic.fit(model, images(8))
        values = statistic(model, groups)
    except UnsupportedError:
        return False
    assert values.shape == (len(groups), len(statistic.features(model)))
    assert np.isfinite(values).all()
    return True


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_a_statistic_has_numbers_or_is_unsupported(kind):
    torch.manual_seed(0)
    model, names = getattr(odd_models, kind)(DOMAIN), Registry().names("statistics")
    assert {name for name in names if not has_number(name, model)} == UNSUPPORTED[
        kind
    ] | TEXT | NOISE


@pytest.mark.parametrize("kind", ["Rounding", "Curved"])
def test_an_estimated_spectrum_needs_second_derivatives(kind):
    assert not has_number(SPECTRUM, getattr(odd_models, kind)(DOMAIN), exact_up_to=0)


SUITE = """
    plugins.paths = ["{path}"]

    [training.brief]
    minibatch = 16
    examples = 32

    [models]
    energy = {{ plugin = "energy", training = "brief" }}
    branching = {{ plugin = "branching", training = "brief" }}

    [datasets]
    digits.plugin = "digits"
    noise.plugin = "noise"
    noise.options = {{ n_train = 4, n_test = 20 }}

    [[comparisons]]
    models = ["energy", "branching"]
    in = "digits"
    out = "noise"
    epochs = 1
    scorers = ["log-likelihood", "fisher-diagonal", "fisher-ekfac", "gradient-norm"]
    n_in = 12
    n_fit = 12
    n_out = 12
"""


def test_unsupported_statistics_are_not_tried_again(write_suite, settings):
    path = write_suite(textwrap.dedent(SUITE).format(path=odd_models.__file__))
    outcomes, jobs = [], []
    for _ in range(2):
        seen = []
        outcomes.append(run(load_suite(path), settings, seen.append))
        jobs += [event.jobs for event in seen if isinstance(event, events.RunStarted)]
        assert not [event for event in seen if isinstance(event, events.JobFailed)]
    assert jobs[0] > 0
    assert jobs[1] == 0
    assert [outcome.exit_status for outcome in outcomes] == [0, 0]
    for outcome in outcomes:
        lacking = {(x.cell.model, x.cell.scorer) for x in outcome.results if x.status != "ok"}
        assert lacking == {("energy", "fisher-ekfac"), ("branching", "fisher-ekfac")}
