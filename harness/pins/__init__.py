"""Pinned values: what cells amounted to once, and whether they still do."""

from __future__ import annotations

from harness.pins.files import Pin, Pins, Quantity, pins_path, read_pins, write_pins
from harness.pins.make import changes, make_pins
from harness.pins.verify import Verdict, exit_status, unpinned, verify_pins

__all__ = [
    "Pin",
    "Pins",
    "Quantity",
    "Verdict",
    "changes",
    "exit_status",
    "make_pins",
    "pins_path",
    "read_pins",
    "unpinned",
    "verify_pins",
    "write_pins",
]
