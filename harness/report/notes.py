"""Sentences for notes: what intervals and tests cover, and several kinds of machines."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.results import Result

TRAINED = (
    "the models were trained on machines of several kinds ({}): they round differently and "
    "training amplifies rounding, so none of these trainings is a copy of one on another kind"
)
EVALUATED = (
    "statistics were evaluated on machines of several kinds ({}): their last digits differ by "
    "rounding"
)


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


def machine_notes(results: Sequence[Result]) -> list[str]:
    """Name the kinds of machines if the provenance has several; a note for each kind of work.

    Example:
        >>> from harness.results import Cell, Result
        >>> cell = Cell("flow", "digits", "noise", "typicality", 4, 1, 0)
        >>> found = [Result(cell, "ok", provenance={"machines": [kind]})
        ...          for kind in ("NVIDIA A100", "x86_64 CPU with AVX512")]
        >>> print(*machine_notes(found))  # doctest: +NORMALIZE_WHITESPACE
        statistics were evaluated on machines of several kinds (NVIDIA A100; x86_64 CPU with
        AVX512): their last digits differ by rounding
    """
    trained: set[str] = set()
    evaluated: set[str] = set()
    for result in results:
        evaluated.update(result.provenance.get("machines", ()))
        for origin in result.provenance.get("statistics", {}).values():
            trained.update({origin["trained_by"]} if "trained_by" in origin else ())
    found = ((TRAINED, trained), (EVALUATED, evaluated))
    return [text.format("; ".join(sorted(kinds))) for text, kinds in found if len(kinds) > 1]
