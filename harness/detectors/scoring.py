"""From examples to scores: weights loaded, statistics evaluated, the scorer fitted again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contracts import FittedStatistic, NeedsFeatureNames, Scorer, Statistic
from harness.detectors.description import UsedModel, UsedStatistic
from harness.detectors.folder import ABOUT, Contents
from harness.detectors.inputs import checked
from harness.domain import Examples
from harness.errors import DataError, ScoreError, is_out_of_memory
from harness.registry.registry import Registry
from harness.settings import BATCH_SIZE
from harness.suite import Component

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

RTOL, ATOL = 1e-6, 1e-9
"""Tolerances for the scores of the fit groups, which other versions of libraries may round."""


def fitted_scorer(
    component: Component,
    features: Mapping[str, Sequence[str]],
    fit: Mapping[str, NDArray[np.float64]],
) -> tuple[Scorer, NDArray[np.float64]]:
    """Build and fit a scorer.

    Arguments:
        component: The scorer.
        features: Names of the columns, by input.
        fit: Values for the fit groups, by input, as in `Scorer.fit`.

    Returns:
        The scorer, and the scores of the fit groups, float64, (M,).
    """
    scorer: Scorer = component.build()
    if set(scorer.inputs) != set(fit):
        known = ", ".join(fit)
        raise DataError(
            f"scorer {component.name!r} reads {', '.join(scorer.inputs)}, but the detector has "
            f"the statistics {known}"
        )
    if isinstance(scorer, NeedsFeatureNames):
        scorer.name_features(features)
    scorer.fit(fit)
    return scorer, np.asarray(scorer.score(fit), np.float64)


class Scoring:
    """Scores of groups of examples.

    Arguments:
        contents: The folder of a detector.
        registry: The plugins.
        device: Device for the models.

    Attributes:
        models: The models, in evaluation mode.

    Raises:
        PluginError: A plugin is unknown, or another version.
        DataError: The parts of the folder do not fit together.
        ScoreError: The scorer gives other scores than where the detector was made.
    """

    def __init__(self, contents: Contents, registry: Registry, device: torch.device) -> None:
        self._contents, self._device = contents, device
        description = self._description = contents.description
        self._scorer = self._fitted(registry)
        self.models = [self._model(part, registry) for part in description.models]
        self._statistics = [self._statistic(part, registry) for part in description.statistics]

    def __call__(self, examples: Examples) -> NDArray[np.float64]:
        """Score consecutive groups.

        Arguments:
            examples: (M * b, *domain.shape), with b the group size.

        Returns:
            float64, (M,), higher is more OOD; NaN for a group with a value that is not finite.
        """
        values = [
            self._values(part, statistic, examples)
            for part, statistic in zip(self._description.statistics, self._statistics, strict=True)
        ]
        read = {name: values[place] for name, place in self._description.inputs.items()}
        is_known = np.all([np.isfinite(x).reshape(len(x), -1).all(1) for x in values], axis=0)
        scores = np.full(len(is_known), np.nan)
        if is_known.any():
            known = {name: rows[is_known] for name, rows in read.items()}
            scores[is_known] = self._scorer.score(known)
        scores[~np.isfinite(scores)] = np.nan
        return scores

    def _fitted(self, registry: Registry) -> Scorer:
        description, contents = self._description, self._contents
        places = description.inputs.items()
        parts = {name: description.statistics[place] for name, place in places}
        fit = {name: contents.array(part.fit, "float64") for name, part in parts.items()}
        features = {name: part.features for name, part in parts.items()}
        for name, values in fit.items():
            columns, size = len(features[name]), description.group_size
            if values.shape[1:] not in ((columns,), (size, columns)):
                raise DataError(
                    f"{contents.folder / parts[name].fit} has shape {values.shape}, but there are "
                    f"{columns} columns, and groups of {size}"
                )
        component = description.scorer.component("scorers", registry)
        scorer, scores = fitted_scorer(component, features, fit)
        expected = contents.array(description.fit_scores, "float64")
        if scores.shape != expected.shape or not np.allclose(scores, expected, RTOL, ATOL):
            raise ScoreError(
                f"{contents.folder}: scorer {component.name!r} gives other scores than where the "
                f"detector was made, with {_versions(contents.facts)}: install the same versions, "
                "or make the detector again here"
            )
        return scorer

    def _model(self, part: UsedModel, registry: Registry) -> Any:
        from harness.compute.checkpoints import model_with

        component = part.component("models", registry)
        where = self._contents.folder / part.weights
        with _fitting_into_memory(f"{where}: the model {part.name!r}"):
            try:
                content = self._contents.file(part.weights)
                return model_with(component, self._description.input_domain, content, self._device)
            except DataError as error:
                raise DataError(f"{where}: {error}") from error

    def _statistic(self, part: UsedStatistic, registry: Registry) -> Statistic:
        from harness.compute.evaluate import fit_to

        component = part.component("statistics", registry)
        statistic: Statistic = component.build()
        is_fitted = isinstance(statistic, FittedStatistic)
        if is_fitted != (part.examples is not None):
            raise DataError(
                f"{self._contents.folder / ABOUT}: statistic {part.name!r} "
                f"{'lacks' if is_fitted else 'needs no'} examples to fit it to"
            )
        model = self._model_of(part)
        if isinstance(statistic, FittedStatistic) and part.examples is not None:
            domain = self._description.input_domain
            examples = self._contents.array(part.examples, domain.dtype)
            examples = checked(str(self._contents.folder / part.examples), examples, domain)
            fit_to(statistic, model, self._input(examples), self._device)
        if list(statistic.features(model)) != list(part.features):
            raise DataError(f"statistic {part.name!r} has other columns than the detector's")
        return statistic

    def _input(self, examples: Examples) -> torch.Tensor:
        """Return examples as a model takes them."""
        from harness.compute.inputs import model_input, stored_tensor

        tensor = stored_tensor(np.require(examples, requirements=["C", "W"]))  # as torch needs
        return model_input(tensor, self._description.input_domain)

    def _model_of(self, part: UsedStatistic) -> Any:
        return None if part.model is None else self.models[part.model]

    def _values(
        self, part: UsedStatistic, statistic: Statistic, examples: Examples
    ) -> NDArray[np.float64]:
        """Evaluate a statistic in the format for scorers: (M, b, F) or (M, F)."""
        from harness.compute.evaluate import evaluate

        size = self._description.group_size
        is_per_example = statistic.per == "example"
        model, evaluated = self._model_of(part), 1 if is_per_example else size
        inputs, device = self._input(examples), self._device
        values = evaluate(
            statistic, model, inputs, evaluated, BATCH_SIZE, device, lambda amount: None
        )
        return values.reshape(-1, size, values.shape[1]) if is_per_example else values


@contextmanager
def _fitting_into_memory(what: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise DataError(f"{what} does not fit into memory ({error})") from error


def _versions(facts: Mapping[str, Any]) -> str:
    """Return the versions of the libraries that made a detector, in words."""
    versions = facts.get("versions")
    found = versions if isinstance(versions, dict) else {}
    return ", ".join(f"{name} {version}" for name, version in found.items()) or "unknown versions"
