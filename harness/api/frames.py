"""Data frames: rows in the form of pandas, which is imported only here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import BenchError

if TYPE_CHECKING:
    from pandas import DataFrame


def data_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> DataFrame:
    """Return rows as a data frame.

    Missing values of a column of numbers are NaN; whole numbers with missing values have the type
    `Int64` of pandas, so that they stay whole.

    Raises:
        BenchError: pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise BenchError(
            "a data frame needs pandas, which is not installed: install it, or oodbench with the "
            "extra [pandas]; to_dicts() needs nothing"
        ) from None
    found = {name: [row[name] for row in rows] for name in columns}
    return pandas.DataFrame(
        {name: pandas.Series(values, dtype=_type(values)) for name, values in found.items()}
    )


def _type(values: Sequence[Any]) -> str | None:
    """Return the type of a column; None if pandas infers the type."""
    kinds = {type(value) for value in values}
    if kinds == {int, type(None)}:
        return "Int64"
    return "float64" if kinds <= {float, type(None)} else None
