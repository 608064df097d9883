"""Keys: the dependencies of a stored result in readable form, to be hashed.

Every setting is declared here, either for a key or for none; a test compares the declarations with
the existing settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.domain import Domain
from harness.store.layout import CHECKPOINTS

if TYPE_CHECKING:
    from harness.store.records import Store
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
"""Recipe keys added after trainings had been stored, each with a neutral value: with that value a
training is bit for bit the same as without the key, so the train key omits the key."""

SAVED_KEY_SETTINGS = frozenset(
    {"checkpoints", "files", "repository", "revisions"}
    | {"state", "ignore", "rename", "strip", "add"}
)
"""Settings that enter the key of a saved epoch, by value or (files) by content; `epochs` and
`precision` do too."""

STATISTIC_KEY_SETTINGS = frozenset(
    {"epochs", "group_sizes", "out_datasets", "n_in", "n_fit", "n_out", "fit_overlap", "draw_seed"}
    | {"evaluation_precision"}
)
"""Settings that enter statistic keys, by value or through the drawn examples."""

NOT_KEY_SETTINGS = frozenset(
    {"training", "models", "scorers"}  # names; the contents enter keys or are recomputed
    | {"allow_equal"}  # whether there is a number at all
    | {"device", "batch_size", "workers", "threads", "compile", "executor", "locks"}
    | {"store", "data"}
)
"""Settings that affect numbers only by rounding."""


def train_inputs(
    model: ModelComponent, domain: Domain, fingerprint: str, seed: int
) -> dict[str, Any]:
    """Collect the dependencies of a trained model; epochs are children of the train key.

    Arguments:
        model: Plugin, options and recipe.
        domain: Domain of the model.
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


def saved_inputs(model: ModelComponent, domain: Domain, content: str) -> dict[str, Any]:
    """Collect the dependencies of a saved epoch; seed, epoch and names of files are none.

    Arguments:
        model: Plugin, options and the way to read the files.
        domain: Domain of the model.
        content: Digest of the files with the weights.
    """
    assert model.saved is not None, "only of models with saved epochs"
    return {
        "format": FORMAT,
        "model": model.identity(),
        "domain": {**vars(domain)},
        "saved": model.saved.identity(content),
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
    """Return the key of the checkpoint for an epoch, below the train key."""
    return f"{train_key}/epoch-{epoch:06d}"


def stored_epochs(store: Store, train_key: str) -> list[int]:
    """List the epochs of a training with a stored checkpoint, ascending."""
    names = [path.name for path in store.path(CHECKPOINTS, train_key).glob("epoch-*")]
    found = (int(name.removeprefix("epoch-")) for name in names if name[6:].isdecimal())
    return sorted(x for x in found if store.has(CHECKPOINTS, checkpoint_key(train_key, x)))


def statistic_inputs(
    model: ModelComponent,
    domain: Domain,
    statistic: Component,
    weights: str | None,
    examples: Mapping[str, str],
    group_size: int | None,
    fit: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Collect the dependencies of a stored statistic.

    A statistic of the examples alone depends on neither model nor fit. The model enters together
    with the weights, because equal weights in another model, or with other options, may define a
    different density.

    Arguments:
        model: Plugin and options, and the precision of an evaluation.
        domain: Domain of the model.
        statistic: Plugin and options.
        weights: sha256 of the checkpoint's weights; None for a statistic of the examples alone.
        examples: Content fingerprint of the split and digest of the example numbers.
        group_size: None for a statistic per example.
        fit: For a fitted statistic, the examples of role `fit`, in the format of `examples`, and
            the part used for the fit.
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
        if model.evaluation_precision != "full":  # a key added after statistics had been stored
            inputs["evaluation_precision"] = model.evaluation_precision
        if fit is not None:
            inputs["fit"] = dict(fit)
    return inputs
