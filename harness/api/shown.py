"""Texts for people: of objects, in a terminal or a notebook."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod


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
