"""Gradients of every layer, handed to a measure as they come in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from oodbench import ScoreError
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.graph import Untraceable
from plugins.statistics.layer_gradients.norms import Measure, MeasureTable
from plugins.statistics.layer_gradients.objectives import log_prob
from plugins.statistics.layer_gradients.plan import plan_without_fused_rules
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from plugins.statistics.layer_gradients.registry import Misaligned

# Without what computes norms alone; what it knows of a model serves all calls.
ENGINE = LayerGradientEngine(log_prob, planner=plan_without_fused_rules)

Sum = TypeVar("Sum", bound=Measure)


class Gradients:
    """Gradients of log p(x) summed over each group, all groups of a chunk in one backward pass.

    A model that this cannot be done for is done one group after the other. Which it is is settled
    when a statistic is fitted, because the two give gradients in different shapes.

    Attributes:
        looped: Whether the model is done one group after the other.
    """

    def __init__(self, model: Any, examples: Tensor) -> None:
        pairs = torch.stack((examples, examples.roll(1, 0)), dim=1)  # what holds for 2 does for b
        self.looped = not isinstance(model, nn.Module) or ENGINE.plan(model, pairs) is None

    def each(self, model: Any, groups: Tensor, measure: Measure) -> Tensor:
        """The measure of each layer of each group, float64, (M, L); 0 where there is no gradient.

        Raises:
            ScoreError: The model does other than at the fit.
        """
        if self.looped:
            return looped_layer_gradients(model, groups, log_prob, measure)
        try:
            return ENGINE.follow(model, groups, partial(MeasureTable, measure))
        except (Untraceable, Misaligned) as error:
            name = type(model).__name__
            raise ScoreError(
                f"{name} is computed in another way than at the fit: {error}"
            ) from error

    def added(self, model: Any, groups: Tensor, start: Callable[[], Sum]) -> Sum:
        """A measure that has added up something of every gradient of every group, once each.

        Arguments:
            model: As for `each`.
            groups: As for `each`.
            start: Makes the measure; it is made anew where memory ran out on the way, or a way of
                taking gradients proved wrong, because some groups were then added twice.

        Raises:
            Untraceable, Misaligned: The model cannot be followed.
        """
        if self.looped:
            measure = start()
            looped_layer_gradients(model, groups, log_prob, measure)
            return measure
        while True:
            measure, tabulated = start(), 0

            def table(count: int, measure: Measure = measure) -> MeasureTable:
                nonlocal tabulated
                tabulated += count
                return MeasureTable(measure, count)

            ENGINE.follow(model, groups, table)
            if tabulated == len(groups):
                return measure
