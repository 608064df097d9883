"""Published values: numbers from a paper for cells of a suite, from a JSON file."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.results import Cell
from harness.suite.schema import Count, Epoch, Suite

MAX_BYTES = 100_000_000
Place = tuple[str, str, str, int, int]
"""ID set, OOD set, scorer, epoch, group size."""


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)

    in_dataset: Annotated[str, Field(alias="in")]
    out: str
    group_size: Count
    epoch: Epoch | Literal["last"]
    auroc: Annotated[float, Field(ge=0, le=1)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    source: str
    scorer: str
    examples: Count
    values: tuple[_Value, ...]


@dataclass(frozen=True)
class Reference:
    """Published AUROC values for a scorer.

    Attributes:
        source: Title or address of the publication.
        examples: Number of scored examples per side.
        decimals: Number of printed decimals: the largest number among the values in the file.
        values: OOD positive, by place; `"last"` is replaced by an epoch number.
    """

    source: str
    examples: int
    decimals: int
    values: Mapping[Place, float]

    def value(self, cell: Cell) -> float | None:
        """Return the published value for a cell, for any model and seed; None if unpublished."""
        place = (cell.in_dataset, cell.out_dataset, cell.scorer, cell.epoch, cell.group_size)
        return self.values.get(place)


def read_reference(path: Path, suite: Suite) -> Reference:
    """Read published values for a suite.

    The epoch `"last"` is the largest epoch in the suite for the ID set. If the file has a separate
    value for that epoch, the separate value counts.

    Raises:
        ValueError: The file cannot be read or has a wrong format; the message names the mistake.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is not a file")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path}: published values have at most {MAX_BYTES:,} bytes")
        file = _File.model_validate_json(path.read_bytes().removeprefix(BOM_UTF8))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {where}: {first['msg']}") from error
    last = _last_epochs(suite)
    values: dict[Place, float] = {}
    for item in sorted(file.values, key=lambda item: item.epoch != "last"):
        epoch = last.get(item.in_dataset, 0) if item.epoch == "last" else item.epoch
        values[item.in_dataset, item.out, file.scorer, epoch, item.group_size] = item.auroc
    decimals = max((len(str(value).partition(".")[2]) for value in values.values()), default=1)
    return Reference(file.source, file.examples, decimals, values)


def _last_epochs(suite: Suite) -> dict[str, int]:
    """Find the largest epoch for each ID set."""
    last: dict[str, int] = {}
    for comparison in suite.comparisons:
        for name in comparison.in_datasets:
            last[name] = max(last.get(name, 0), *comparison.epochs)
    return last
