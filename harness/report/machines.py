"""Notes on results from machines of several kinds, whose rounding differs."""

from __future__ import annotations

from collections.abc import Sequence

from harness.results import Result

TRAINED = (
    "the models were trained on machines of several kinds ({}): they round differently and "
    "training amplifies rounding, so none of these trainings is a copy of one on another kind"
)
EVALUATED = (
    "statistics were evaluated on machines of several kinds ({}): their last digits differ by "
    "rounding"
)


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
