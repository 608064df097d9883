"""Did you mean: the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def known_names(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them if none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return "none is known"
    return "known: " + ", ".join(names)
