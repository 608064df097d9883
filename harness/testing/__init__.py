"""The conformance kit: what every model, scorer, statistic and data set must do.

In a test of your own plugin:

    from oodbench.testing import assert_conforms, check_model

    def test_my_model():
        assert_conforms(check_model(MyModel))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.testing.checks import Check, assert_conforms

if TYPE_CHECKING:
    from harness.testing.datasets import check_dataset
    from harness.testing.models import check_model
    from harness.testing.scorers import check_scorer
    from harness.testing.statistics import check_statistic

__all__ = [
    "Check",
    "assert_conforms",
    "check_dataset",
    "check_model",
    "check_scorer",
    "check_statistic",
]


def __getattr__(name: str) -> Any:
    """Import a kind's checks when they are asked for: two of the four need torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    kind = name.removeprefix("check_")
    return getattr(import_module(f"harness.testing.{kind}s"), name)
