"""A sentence for captions on the sources of error that intervals and tests cover."""

from __future__ import annotations

from collections.abc import Collection


def coverage(n_fit: Collection[int], trainings: int) -> str:
    """Say in a sentence which parts of an error intervals and tests cover, and which not.

    Arguments:
        n_fit: Numbers of fit groups of the fitted scorers; empty if nothing is fitted.
        trainings: Number of trainings with a number; 1 says nothing about their spread.
    """
    covered = ["other test examples"]
    if n_fit:
        sizes = " or ".join(map(str, sorted(n_fit)))
        covered.append(f"another fit of the same size ({sizes} groups)")
    if trainings > 1:
        covered.append(f"other trainings ({trainings} seeds)")
    *first, last = covered
    text = (
        f"Intervals and tests cover {' and '.join([', '.join(first), last] if first else [last])}"
    )
    return f"{text}." if trainings > 1 else f"{text}, but not differences between trainings."
