"""Checks of comparisons with known names: equal domains, valid training data, saved epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from harness.domain import Images
from harness.suite.resolved import ResolvedSuite
from harness.suite.schema import Comparison
from harness.suite.toml.origins import Key

Found: TypeAlias = tuple[Key, str]


def comparison_problems(resolved: ResolvedSuite) -> Iterator[Found]:
    """Yield the key and the message for each mistake; repetitions are possible."""
    for number, comparison in enumerate(resolved.suite.comparisons):
        key: Key = ("comparisons", number)
        for in_dataset in comparison.in_datasets:
            yield from _out(resolved, comparison, in_dataset, (*key, "out"))
            yield from _judged(resolved, comparison, in_dataset, (*key, "models"))
            yield from _read(resolved, comparison, in_dataset)
            yield from _augmented(resolved, comparison, in_dataset)
        yield from _saved(resolved, comparison)


def _out(
    resolved: ResolvedSuite, comparison: Comparison, in_dataset: str, key: Key
) -> Iterator[Found]:
    """Find OOD sets with a different domain, and comparisons without any OOD set."""
    domain = resolved.datasets[in_dataset].dataset.domain
    outs = resolved.out_datasets(comparison, in_dataset)
    if not outs:
        yield key, f"no OOD data set is left for {in_dataset!r} ({domain})"
    for name in outs:
        other = resolved.datasets[name].dataset.domain
        if other != domain:
            yield key, f"{name!r} is {other}, but {in_dataset!r} is {domain}"


def _judged(
    resolved: ResolvedSuite, comparison: Comparison, in_dataset: str, key: Key
) -> Iterator[Found]:
    """Find models judged with an ID set that differs from the training data."""
    for place, name in enumerate(comparison.models):
        trained_on = resolved.trained_on(name, in_dataset)
        if trained_on != in_dataset:
            yield (
                (*key, place),
                f"{name!r} is always trained on {trained_on!r} (models.{name}.dataset), so the "
                f"model can be judged only with that ID set, not with {in_dataset!r}; scorers "
                f"can still read the model there, for example log_prob@{name}",
            )


def _read(resolved: ResolvedSuite, comparison: Comparison, in_dataset: str) -> Iterator[Found]:
    """Find models read by scorers on examples with a domain unlike the training data."""
    domain = resolved.datasets[in_dataset].dataset.domain
    for scorer in comparison.scorers:
        for item in resolved.scorers[scorer].inputs:
            if item.model is None:
                continue
            trained_on = resolved.trained_on(item.model, in_dataset)
            other = resolved.datasets[trained_on].dataset.domain
            if other != domain:
                yield (
                    ("models", item.model, "dataset"),
                    f"{trained_on!r} is {other}, but scorer {scorer!r} reads the model on "
                    f"{in_dataset!r}, which is {domain}",
                )


def _augmented(
    resolved: ResolvedSuite, comparison: Comparison, in_dataset: str
) -> Iterator[Found]:
    """Find trainings that shift or mirror examples that are not images."""
    for name in comparison.models:
        model, dataset = resolved.models[name], resolved.trained_on(name, in_dataset)
        domain = resolved.datasets[dataset].dataset.domain
        for setting in ("translate", "horizontal_flip"):
            if getattr(model.recipe, setting) and not isinstance(domain, Images):
                key = ("models", name, "training")
                yield key, f"{setting} is for images only, but {dataset!r} is {domain}"


def _saved(resolved: ResolvedSuite, comparison: Comparison) -> Iterator[Found]:
    """Find epochs and seeds of saved models, judged or read by scorers, that have no file."""
    inputs = [item for name in comparison.scorers for item in resolved.scorers[name].inputs]
    for model in comparison.models:
        asked = [(model, comparison.seeds, comparison.epochs)]
        for item in inputs:
            seeds = comparison.seeds if item.seed is None else (item.seed,)
            epochs = comparison.epochs if item.epoch is None else (item.epoch,)
            asked.append((item.model or model, seeds, epochs))
        for name, seeds, epochs in dict.fromkeys(asked):
            saved = resolved.models[name].saved
            for message in saved.lacking(seeds, epochs) if saved else ():
                yield ("models", name, "checkpoints"), message
