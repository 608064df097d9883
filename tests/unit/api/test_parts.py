"""Single statistics and scorers: the values of a suite without one, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oodbench
from harness.compute.checkpoints import build_model, load_tensors
from harness.store.layout import CHECKPOINTS, WEIGHTS
from harness.store.records import Store
from tests.unit.api.test_evaluation import Normal, images, total


def test_parts_together_are_a_cell_of_a_suite(made, results):
    plan = results.outcome.plan
    (chain,) = plan.chains.values()
    weights = Store(made / "store").read(CHECKPOINTS, plan.checkpoint_key(chain.id, 2), WEIGHTS)
    module = build_model(chain.model, chain.domain, 0)
    module.load_state_dict(load_tensors(weights))
    log_prob, typicality = oodbench.statistic("log_prob"), oodbench.scorer("typicality")
    found = results.scores(scorer="typicality", epoch=2)
    digits = plan.prepared["digits"].load("test")
    (fit,) = {planned.reads["log_prob"].fit for planned in plan.cells if planned.cell.epoch == 2}
    typicality.fit({"log_prob": log_prob(module, digits[fit.draw.ids(len(digits))])})
    scores = typicality.score({"log_prob": log_prob(module, digits[found.examples_in[:, 0]])})
    assert np.allclose(scores, found.scores_in, rtol=1e-6)


def test_values_are_those_of_the_model(made):
    x, module = images(0), Normal(100).train()
    assert np.array_equal(
        oodbench.statistic("log_prob")(module, x)[:, 0],
        module.log_prob(torch.from_numpy(x)).double().detach().numpy(),
    )
    assert np.array_equal(oodbench.statistic("log_prob")(total, x)[:, 0], -x.sum((1, 2, 3), float))
    assert module.training
    norms = oodbench.statistic("layer_gradient_sq_norms")
    values = norms(module, x, group_size=4)
    assert values.shape == (20, 1)
    assert norms.features(module, x) == ["mean"]
    module.log_prob(torch.from_numpy(x[:4])).sum().backward()
    assert values[0, 0] == pytest.approx(float(module.mean.grad.square().sum()), rel=1e-5)


def test_a_statistic_that_is_fitted(made):
    fisher = oodbench.statistic("layer_fisher_diagonal")
    with pytest.raises(oodbench.BenchError, match="is fitted to ID examples first"):
        fisher(Normal(100), images(0))
    module = Normal(100)
    values = fisher.fit(module, images(0))(module, images(1))
    assert values.shape == (80, len(fisher.features(module, images(1))))
    with pytest.raises(oodbench.BenchError, match="log_prob is not fitted to examples"):
        oodbench.statistic("log_prob").fit(module, images(0))


def test_options_and_members_of_scorers():
    values = {"log_prob": np.random.default_rng(0).normal(size=(30, 1))}
    both = oodbench.scorer("ensemble", scorers=["typicality", "log-likelihood"])
    assert both.inputs == ("log_prob",)
    assert both.fit(values).score(values).shape == (30,)


def test_groups_of_examples_and_of_one():
    values = np.random.default_rng(0).normal(size=(30, 1))
    scorer = oodbench.scorer("typicality").fit({"log_prob": values})
    single = scorer.score({"log_prob": values})
    assert np.array_equal(single, scorer.score({"log_prob": values[:, None]}))
    groups = scorer.score({"log_prob": values.reshape(10, 3, 1)})
    assert np.allclose(groups, np.abs(values.reshape(10, 3).mean(1) - values.mean()))


NORMS = {"layer_gradient_sq_norms": np.random.default_rng(0).uniform(1, 2, (30, 3))}


@pytest.mark.parametrize(
    ("call", "mistake"),
    [
        (
            lambda: oodbench.statistic("log_prop"),
            "no statistic 'log_prop' (did you mean 'log_prob'",
        ),
        (lambda: oodbench.scorer("typicalty"), "no scorer 'typicalty' (did you mean 'typicality'"),
        (
            lambda: oodbench.statistic("log_prob", nois="none"),
            "log_prob: nois: unknown option (did you mean 'noise'?)",
        ),
        (lambda: oodbench.statistic("log_prob", noise=3), "log_prob: noise: "),
        (
            lambda: oodbench.scorer("ensemble", scorers=["typicalty"]),
            "there is no scorer 'typicalty' (did you mean 'typicality'?)",
        ),
        (
            lambda: oodbench.scorer("typicality").score({"log_prob": np.zeros((3, 1))}),
            "typicality was asked for scores before it was fitted",
        ),
        (
            lambda: oodbench.scorer("typicality").fit({"log_prop": np.zeros((3, 1))}),
            "typicality reads log_prob, which is not passed (did you mean 'log_prop'?)",
        ),
        (
            lambda: oodbench.scorer("typicality").fit(np.zeros((3, 1))),
            "pass a mapping of names to",
        ),
        (
            lambda: oodbench.scorer("typicality").fit({"log_prob": np.zeros(3)}),
            "log_prob should have shape (M, F) or (M, b, F), not (3,)",
        ),
        (
            lambda: oodbench.scorer("gradient-gaussian").fit(
                {"layer_gradient_sq_norms": np.ones((3, 1, 2))}
            ),
            "layer_gradient_sq_norms should have shape (M, F), not (3, 1, 2)",
        ),
        (
            lambda: (
                oodbench.scorer("gradient-gaussian")
                .fit(NORMS)
                .score({"layer_gradient_sq_norms": np.ones((3, 2))})
            ),
            "layer_gradient_sq_norms has 2 columns, but 3 in the fit",
        ),
        (
            lambda: oodbench.scorer("gradient-gaussian").fit(
                {"layer_gradient_sq_norms": np.ones((1, 3))}
            ),
            "groups",
        ),
        (
            lambda: oodbench.scorer("typicality").fit({"log_prob": np.zeros((0, 1))}),
            "log_prob has no groups",
        ),
        (
            lambda: oodbench.scorer("typicality").fit({"log_prob": np.full((2, 1), np.nan)}),
            "log_prob has values that are not finite",
        ),
        (lambda: oodbench.statistic("log_prob")(3, images(0)), "expected a module with log_prob"),
        (
            lambda: oodbench.statistic("log_prob")(total, images(0) / 255),
            "x: images must be uint8, not float64",
        ),
        (
            lambda: oodbench.statistic("log_prob")(total, images(0), group_size=2),
            "log_prob has a row per example",
        ),
        (
            lambda: oodbench.statistic("layer_gradient_sq_norms")(
                Normal(0), images(0), group_size=81
            ),
            "a group needs 81 examples, but x has 80",
        ),
        (
            lambda: oodbench.statistic("layer_gradient_sq_norms")(total, images(0)),
            "does not depend on any parameter",
        ),
    ],
)
def test_mistakes_are_refused(call, mistake):
    with pytest.raises(oodbench.BenchError) as caught:
        call()
    assert mistake in str(caught.value)
