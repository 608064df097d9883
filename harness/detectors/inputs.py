"""Inputs of a detector: files read one by one, and put together to groups and chunks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.domain import Domain, Examples, Images, image_hint
from harness.errors import DataError
from harness.hookspecs import Inputs, Read
from harness.registry.registry import Registry
from harness.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 1024
"""Number of examples that are scored at a time."""


@dataclass(frozen=True, eq=False)
class Group:
    """Examples to be scored together, or an input without a score.

    Attributes:
        inputs: Names of the examples: each names a file, or a part of a file as the reader calls
            it.
        examples: (b, *domain.shape); None if there is a reason for having no score.
        status: `"ok"`; `"failed"` for a file that cannot be read; `"left_over"` for the last files
            of a folder that are too few for a group.
        problem: The reason for having no score, empty if there is none.
    """

    inputs: tuple[str, ...]
    examples: Examples | None
    status: Literal["ok", "failed", "left_over"] = "ok"
    problem: str = ""


def find_inputs(paths: Sequence[Path], domain: Domain, resize: bool, registry: Registry) -> Inputs:
    """Find the inputs at paths through the plugin that reads the domain.

    Plugins named on the command line are asked before installed ones.

    Raises:
        DataError: No plugin reads the domain.
    """
    for _, function in registry.implementations("bench_inputs"):
        found: Inputs | None = function(paths=paths, domain=domain, resize=resize)
        if found is not None:
            return found
    raise DataError(f"no plugin reads files with examples of {domain} (the hook bench_inputs)")


def groups(items: Iterable[tuple[str, Read]], size: int, domain: Domain) -> Iterator[Group]:
    """Read inputs and form groups of consecutive examples of the same folder.

    Examples of one array or text form separate groups, because their names are not the name of the
    file. A file that cannot be read takes no place in a group.

    Arguments:
        items: Names of files and functions that read them, as found by `find_inputs`.
        size: Number of examples in a group.
        domain: Domain of the examples.
    """
    place: str | None = None
    waiting: list[tuple[str, Examples]] = []
    for name, read in items:
        try:
            names, examples = read()
            examples = checked(name, examples, domain)
            if len(names) != len(examples):
                told, found = counted(len(names), "name"), counted(len(examples), "example")
                raise DataError(f"{name}: {told} for {found}")
        except DataError as error:
            yield Group((name,), None, "failed", str(error))
            continue
        here = os.path.dirname(name) if list(names) == [name] else name
        if here != place:
            yield from _left_over(waiting, size)
            place, waiting = here, []
        for example in zip(names, examples, strict=True):
            waiting.append(example)
            if len(waiting) == size:
                inputs, chosen = zip(*waiting, strict=True)
                yield Group(inputs, np.stack(chosen) if size > 1 else chosen[0][np.newaxis])
                waiting = []
    yield from _left_over(waiting, size)


def chunks(found: Iterable[Group], size: int) -> Iterator[list[Group]]:
    """Collect groups with about 1,024 examples at a time, in order."""
    waiting: list[Group] = []
    for group in found:
        waiting.append(group)
        if len(waiting) * size >= CHUNK:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _left_over(waiting: Sequence[tuple[str, Examples]], size: int) -> Iterator[Group]:
    if waiting:
        names = tuple(name for name, _ in waiting)
        problem = f"{len(names)} of the {size} examples of a group"
        yield Group(names, None, "left_over", problem)


def checked(name: str, examples: NDArray[Any], domain: Domain) -> Examples:
    """Return examples of a domain unchanged.

    Arguments:
        name: Name of the examples in messages.
        examples: `domain.dtype`, (N, *domain.shape).
        domain: Expected domain.

    Raises:
        DataError: The dtype, the shape or a value is another one.
    """
    shape = ", ".join(map(str, domain.shape))
    if examples.dtype != domain.dtype or examples.shape[1:] != domain.shape:
        # Three axes could also be one image of several channels.
        is_clear = isinstance(domain, Images) and (examples.ndim != 3 or domain.channels == 1)
        raise DataError(
            f"{name}: found {examples.dtype} of shape {examples.shape}, expected {domain.dtype} "
            f"of shape (N, {shape}){image_hint(examples) if is_clear else ''}"
        )
    can_exceed = domain.levels <= np.iinfo(domain.dtype).max
    largest = int(examples.max(initial=0)) if can_exceed else 0
    if largest >= domain.levels:
        raise DataError(f"{name}: found the value {largest}, expected 0 to {domain.levels - 1}")
    return examples
