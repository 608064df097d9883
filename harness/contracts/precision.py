"""Full precision within a statistic, for a model whose networks compute in bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FULL = "in_full_precision"
"""Class attribute of a model whose networks compute in bfloat16: its class before."""


@contextmanager
def full_precision(model: Any) -> Iterator[None]:
    """Let a model compute in the precision of its parameters inside the context.

    A suite may ask for networks in bfloat16 (`evaluation_precision`). A statistic that compares
    two ways to compute a number does so in full precision, where rounding hides no mistake.

    Example:
        >>> from oodbench import full_precision
        >>> class Model:
        ...     "In full precision already: nothing changes."
        >>> model = Model()
        >>> with full_precision(model):
        ...     print(type(model).__name__)
        Model
    """
    kind = type(model)
    model.__class__ = getattr(kind, FULL, kind)
    try:
        yield
    finally:
        model.__class__ = kind
