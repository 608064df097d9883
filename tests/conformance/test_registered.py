"""Every registered model, data set, statistic and scorer passes the conformance kit.

The entries come from the registry, so a new plugin is tested by existing.
"""

from __future__ import annotations

import pytest
import torch

from harness.registry.options import REQUIRED, signature_options
from harness.registry.registry import Registry
from harness.testing.entries import builder
from harness.testing.model_subject import ModelUnderTest, domains_for
from harness.testing.placement.comparison import same_on_both
from harness.testing.statistics import StatisticUnderTest
from oodbench import UnsupportedError
from oodbench.testing import (
    assert_conforms,
    check_dataset,
    check_model,
    check_model_placement,
    check_scorer,
    check_statistic,
    check_statistic_placement,
)

REGISTRY = Registry()

SMALL = {
    "diffusion": {"width": 4, "halvings": 1, "heads": 1, "draws": 256},
    "ebm": {"width": 4, "halvings": 1, "chains": 16, "steps": 3, "sampling_steps": 3},
    "ensemble": {"scorers": ["log-likelihood", "typicality", "gradient-gaussian"]},
    "flow-matching": {"width": 4, "halvings": 1, "components": 2, "steps": 8},
    "glow": {"levels": 1, "steps": 2, "width": 4},
    "glow-linear": {"steps": 2, "width": 8, "hidden_layers": 1},
    "gradient-iforest": {"trees": 5},
    "licences": {"length": 512},
    "hvae": {"layers": 2, "latents": 2, "width": 4, "components": 2, "draws": 4},
    "likelihood-ratio": {"background": "background"},
    "maf": {"transforms": 2, "width": 16},
    "realnvp": {"levels": 1, "couplings": 1, "width": 4},
    "spline-flow": {"transforms": 2, "width": 16, "bins": 4},
    "pixelcnn": {"blocks": 1, "width": 4, "components": 2},
    "transformer": {"layers": 1, "width": 8, "heads": 2},
    "python-docs": {"length": 512},
    "python-source": {"length": 512},
    "transformed": {"source": "digits", "transform": "rotate-90"},
    "vae": {"latents": 2, "width": 4, "halvings": 1, "components": 2, "draws": 4},
    "waic": {"seeds": [0, 1, 2]},
}
"""Options that make an entry small enough, or that it requires."""


def build(kind, name):
    return builder(REGISTRY, REGISTRY.get(kind, name), SMALL.get(name, {}))


def names(kind):
    """Entries that can be built; one with a required option not given in SMALL cannot."""
    for name in REGISTRY.names(kind):
        options = signature_options(REGISTRY.get(kind, name).load())
        required = {option for option, (_, default) in options.items() if default is REQUIRED}
        if required <= set(SMALL.get(name, {})):
            yield name


def test_only_what_reads_files_of_users_cannot_be_built():
    unbuilt = {
        name
        for kind in ("models", "datasets", "statistics", "scorers")
        for name in set(REGISTRY.names(kind)) - set(names(kind))
    }
    assert unbuilt == {"causal-lm", "folder", "text-files", "tokenized"}


@pytest.mark.parametrize("name", sorted(names("models")))
def test_models(name):
    assert_conforms(check_model(build("models", name)))


@pytest.mark.parametrize("name", sorted(names("datasets")))
def test_datasets(name):
    assert_conforms(check_dataset(build("datasets", name)))


@pytest.mark.parametrize("name", sorted(names("statistics")))
def test_statistics(name):
    assert_conforms(check_statistic(build("statistics", name)))


@pytest.mark.parametrize("name", sorted(names("scorers")))
def test_scorers(name):
    assert_conforms(check_scorer(build("scorers", name)))


@pytest.mark.parametrize("name", sorted(names("models")))
def test_placement_of_models(name):
    checks = check_model_placement(build("models", name))
    assert_conforms(checks)
    is_exact = not any("rounding" in check.message for check in checks)
    assert is_exact or name not in ("glow", "glow-linear")


@pytest.mark.parametrize("name", sorted(names("statistics")))
def test_placement_of_statistics(name):
    checks = check_statistic_placement(build("statistics", name))
    assert_conforms(checks)
    assert not any("rounding" in check.message for check in checks)


ENGINE = "layer_gradient_sq_norms"
"""The statistic with rules for the layers of each model; most others need only `log_prob`."""
OTHER_WAYS = [
    ("jacobian_spectrum", {"exact_up_to": 0, "steps": 4}),
    ("layer_fisher_kfac", {"max_factor": 4}),
    (ENGINE, {"objective": "latent-sum", "noise": "dequantisation"}),
    ("likelihood_regret", {"optimizer": "sgd"}),
    ("log_prob", {"noise": "dequantisation"}),
]
"""Options with code of their own."""


@pytest.mark.parametrize(
    ("model", "name", "options"),
    [
        pytest.param(model, name, {}, marks=[] if name == ENGINE else pytest.mark.slow)
        for model in sorted(names("models"))
        for name in sorted(names("statistics"))
    ]
    + [("glow-linear", name, options) for name, options in OTHER_WAYS],
)
def test_placement_of_statistics_on_models(model, name, options):
    domain = domains_for(build("models", model)).model
    models = ModelUnderTest(build("models", model), domain, domain)
    statistic = builder(REGISTRY, REGISTRY.get("statistics", name), options)
    subject = StatisticUnderTest(statistic, models)
    try:
        subject.on(torch.device("cpu"))
    except UnsupportedError:
        pytest.skip(f"{name} does not support {model}")
    same_on_both(lambda device: {name: subject.on(device)})
