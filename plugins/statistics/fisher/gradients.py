"""Layer gradients, passed to a measure during the backward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from oodbench import ScoreError, UnsupportedError
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.graph import Untraceable
from plugins.statistics.layer_gradients.norms import Measure, MeasureTable
from plugins.statistics.layer_gradients.objectives import log_prob
from plugins.statistics.layer_gradients.plan import plan_without_fused_rules
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from plugins.statistics.layer_gradients.registry import Misaligned

# Fused rules compute norms alone, so the planner leaves them out. A single engine serves all
# calls, so that the plan for a model is made once.
ENGINE = LayerGradientEngine(log_prob, planner=plan_without_fused_rules)

Sum = TypeVar("Sum", bound=Measure)


class Gradients:
    """Gradients of log p(x) summed over each group, with a single backward pass per chunk.

    Where batching is impossible, the groups are processed in turn. The choice is made when a
    statistic is fitted, because the two methods give gradients in different shapes.

    Attributes:
        obstacle: The reason for processing the groups in turn; None where a batch is possible.
        looped: Whether the groups are processed in turn.
    """

    def __init__(self, model: Any, examples: Tensor) -> None:
        # A plan that holds for groups with 2 examples holds for any group size.
        pairs = torch.stack((examples, examples.roll(1, 0)), dim=1)
        self.obstacle = (
            ENGINE.obstacle(model, pairs)
            if isinstance(model, nn.Module)
            else Untraceable("the model is not a torch.nn.Module")
        )
        self.looped = self.obstacle is not None

    def each(self, model: Any, groups: Tensor, measure: Measure) -> Tensor:
        """Measure each layer and group, float64, (M, L); 0 where the gradient is missing.

        Raises:
            UnsupportedError: The model runs different modules or operations from the fit.
        """
        if self.looped:
            return looped_layer_gradients(model, groups, log_prob, measure)
        try:
            return ENGINE.follow(model, groups, partial(MeasureTable, measure))
        except (Untraceable, Misaligned) as error:
            name = type(model).__name__
            raise UnsupportedError(
                f"{name} computes these groups otherwise than the fit examples: {error}"
            ) from error

    def added(self, model: Any, groups: Tensor, start: Callable[[], Sum]) -> Sum:
        """Return a measure after passing every gradient for every group to the measure once.

        Arguments:
            model: As for `each`.
            groups: As for `each`.
            start: Creates the measure. If memory ran out on the way, or a method for taking
                gradients proved wrong, some groups were added twice, and a new measure is created.

        Raises:
            Untraceable, Misaligned: The model cannot be followed.
            ScoreError: A log-probability is not finite.
            UnsupportedError: The log-probability does not depend on any parameter.
        """
        if self.looped:
            measure = start()
            require_finite(looped_layer_gradients(model, groups, log_prob, measure))
            return measure
        while True:
            measure, tabulated = start(), 0

            def table(count: int, measure: Measure = measure) -> MeasureTable:
                nonlocal tabulated
                tabulated += count
                return MeasureTable(measure, count)

            require_finite(ENGINE.follow(model, groups, table))
            if tabulated == len(groups):
                return measure


class FittedMeasure(ABC):
    """A measure of the gradient of each layer, fitted to examples.

    Where a batch cannot be followed, the groups are processed in turn; where this shows only after
    the fit, because other examples take another way through the model, the fit is done anew.

    Arguments:
        model: The model.
        examples: uint8, (N, *shape).

    Raises:
        ScoreError: A gradient is not finite.
        UnsupportedError: No gradient exists.
    """

    def __init__(self, model: Any, examples: Tensor) -> None:
        self._gradients, self._examples = Gradients(model, examples), examples
        try:
            self._fit(model)
        except (Untraceable, Misaligned):
            self._fit_in_turn(model)

    def __call__(self, model: Any, groups: Tensor) -> Tensor:
        """Evaluate groups, uint8, (M, b, *shape); float64, (M, L).

        Raises:
            UnsupportedError: The model runs different modules or operations from the fit.
        """
        try:
            return self._evaluated(model, groups)
        except UnsupportedError:
            if self._gradients.looped:
                raise
            self._fit_in_turn(model)
            return self._evaluated(model, groups)

    def _fit_in_turn(self, model: Any) -> None:
        self._gradients.looped = True
        self._fit(model)

    @abstractmethod
    def _fit(self, model: Any) -> None:
        """Fit to the examples, with the gradients."""

    @abstractmethod
    def _evaluated(self, model: Any, groups: Tensor) -> Tensor:
        """Evaluate groups, float64, (M, L)."""


def require_finite(values: Tensor) -> None:
    """Raise if a group has NaN; (M, L), one fit example per group."""
    bad = values.isnan().any(1).nonzero()
    if len(bad):
        raise ScoreError(
            f"log p(x) or a gradient is not finite for {len(bad)} of {len(values)} fit examples; "
            f"the first is fit example {int(bad[0])}"
        )
