"""Scorers that are made of scorers: named in a suite, built anew, their mistakes located."""

from __future__ import annotations

import pytest

from harness.data.roles import Draw
from harness.errors import SuiteError
from harness.plan.expand import make_plan
from harness.suite import load_suite

BASE = """
    [training.brief]

    [models.flow]
    plugin = "glow"
    training = "brief"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"

    [scorers.blunt]
    plugin = "gradient-gaussian"
    options = { eps = 0.5 }

    [scorers.all]
    plugin = "ensemble"
    options = { scorers = ["blunt", "typicality", "both"], method = "harmonic-mean" }

    [scorers.both]
    plugin = "calm"
    options = { inner = "gradient-gaussian" }

    [plugins]
    paths = ["calm.py"]

    [[comparisons]]
    models = ["flow"]
    in = ["digits"]
    out = "others"
    epochs = [1]
    scorers = ["all"]
"""


PLUGIN = """
from oodbench import Entry, Scorer, hookimpl


@hookimpl
def bench_scorers():
    return [Entry("calm", ":Calm", "half of another score")]


class Calm:
    def __init__(self, *, inner: Scorer) -> None:
        self.inner = inner
        self.inputs = inner.inputs

    def fit(self, statistics):
        self.inner.fit(statistics)
        return self

    def score(self, statistics):
        return self.inner.score(statistics) / 2
"""


@pytest.fixture
def written(write_suite):
    """Write the suite and the plugin that it names."""
    write_suite(PLUGIN, "calm.py")
    return write_suite


def test_members_are_the_suites_or_plugins_of_those_names(written):
    suite = load_suite(written(BASE))
    component = suite.scorers["all"]
    assert [item.text for item in component.inputs] == ["layer_gradient_sq_norms", "log_prob"]
    blunt, typicality, both = component.build().scorers
    assert blunt.eps == 0.5
    assert type(typicality).__name__ == "Typicality"
    assert both.inner.eps == 1e-10
    assert component.build().scorers[0] is not blunt


def test_what_members_are_is_part_of_what_the_scorer_is(written):
    first = load_suite(written(BASE)).scorers["all"]
    other = load_suite(written(BASE.replace("eps = 0.5", "eps = 0.25"))).scorers["all"]
    renamed = load_suite(written(BASE.replace("blunt", "dull"))).scorers["all"]
    assert first.identity() == renamed.identity() != other.identity()
    members = first.provenance()["members"]
    assert [made["plugin"] for made in members] == [
        "gradient-gaussian",
        "typicality",
        "calm",
    ]
    assert [made["plugin"] for made in members[2]["members"]] == ["gradient-gaussian"]


def test_it_is_fitted_to_the_fit_draw_of_its_id_set_alone(written):
    plan = make_plan(load_suite(written(BASE)), {})
    (planned,) = plan.cells
    assert set(planned.reads) == {"layer_gradient_sq_norms", "log_prob"}
    for fit, in_, out in planned.reads.values():
        assert (fit.draw.dataset, fit.draw.role) == ("digits", "fit")
        assert (in_.draw.dataset, in_.draw.role) == ("digits", "in")
        assert (out.draw.dataset, out.draw.role) == ("noise", "out")
        assert isinstance(fit.draw, Draw)
        assert not set(fit.draw.ids(600)) & set(in_.draw.ids(600))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            '"typicality", ',
            '"typicalty", ',
            "20: scorers.all.options.scorers: there is no scorer 'typicalty' "
            "(did you mean 'typicality'?)",
        ),
        (
            'inner = "gradient-gaussian"',
            'inner = "all"',
            "24: scorers.both.options.inner: scorer 'all' contains itself",
        ),
        (
            '"typicality", ',
            '"all", ',
            "20: scorers.all.options.scorers: scorer 'all' contains itself",
        ),
        (
            '["blunt", "typicality", "both"]',
            '["blunt"]',
            "20: scorers.all.options: ensemble combines two or more scorers, not 1",
        ),
        (
            '["blunt", "typicality", "both"]',
            '"blunt"',
            "20: scorers.all.options.scorers: input should be a valid array, not 'blunt'",
        ),
        (
            '{ inner = "gradient-gaussian" }',
            "{ }",
            "24: scorers.both.options.inner: missing option",
        ),
        (
            '"typicality", ',
            '"waic", ',
            "20: scorers.waic.options: waic: give either seeds or epochs, for example "
            "seeds = [0, 1, 2]",
        ),
    ],
)
def test_mistakes_are_located(written, old, new, expected):
    path = written(BASE.replace(old, new, 1))
    with pytest.raises(SuiteError) as error:
        load_suite(path)
    assert [str(problem) for problem in error.value.problems] == [f"{path}:{expected}"]
