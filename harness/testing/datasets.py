"""Conformance of data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.contracts import Dataset, HasStamp
from harness.domain import Images
from harness.errors import DataError, MissingDataError
from harness.testing.checks import Check, Fault, NotApplicable, run_checks


@dataclass(frozen=True)
class DatasetUnderTest:
    """A data set as the checks see it."""

    build: Callable[[], Dataset]

    def splits(self) -> dict[str, NDArray[Any]]:
        """The examples of every split of a new instance."""
        dataset = self.build()
        try:
            return {split: dataset.load(split) for split in dataset.splits}
        except MissingDataError as error:
            raise NotApplicable(f"the data is not on this machine: {error}") from error


def check_dataset(
    build: Callable[[], Dataset], *, expected_failures: Mapping[str, str] | None = None
) -> list[Check]:
    """Run every check on a data set.

    Arguments:
        build: Returns a new instance.
        expected_failures: Check names and why each fails; one that does not fail is a failure.
    """
    return run_checks(DATASET_CHECKS, DatasetUnderTest(build), expected_failures or {})


def interface(subject: DatasetUnderTest) -> None:
    """It has a domain and the splits "train" and "test", or one of them."""
    dataset = subject.build()
    if not isinstance(dataset, Dataset):
        raise Fault("it has not all of `domain`, `splits` and `load`")
    if not isinstance(dataset.domain, Images):
        raise Fault(f"`domain` must be Images(...), not {dataset.domain!r}")
    splits = dataset.splits
    if not isinstance(splits, tuple) or not splits or not {"train", "test"}.issuperset(splits):
        raise Fault(f'`splits` must be a tuple of "train" and "test", not {splits!r}')
    if len(set(splits)) != len(splits):
        raise Fault(f"`splits` names one split twice: {splits!r}")


def shape_and_dtype(subject: DatasetUnderTest) -> None:
    """A split is uint8 of shape (N, *domain.shape): raw integers, unscaled."""
    shape = subject.build().domain.shape
    for split, x in subject.splits().items():
        if not isinstance(x, np.ndarray):
            raise Fault(f'load("{split}") must return a NumPy array, not {type(x).__name__}')
        if x.dtype != np.uint8:
            hint = ": do not scale, a model does that itself" if x.dtype.kind == "f" else ""
            raise Fault(f'load("{split}") has dtype {x.dtype}, not uint8{hint}')
        if x.ndim != 4 or x.shape[1:] != shape:
            raise Fault(
                f'load("{split}") has shape {x.shape}, not (N, {", ".join(map(str, shape))}): '
                "channels come before height and width"
            )


def non_empty(subject: DatasetUnderTest) -> None:
    """Every split has at least one example."""
    for split, x in subject.splits().items():
        if len(x) == 0:
            raise Fault(f'load("{split}") has no example')


def values_in_domain(subject: DatasetUnderTest) -> None:
    """No value reaches `domain.levels`."""
    domain = subject.build().domain
    for split, x in subject.splits().items():
        highest = x.max(initial=0)
        if highest >= domain.levels:
            raise Fault(
                f'load("{split}") has the value {highest}, but {domain.bits} bits end at '
                f"{domain.levels - 1}"
            )


def deterministic(subject: DatasetUnderTest) -> None:
    """Loading again gives the same examples in the same order, from a new instance too."""
    first = {split: _digests(x) for split, x in subject.splits().items()}
    dataset = subject.build()
    for split, digests in first.items():
        for source in (subject.build(), dataset, dataset):
            again = _digests(source.load(split))
            if len(again) != len(digests):
                raise Fault(f'load("{split}") had {len(digests)} examples, then {len(again)}')
            if again != digests:
                raise Fault(
                    f'load("{split}") gives other examples, or another order, each time: '
                    "draw at random with a fixed seed, sort file names"
                )


def splits_disjoint(subject: DatasetUnderTest) -> None:
    """No example is, byte for byte, in two splits."""
    splits = subject.splits()
    if len(splits) < 2:
        raise NotApplicable("there is only one split")
    for (one, x), (other, y) in combinations(splits.items(), 2):
        known = {digest: index for index, digest in enumerate(_digests(x))}
        found = [
            (index, known[digest]) for index, digest in enumerate(_digests(y)) if digest in known
        ]
        if found:
            pairs = ", ".join(f"{other} {j} = {one} {i}" for j, i in found[:3])
            more = ", ..." if len(found) > 3 else ""
            raise Fault(
                f"{len(found)} examples of the {other} split are in the {one} split too: "
                f"{pairs}{more}"
            )


def own_copy(subject: DatasetUnderTest) -> None:
    """Writing into a loaded array changes neither the data nor what is loaded next."""
    dataset = subject.build()
    for split, x in subject.splits().items():
        if len(x) == 0 or not x.flags.writeable:
            continue
        if _writes_to_file(x):
            raise Fault(f'load("{split}") is a memory map that writes to its file: open it "r"')
        x = dataset.load(split)
        original = x[0].copy()
        other = (dataset.domain.levels - 1 - original).astype(x.dtype)
        x[0] = other
        again = dataset.load(split)[0].copy()
        x[0] = original
        if np.array_equal(again, other):
            raise Fault(
                f'load("{split}") returns the array that it keeps, and a user who writes into it '
                "changes the next load: return a copy, or set `flags.writeable = False`"
            )


def unknown_split(subject: DatasetUnderTest) -> None:
    """A split that it has not is a DataError, KeyError or ValueError."""
    name = "no-such-split"
    try:
        subject.build().load(name)
    except (DataError, KeyError, ValueError):
        return
    raise Fault(f'load("{name}") returned something: raise DataError and name the known splits')


def stamp(subject: DatasetUnderTest) -> None:
    """Its stamp, if it has one, is text and the same while the files are."""
    dataset, other = subject.build(), subject.build()
    if not isinstance(dataset, HasStamp) or not isinstance(other, HasStamp):
        raise NotApplicable("it has no `stamp`")
    try:
        first, second = dataset.stamp(), other.stamp()
    except MissingDataError as error:
        raise NotApplicable(f"the data is not on this machine: {error}") from error
    if not isinstance(first, str) or not first:
        raise Fault(f"`stamp` must return text, not {first!r}")
    if first != second or first != dataset.stamp():
        raise Fault(f"`stamp` changes though no file did: {first!r}, then {second!r}")


DATASET_CHECKS: tuple[Callable[[DatasetUnderTest], str | None], ...] = (
    interface,
    shape_and_dtype,
    non_empty,
    values_in_domain,
    deterministic,
    splits_disjoint,
    own_copy,
    unknown_split,
    stamp,
)


def _digests(x: NDArray[Any]) -> list[bytes]:
    """A digest of the bytes of each example."""
    return [hashlib.blake2b(example.tobytes(), digest_size=16).digest() for example in x]


def _writes_to_file(x: NDArray[Any]) -> bool:
    """Whether the array is, or looks into, a memory map that writes through."""
    base: Any = x
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.mode in ("r+", "w+"):
            return True
        base = base.base
    return False
