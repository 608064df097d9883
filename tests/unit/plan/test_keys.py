"""Keys: every setting takes a side, and changes keys or not accordingly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.data.folder import PreparedDataset
from harness.domain import Images
from harness.plan import keys
from harness.plan.expand import make_plan
from harness.plan.jobs import ChainId
from harness.settings import Settings
from harness.store import hashing
from harness.suite import load_suite
from harness.suite.schema import Checkpoints, Comparison, Model, Recipe, Statistic


def test_every_setting_is_declared_to_be_key_or_not():
    declared = [
        *(keys.TRAIN_KEY_SETTINGS, keys.SAVED_KEY_SETTINGS),
        *(keys.STATISTIC_KEY_SETTINGS, keys.NOT_KEY_SETTINGS),
    ]
    settings = {field.name for field in dataclasses.fields(Settings)}
    for table in (Checkpoints, Comparison, Model, Recipe, Statistic):
        settings |= set(table.model_fields)
    assert settings == set().union(*declared)
    assert sum(len(side) for side in declared) == len(set().union(*declared))


OTHER_RECIPE = {
    "optimizer": "adam",
    "learning_rate": 0.25,
    "weight_decay": 0.25,
    "warmup_epochs": 2.0,
    "minibatch": 32,
    "clip_grad_norm": 1.0,
    "precision": "float64",
    "translate": 0.1,
    "horizontal_flip": True,
    "prepare_batches": 2,
    "examples": 100,
    "mutation_rate": 0.1,
}


def prepared(name, tmp_path, mark=""):
    counts = {"train": 1197, "test": 600}
    marks = {split: f"{name}-{split}{mark}" for split in counts}
    return PreparedDataset(name, Images(1, 8, 8), tmp_path, "key", counts, marks)


@pytest.fixture
def plan_with(tiny_suite, tmp_path):
    """The plan of the tiny suite with one recipe or model changed."""

    def build(mark="", seed=0, recipe=None, options=None):
        suite = load_suite(tiny_suite)
        flow = suite.models["flow"]
        changed = dataclasses.replace(
            flow,
            recipe=flow.recipe.model_copy(update=recipe or {}),
            options={**flow.options, **(options or {})},
        )
        suite.models["flow"] = changed
        sets = {name: prepared(name, tmp_path, mark) for name in ("digits", "noise", "photos")}
        plan = make_plan(suite, sets)
        chain = plan.chains.pop(ChainId("flow", "digits", 0))
        plan.chains[ChainId("flow", "digits", seed)] = chain
        return plan.train_key(ChainId("flow", "digits", seed))

    return build


def test_the_recipe_test_names_every_key():
    assert set(OTHER_RECIPE) == set(Recipe.model_fields)


@pytest.mark.parametrize("setting", sorted(OTHER_RECIPE))
def test_every_key_of_a_recipe_changes_the_train_key(plan_with, setting):
    assert plan_with(recipe={setting: OTHER_RECIPE[setting]}) != plan_with()


def test_every_precision_has_its_own_train_key(plan_with):
    precisions = ("float32", "float64", "bfloat16")
    assert len({plan_with(recipe={"precision": name}) for name in precisions}) == 3


class FakeModel:
    """A model as train keys see it."""

    def __init__(self, **recipe):
        self.recipe = Recipe(learning_rate=0.25, **recipe)

    def identity(self):
        return {"plugin": "m"}


def train_inputs(**recipe):
    return keys.train_inputs(FakeModel(**recipe), Images(1, 2, 2), "f", 0)


def test_keys_that_recipes_got_later_leave_older_trainings_stored():
    # The digest is that of the time before any of these keys.
    assert hashing.digest(train_inputs()) == "80430d1621c3b5c44cadc036e8149af8"
    for name, neutral in keys.ADDED_TO_RECIPES.items():
        assert Recipe.model_fields[name].default == neutral
        assert hashing.digest(train_inputs(**{name: neutral})) == hashing.digest(train_inputs())
        changed = train_inputs(**{name: OTHER_RECIPE[name]})["recipe"]
        assert changed == train_inputs()["recipe"] | {name: OTHER_RECIPE[name]}


def test_seed_data_and_options_change_the_train_key(plan_with):
    found = {plan_with(), plan_with(seed=1), plan_with(mark="x"), plan_with(options={"steps": 2})}
    assert len(found) == 4


def test_the_train_key_is_stable(plan_with):
    assert plan_with() == plan_with()


def test_canonical_json_does_not_depend_on_order_and_refuses_nan():
    assert hashing.canonical_json({"b": 1, "a": [1.5]}) == '{"a":[1.5],"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        hashing.canonical_json(float("nan"))


def test_example_numbers_enter_in_their_order():
    first = hashing.ids_digest(np.array([1, 2, 3]))
    assert first == hashing.ids_digest(np.array([1, 2, 3], dtype=np.int32))
    assert first != hashing.ids_digest(np.array([3, 2, 1]))


class FakeComponent:
    """A model or a statistic as keys see it."""

    def __init__(self, options, evaluation_precision="full"):
        self.options, self.evaluation_precision = options, evaluation_precision

    def identity(self):
        return {"plugin": "s", "options": self.options}


def test_every_part_of_a_statistic_key_counts():
    examples = {"split": "a", "ids": "b"}
    plain, other = FakeComponent({}), FakeComponent({"x": 1})
    domain = Images(1, 2, 2)
    variants = [
        (plain, domain, plain, "w", examples, 1),
        (other, domain, plain, "w", examples, 1),
        (FakeComponent({}, "bfloat16"), domain, plain, "w", examples, 1),
        (plain, Images(1, 2, 2, bits=2), plain, "w", examples, 1),
        (plain, domain, other, "w", examples, 1),
        (plain, domain, plain, "v", examples, 1),
        (plain, domain, plain, "w", {**examples, "ids": "c"}, 1),
        (plain, domain, plain, "w", {**examples, "split": "c"}, 1),
        (plain, domain, plain, "w", examples, 5),
        (plain, domain, plain, "w", examples, None),
        (plain, domain, plain, "w", examples, 1, {**examples, "part": "a"}),
        (plain, domain, plain, "w", examples, 1, {**examples, "part": "b"}),
        (plain, domain, plain, "w", examples, 1, {**examples, "ids": "c", "part": "b"}),
    ]
    found = {hashing.digest(keys.statistic_inputs(*variant)) for variant in variants}
    assert len(found) == len(variants)


def test_the_precision_of_evaluations_leaves_older_statistics_stored():
    examples, domain = {"split": "a", "ids": "b"}, Images(1, 2, 2)
    plain, rounded = FakeComponent({}), FakeComponent({}, "bfloat16")
    # The digest is that of the time before `evaluation_precision`.
    inputs = keys.statistic_inputs(plain, domain, plain, "w", examples, 1)
    assert hashing.digest(inputs) == "a7608cb9b1fb370f63d96e545f799bd7"
    of_examples = [
        keys.statistic_inputs(m, domain, plain, None, examples, 1) for m in (plain, rounded)
    ]
    assert of_examples[0] == of_examples[1]
