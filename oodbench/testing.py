"""The conformance kit: requirements on every model, scorer, statistic and data set.

In a test for your plugin:

    from oodbench.testing import assert_conforms, check_model

    def test_my_model():
        assert_conforms(check_model(MyModel))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oodbench._names import lazily

if TYPE_CHECKING:
    from harness.testing.checks import Check, assert_conforms
    from harness.testing.datasets import check_dataset
    from harness.testing.models import check_model
    from harness.testing.placement.models import check_model_placement
    from harness.testing.placement.statistics import check_statistic_placement
    from harness.testing.scorers import check_scorer
    from harness.testing.statistics import check_statistic

__all__ = [
    "Check",
    "assert_conforms",
    "check_dataset",
    "check_model",
    "check_model_placement",
    "check_scorer",
    "check_statistic",
    "check_statistic_placement",
]
_HOMES = (
    "harness.testing.checks",
    "harness.testing.datasets",
    "harness.testing.scorers",  # before the modules that import torch
    "harness.testing.statistics",
    "harness.testing.models",
    "harness.testing.placement.statistics",
    "harness.testing.placement.models",
)
__getattr__ = lazily(__name__, _HOMES, __all__)
