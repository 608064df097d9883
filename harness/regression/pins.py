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
from harness.suite.toml.files import read_text

FORMAT = 1
FOLDER = "pins"
SHOWN_DIGITS = 8
HEADING = "# Pinned values, written by `bench pin`: `bench verify` and pytest compare with them.\n"


@dataclass(frozen=True)
class Quantity:
    """A pinned number and the maximum deviation allowed later, both in the same unit."""

    value: float
    tolerance: float


@dataclass(frozen=True)
class Pin:
    """The pinned values for one cell.

    Attributes:
        auroc: AUROC with OOD as the positive class.
        se: DeLong's standard error for the AUROC.
        score_in: Median score over the ID groups, in the scorer's unit; higher is more OOD. Unlike
            an AUROC, a median changes if all scores shift alike, for example when a term is lost.
        score_out: Median score over the OOD groups.
        key: Digest of the settings.
        settings: Everything that determines the number, in clear, by part.
        provenance: Versions and weights behind the number; these may differ later.
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
    """The pins for a suite.

    Attributes:
        suite: Path to the suite's file.
        pins: One pin per cell.
    """

    suite: Path
    pins: tuple[Pin, ...]


def pins_path(suite: Path) -> Path:
    """Return the path to a suite's pins: `pins/SUITE.toml` in the current folder."""
    return Path(FOLDER) / f"{suite.stem}.toml"


def cell_name(cell: Cell) -> str:
    """Return a cell's name in the syntax for `--only`."""
    return ",".join(f"{name}={value}" for name, value in cell.as_row().items())


def read_pins(path: Path) -> Pins:
    """Read pins from a file.

    Raises:
        BenchError: The file cannot be read or does not contain pins.
    """
    try:
        values = tomllib.loads(read_text(path))
        if values["format"] != FORMAT:
            raise ValueError(f"the format is {values['format']!r}, not {FORMAT}")
        suite = path.parent / str(values["suite"])
        pins = tuple(_pin(row, values) for row in values.get("cells", []))
    except FileNotFoundError:
        raise BenchError(f"{path}: file not found; create it with bench pin SUITE") from None
    except OSError as error:
        raise BenchError(f"{path}: cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise BenchError(f"{path}: not a pin file: key {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BenchError(f"{path}: not a pin file: {error}") from error
    return Pins(suite, pins)


def read_pins_of(suite: Path, path: Path) -> Pins:
    """Read the pins for a suite from a file; pins of a suite that is gone count as the suite's.

    Raises:
        BenchError: The file cannot be read, or contains the pins for another suite.
    """
    pins = read_pins(path)
    if pins.suite.exists() and not pins.suite.samefile(suite):
        raise BenchError(
            f"{path}: expected the pins for {suite}, found the pins for "
            f"{os.path.normpath(pins.suite)}; name another file with --pins"
        )
    return pins


def write_pins(path: Path, pins: Pins) -> None:
    """Write pins atomically; settings and provenance shared by several cells are written once."""
    parts: dict[str, dict[str, Any]] = {"settings": {}, "provenance": {}}
    suite = Path(os.path.relpath(pins.suite.resolve(), path.parent.resolve())).as_posix()
    cells = [_row(pin, parts) for pin in pins.pins]
    values = {"format": FORMAT, "suite": suite, "cells": cells, **parts}
    replace_file(path, (HEADING + tomli_w.dumps(_without_none(values))).encode())


def _row(pin: Pin, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a pin as a table; settings and provenance are added to `parts`, by digest."""
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
    """Leave out entries that are None, because TOML has no null."""
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value
