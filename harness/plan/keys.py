"""Keys: what a stored result depends on, in clear, and its digest.

Every setting is declared here to enter a key or not to; a test holds the declarations against
the settings that exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.domain import Images

if TYPE_CHECKING:
    from harness.suite.components import Component, ModelComponent
    from harness.suite.schema import Recipe


FORMAT = 1

TRAIN_KEY_SETTINGS = frozenset(
    {"plugin", "options", "seeds", "in_datasets", "dataset"}
    | {"optimizer", "learning_rate", "weight_decay", "warmup_epochs", "minibatch"}
    | {"clip_grad_norm", "precision", "translate", "horizontal_flip", "prepare_batches"}
    | {"examples", "mutation_rate"}
)
"""Settings that enter the train key, by value or (data sets) by content."""

ADDED_TO_RECIPES: Mapping[str, Any] = {"mutation_rate": 0.0}
"""Keys of a recipe that came after trainings had been stored, each with the value at which a
training is bit for bit what it was without the key. There the key is left out of the train key."""

STATISTIC_KEY_SETTINGS = frozenset(
    {"epochs", "group_sizes", "out_datasets", "n_in", "n_fit", "n_out", "fit_overlap", "draw_seed"}
)
"""Settings that enter statistic keys, by value or by the examples that they draw."""

NOT_KEY_SETTINGS = frozenset(
    {"training", "models", "scorers"}  # names; what they name enters, or is recomputed
    | {"device", "batch_size", "workers", "threads", "compile", "executor"}
    | {"store", "data"}
)
"""Settings that change no number beyond rounding."""


def train_inputs(
    model: ModelComponent, domain: Images, fingerprint: str, seed: int
) -> dict[str, Any]:
    """What a trained model depends on; its epochs are children of this.

    Arguments:
        model: Plugin, options and recipe.
        domain: What the model is built for.
        fingerprint: Content fingerprint of the train split.
        seed: Seed of initial weights, order of examples, noise and augmentation.
    """
    return {
        "format": FORMAT,
        "model": model.identity(),
        "domain": {**vars(domain)},
        "recipe": _recipe_identity(model.recipe),
        "train_split": fingerprint,
        "seed": seed,
    }


def _recipe_identity(recipe: Recipe) -> dict[str, Any]:
    identity = {
        name: value
        for name, value in recipe.model_dump().items()
        if name not in ADDED_TO_RECIPES or value != ADDED_TO_RECIPES[name]
    }
    # Trainings stored without this entry took the first examples of the split.
    return identity if recipe.examples is None else identity | {"examples_are": "a permutation's"}


def checkpoint_key(train_key: str, epoch: int) -> str:
    """Where the checkpoint of an epoch lies under its train key."""
    return f"{train_key}/epoch-{epoch:06d}"


def statistic_inputs(
    model: ModelComponent,
    domain: Images,
    statistic: Component,
    weights: str | None,
    examples: Mapping[str, str],
    group_size: int | None,
    fit: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a stored statistic depends on; neither model nor fit if it is of the examples alone.

    The same weights may mean another density in another model, or under other options.

    Arguments:
        model: Plugin and options.
        domain: What the model is built for.
        statistic: Plugin and options.
        weights: sha256 of the checkpoint's weights; None for a statistic of the examples alone.
        examples: Content fingerprint of the split and digest of the example numbers.
        group_size: None for a statistic per example.
        fit: Of a fitted statistic, the examples of role `fit`, given like `examples`, and which
            part of them it is fitted on.
    """
    inputs = {
        "format": FORMAT,
        "domain": {**vars(domain)},
        "statistic": statistic.identity(),
        "examples": dict(examples),
        "group_size": group_size,
    }
    if weights is not None:
        inputs |= {"model": model.identity(), "weights": weights}
        if fit is not None:
            inputs["fit"] = dict(fit)
    return inputs
