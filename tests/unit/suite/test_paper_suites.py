"""The paper's suites: what they compare, with which models, by which recipes."""

from __future__ import annotations

import pytest

from harness.plan.expand import make_plan, select
from harness.suite import load_suite
from harness.suite.toml.files import shipped_suites

FOLDER = shipped_suites()
COLOUR = ("svhn", "celeba", "cifar10", "gtsrb", "imagenet32")
GRAY = ("mnist", "fashion-mnist", "kmnist", "omniglot")
LAST = {**dict.fromkeys(COLOUR, 250), **dict.fromkeys(GRAY, 200), "omniglot": 100}
EPOCHS = (1, 10, 20, 30, 40, 50, 70, 80, 100, 150)
NAMES = ("paper", "paper-code", "paper-small")


def opened(name):
    return load_suite(FOLDER / f"{name}.toml")


@pytest.fixture(scope="module", params=NAMES)
def suite(request):
    return opened(request.param)


def test_every_set_is_compared_with_the_others_of_its_family(suite):
    cells = {planned.cell for planned in make_plan(suite, {}).cells}
    assert {
        (cell.in_dataset, cell.out_dataset, cell.epoch, cell.group_size, cell.scorer)
        for cell in cells
    } == {
        (in_, out, epoch, size, scorer)
        for family in (COLOUR, GRAY)
        for in_ in family
        for out in family
        for epoch in {*(e for e in EPOCHS if e < LAST[in_]), LAST[in_]}
        for size in (1, 5)
        for scorer in ("log-likelihood", "typicality", "gradient-gaussian")
        if in_ != out
    }
    assert len(cells) == (5 * 4 * 11 + 3 * 3 * 11 + 3 * 9) * 2 * 3
    assert {cell.model for cell in cells if cell.in_dataset == "svhn"} == {"glow-unflipped"}
    assert {cell.model for cell in cells if cell.in_dataset in COLOUR[1:]} == {"glow"}
    assert {cell.model for cell in cells if cell.in_dataset in GRAY} == {"glow-linear"}


def recipe(suite, model):
    """The keys of a model's recipe that are not at their defaults, or that the suite names."""
    return suite.models[model].recipe.model_dump(exclude_unset=True)


THREE_CHANNEL = {
    "optimizer": "adamax",
    "learning_rate": 5e-4,
    "weight_decay": 5e-5,
    "warmup_epochs": 5,
    "minibatch": 64,
    "prepare_batches": 8,
    "translate": 0.1,
}
ONE_CHANNEL = {"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-4, "minibatch": 128}


def test_recipes_are_those_of_the_paper(suite):
    is_small = suite.name == "paper-small"
    colour = THREE_CHANNEL | ({"examples": 1024} if is_small else {})
    assert recipe(suite, "glow-unflipped") == colour
    assert recipe(suite, "glow") == colour | {"horizontal_flip": True}
    gray = ONE_CHANNEL | ({"examples": 2048} if is_small else {"precision": "float64"})
    assert recipe(suite, "glow-linear") == gray


def test_the_full_suites_have_the_models_of_the_paper():
    for name in ("paper", "paper-code"):
        models = opened(name).models
        glow = {"levels": 3, "steps": 32, "width": 512}
        assert models["glow"].options == models["glow-unflipped"].options == glow
        linear = {"steps": 10, "width": 1000, "hidden_layers": 10, "shared_steps": True}
        assert linear.items() <= models["glow-linear"].options.items()


def test_the_departures_of_the_code_are_in_its_suite_alone():
    text, code = opened("paper"), opened("paper-code")
    assert {item.fit_overlap for item in text.suite.comparisons} == {"none"}
    assert {item.fit_overlap for item in code.suite.comparisons} == {"paper"}
    name, noisy = "layer_gradient_sq_norms", {"noise": "dequantisation"}
    assert text.statistics[name].options == {"objective": "log-prob", "noise": "none"}
    assert code.statistics[name].options == {"objective": "latent-sum", **noisy}
    assert text.statistics["log_prob"].options == {"noise": "none"}
    assert code.statistics["log_prob"].options == noisy
    scorer = "gradient-gaussian"
    assert code.scorers[scorer].options == {
        **text.scorers[scorer].options,
        "constant_layers": "keep",
    }
    linear = code.models["glow-linear"].options
    assert linear == {
        **text.models["glow-linear"].options,
        "dequantisation": "none",
        "ladj_constant": 1.0,
    }
    departures = {
        name: dataset.options
        for name, dataset in code.datasets.items()
        if dataset.options != text.datasets[name].options
    }
    assert departures == {
        "celeba": {"crop": "code", "partition": "random", "verify": True},
        "imagenet32": {"jpeg": True, "verify": True},
    }


def test_the_protocol_of_the_paper_scores_1000_examples_of_each_side(suite):
    for planned in make_plan(select(suite, ["epoch=1"]), {}).cells:
        in_, out = (job.draw for job in planned.dequantised)
        assert len(in_.ids(10_000)) == len(out.ids(10_000)) == 1000


def test_the_small_suite_fits_on_1000_examples_more():
    (planned, *_) = make_plan(opened("paper-small"), {}).cells
    fit, in_, _ = (job.draw for job in planned.reads["log_prob"])
    assert len(fit.ids(10_000)) == 1000
    assert not set(fit.ids(10_000)) & set(in_.ids(10_000))
