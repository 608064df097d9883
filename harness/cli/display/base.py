"""Interface of a display."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from harness.events import Event


class Display(ABC):
    """Shows events inside a `with` block; by default, entering and leaving change nothing."""

    def __enter__(self) -> Self:
        """Start to show events."""
        return self

    def __exit__(self, *details: object) -> None:
        """Restore the terminal."""
        return

    @abstractmethod
    def __call__(self, event: Event) -> None:
        """Show one event."""
