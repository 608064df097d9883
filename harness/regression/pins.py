"""Pins on disk: `pins/SUITE.toml`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from harness.errors import BenchError
from harness.results import Cell
from harness.store.hashing import digest
from harness.store.records import replace_file

FORMAT = 1
FOLDER = "pins"
SHOWN_DIGITS = 8
HEADING = "# Pinned values, written by `bench pin`: `bench verify` and pytest compare with them.\n"


@dataclass(frozen=True)
class Quantity:
    """A pinned number and how far from it a later one may be, in its own unit."""

    value: float
    tolerance: float


@dataclass(frozen=True)
class Pin:
    """What a cell amounted to.

    Attributes:
        auroc: OOD positive.
        se: Its DeLong standard error.
        score_in: Median score of the ID groups, higher is more OOD, in the scorer's unit. An AUROC
            does not change when all scores move alike, as by a term that is lost; this does.
        score_out: The same of the OOD groups.
        key: Digest of the settings.
        settings: What the number depends on, in clear, by part.
        provenance: Versions and weights that made it; they may differ.
    """

    cell: Cell
    auroc: Quantity
    se: float
    score_in: Quantity
    score_out: Quantity
    key: str
    settings: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Pins:
    """The pins of a suite.

    Attributes:
        suite: The suite's file.
    """

    suite: Path
    pins: tuple[Pin, ...]


def pins_path(suite: Path) -> Path:
    """Where the pins of a suite are: `pins/SUITE.toml` in the current folder."""
    return Path(FOLDER) / f"{suite.stem}.toml"


def cell_name(cell: Cell) -> str:
    """A cell in the words of `--only`."""
    return ",".join(f"{name}={value}" for name, value in cell.as_row().items())


def read_pins(path: Path) -> Pins:
    """Read pins.

    Raises:
        BenchError: The file cannot be read or holds something else.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"its format is {values['format']!r}, not {FORMAT}")
        suite = path.parent / str(values["suite"])
        pins = tuple(_pin(row, values) for row in values.get("cells", []))
    except FileNotFoundError:
        raise BenchError(f"{path}: no such file; bench pin SUITE writes it") from None
    except OSError as error:
        raise BenchError(f"{path}: cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise BenchError(f"{path}: no pins: there is no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BenchError(f"{path}: no pins: {error}") from error
    return Pins(suite, pins)


def write_pins(path: Path, pins: Pins) -> None:
    """Write pins, atomically. Settings and provenance that cells share are written once."""
    parts: dict[str, dict[str, Any]] = {"settings": {}, "provenance": {}}
    suite = Path(os.path.relpath(pins.suite.resolve(), path.parent.resolve())).as_posix()
    cells = [_row(pin, parts) for pin in pins.pins]
    values = {"format": FORMAT, "suite": suite, "cells": cells, **parts}
    replace_file(path, (HEADING + tomli_w.dumps(_without_none(values))).encode())


def _row(pin: Pin, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A pin as a table; its settings and provenance go to `parts`, by digest."""
    row = pin.cell.as_row()
    row |= {"auroc": pin.auroc.value, "se": pin.se, "tolerance": pin.auroc.tolerance}
    row |= {"score_in": vars(pin.score_in), "score_out": vars(pin.score_out), "key": pin.key}
    for kind, found in (("settings", pin.settings), ("provenance", pin.provenance)):
        names = {part: digest(value)[:SHOWN_DIGITS] for part, value in found.items()}
        parts[kind] |= {names[part]: value for part, value in found.items()}
        row[kind] = names
    return row


def _pin(row: Mapping[str, Any], values: Mapping[str, Any]) -> Pin:
    cell = Cell.from_row(row)
    found = {
        kind: {part: values.get(kind, {}).get(name, {}) for part, name in row[kind].items()}
        for kind in ("settings", "provenance")
    }
    return Pin(
        cell,
        Quantity(row["auroc"], row["tolerance"]),
        row["se"],
        Quantity(**row["score_in"]),
        Quantity(**row["score_out"]),
        row["key"],
        **found,
    )


def _without_none(value: Any) -> Any:
    """The value for TOML, which has no null: entries that are None are left out."""
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value
