"""Texts for people: of objects, in a terminal or a notebook, and the spelling of a suite."""

from __future__ import annotations

import html
import shlex
from abc import ABC, abstractmethod
from typing import NamedTuple

from harness.settings import Settings


class Spelling(NamedTuple):
    """How people name a suite.

    Attributes:
        shown: The name in messages.
        words: Arguments that name the suite in a command, not quoted; None if no command can.
    """

    shown: str
    words: tuple[str, ...] | None = None

    def run(self, settings: Settings) -> str:
        """Return the command, or else the call, that computes the results into the store."""
        if self.words is None:
            return "suite.run()"
        places = [f"--store={settings.store}", f"--data={settings.data}"]
        return shlex.join(["bench", "run", *self.words, *places])


class Shown(ABC):
    """An object with a text for people."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the text of the command line."""

    def __repr__(self) -> str:
        """Return the text without the line break at its end."""
        return str(self).rstrip("\n")

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"
