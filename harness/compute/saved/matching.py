"""Matching of the tensors in a file with a model: names, shapes and types, strictly."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import torch
from torch import Tensor

from harness.compute.saved.states import State
from harness.errors import DataError
from harness.suite.schema import Checkpoints
from harness.text import counted, known_names, one_line

SHOWN = 3
"""Maximum number of names listed of each kind."""

PARALLEL, COMPILED = "module.", "_orig_mod."
"""Prefixes that DistributedDataParallel and `torch.compile` add to every name."""

TRIED = 50
"""Maximum number of prefixes tried."""


@dataclass(frozen=True)
class Fit:
    """Tensors of a file beside the tensors of a model.

    Attributes:
        model: State of the model; tied tensors share their memory.
        tensors: Tensors of the file, with names as the model should have them.
        way: How the tensors were found in the file, in words.
    """

    model: Mapping[str, Tensor]
    tensors: Mapping[str, Tensor]
    way: str = ""

    @cached_property
    def missing(self) -> list[str]:
        """Names in the model without a tensor, except for tied ones that are saved once."""
        there = {_memory(self.model[name]) for name in self.tensors if name in self.model}
        return [
            name
            for name, tensor in self.model.items()
            if name not in self.tensors and _memory(tensor) not in there
        ]

    @cached_property
    def unexpected(self) -> list[str]:
        """Names in the file that the model does not have."""
        return [name for name in self.tensors if name not in self.model]

    @cached_property
    def differing(self) -> list[str]:
        """Tensors with another shape, or a type whose values the model would round, in words."""
        return [
            f"{name} is {_form(tensor)} in the file and {_form(self.model[name])} in the model"
            for name, tensor in self.tensors.items()
            if name in self.model and not _holds(self.model[name], tensor)
        ]

    @property
    def fits(self) -> bool:
        """True if all tensors match."""
        return not (self.missing or self.unexpected or self.differing)

    def complete(self) -> State:
        """Return the tensors under every name of the model, tied ones included."""
        saved = {_memory(self.model[name]): tensor for name, tensor in self.tensors.items()}
        return {
            name: self.tensors[name] if name in self.tensors else saved[_memory(tensor)]
            for name, tensor in self.model.items()
        }


def match(model: Mapping[str, Tensor], states: Mapping[str, State], table: Checkpoints) -> Fit:
    """Find the state that matches a model.

    Arguments:
        model: State of the model.
        states: States in a file, by place.
        table: The way to read the file: `state`, `ignore`, `rename`, `strip`, `add`.

    Raises:
        DataError: No state matches, with the differences of the nearest one and the settings that
            would match; or several match.
    """
    if not states:
        raise DataError("no tensors inside")
    if table.state and table.state not in states:
        hint = known_names(table.state, filter(None, states))
        raise DataError(f"there is no entry state = {table.state!r} with tensors ({hint})")
    chosen = {table.state: states[table.state]} if table.state else states
    fits = {place: _best(model, place, state, table) for place, state in chosen.items()}
    found = {place: fit for place, fit in fits.items() if fit.fits}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        choices = " or ".join(f'state = "{place}"' for place in found)
        raise DataError(f"several entries match the model: choose {choices}")
    nearest = max(fits.values(), key=_likeness)
    raise DataError(described(nearest, list(_ways_out(model, chosen))))


def _likeness(fit: Fit) -> tuple[int, int]:
    """Rank a state that does not fit: names in common, then the number of tensors."""
    common = len(fit.model.keys() & fit.tensors.keys())
    return common, -abs(len(fit.model) - len(fit.tensors))


def _best(model: Mapping[str, Tensor], place: str, state: State, table: Checkpoints) -> Fit:
    """Apply the settings; prefixes of wrappers are removed as well if the names then match."""
    words = [f"state {place!r}"] if place else []
    weights = {
        _replaced(name, table.rename): tensor
        for name, tensor in state.items()
        if not any(fnmatchcase(name, pattern) for pattern in table.ignore)
    }
    if ignored := len(state) - len(weights):
        words.append(f"{counted(ignored, 'tensor')} ignored")
    tensors = _renamed(weights, table.strip, table.add)
    if left := len(weights) - len(tensors):
        words.append(f"{counted(left, 'tensor')} without {table.strip!r} left out")
    fit = Fit(model, tensors, ", ".join(words))
    if fit.fits:
        return fit
    bare = Fit(model, _unwrapped(tensors), ", ".join([*words, "prefix of a wrapper removed"]))
    return bare if bare.fits else fit


def _replaced(name: str, beginnings: Mapping[str, str]) -> str:
    """Replace the beginning of a name, if the suite has a replacement."""
    for old, new in beginnings.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _renamed(state: State, strip: str, add: str) -> State:
    length = len(strip)
    return {add + name[length:]: x for name, x in state.items() if name.startswith(strip)}


def _unwrapped(state: State) -> State:
    """Remove the prefixes of wrappers: `_orig_mod.` anywhere, `module.` before all names."""
    names = [name.replace(COMPILED, "") for name in state]
    while names and all(name.startswith(PARALLEL) for name in names):
        names = [name.removeprefix(PARALLEL) for name in names]
    return state if len(set(names)) < len(names) else dict(zip(names, state.values(), strict=True))


def _ways_out(model: Mapping[str, Tensor], states: Mapping[str, State]) -> Iterator[str]:
    """Yield the settings that would make a state match: `strip = "net."`."""
    places: dict[str, set[str]] = {}
    for place, state in states.items():
        for tensors in (state, _unwrapped(state)):
            for prefix in _prefixes(tensors, model):
                if Fit(model, _renamed(tensors, prefix, "")).fits:
                    places.setdefault(f'strip = "{prefix}"', set()).add(place)
            for prefix in _prefixes(model, tensors):
                if Fit(model, _renamed(tensors, "", prefix)).fits:
                    places.setdefault(f'add = "{prefix}"', set()).add(place)
    for way, found in places.items():
        for place in sorted(found):
            yield way if len(found) == 1 else f'state = "{place}" and {way}'


def _prefixes(longer: Iterable[str], shorter: Iterable[str]) -> list[str]:
    """List what comes before the last of the shorter names in any longer name."""
    end = max(shorter, key=len, default="")
    found = [name.removesuffix(end) for name in longer if name.endswith(end) and name != end]
    return list(dict.fromkeys(found))[:TRIED]


def described(fit: Fit, ways: Sequence[str] = ()) -> str:
    """List the differences between file and model, and the ways out."""
    unexpected = _some(fit.unexpected, fit.missing, "in the model")
    parts = [
        f"missing: {_some(fit.missing, fit.unexpected, 'in the file')}" if fit.missing else "",
        f"unexpected: {unexpected}" if fit.unexpected else "",
        f"differing: {_some(fit.differing, (), '')}" if fit.differing else "",
    ]
    way_out = f"; all match with {' or '.join(ways[:SHOWN])}" if ways else ""
    text = f"the tensors do not match the model{way_out} ({'; '.join(filter(None, parts))})"
    if any(
        x.dtype == torch.float64 and name in fit.model and not _holds(fit.model[name], x)
        for name, x in fit.tensors.items()
    ):
        text += '; precision = "float64" keeps all bits of the file'
    return text


def _some(names: list[str], others: Iterable[str], where: str) -> str:
    """List the first names, each with the nearest one among the unmatched others."""
    shown = []
    for name in names[:SHOWN]:
        near = difflib.get_close_matches(name, others, n=1, cutoff=0.6)
        shown.append(one_line(name + (f" (nearest {where}: {near[0]})" if near else "")))
    more = len(names) - SHOWN
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def _memory(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Identify the memory of a tensor of a model; tied tensors have the same."""
    place = tensor.data_ptr() if tensor.numel() else id(tensor)
    return place, tuple(tensor.shape), tensor.stride()


def _holds(own: Tensor, saved: Tensor) -> bool:
    """Check that a tensor of a model can hold a saved tensor exactly: equal shape, exact type."""
    if own.shape != saved.shape:
        return False
    if not (own.is_floating_point() and saved.is_floating_point()):
        return own.dtype == saved.dtype
    return saved.dtype == own.dtype or torch.promote_types(saved.dtype, own.dtype) == own.dtype


def _form(tensor: Tensor) -> str:
    shape = "x".join(map(str, tensor.shape)) or "a scalar"
    return f"{shape} of {str(tensor.dtype).removeprefix('torch.')}"
