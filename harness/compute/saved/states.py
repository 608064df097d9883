"""States in a file: the mappings of names to tensors, by their place in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

DEEPEST = 3
"""Maximum depth of a state in a file; forms in use have one or two levels."""

State: TypeAlias = dict[str, Tensor]


def find_states(values: Any) -> dict[str, State]:
    """Find every mapping of names to tensors.

    Arguments:
        values: Tensors and plain values, nested.

    Returns:
        States by place: keys joined by dots, `""` for the values themselves. Entries of a state
        that are not tensors, such as the number of the epoch, are left out.
    """
    return dict(_states(values, "", DEEPEST))


def _states(values: Any, place: str, depth: int) -> Iterator[tuple[str, State]]:
    if not isinstance(values, Mapping):
        return
    named = {name: value for name, value in values.items() if isinstance(name, str)}
    tensors = {name: value for name, value in named.items() if _is_plain(value)}
    if tensors:
        yield place, tensors
    for name, value in named.items() if depth else ():
        yield from _states(value, f"{place}.{name}" if place else name, depth - 1)


def _is_plain(value: Any) -> bool:
    """Tell a tensor with values in memory from one that is sparse or without values."""
    return (
        isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    )
