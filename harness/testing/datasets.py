"""Conformance checks for data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.contracts import Dataset, HasNotes, HasStamp
from harness.domain import Domain, Images
from harness.errors import DataError, MissingDataError
from harness.testing.checks import Check, Fault, NotApplicable, run_checks


@dataclass(frozen=True)
class DatasetUnderTest:
    """A data set under test, built anew by each check."""

    build: Callable[[], Dataset]

    def splits(self) -> dict[str, NDArray[Any]]:
        """Load all splits from a new instance."""
        dataset = self.build()
        try:
            return {split: dataset.load(split) for split in dataset.splits}
        except MissingDataError as error:
            raise NotApplicable(f"the data is not on this machine: {error}") from error


def check_dataset(
    build: Callable[[], Dataset], *, expected_failures: Mapping[str, str] | None = None
) -> list[Check]:
    """Run every conformance check on a data set.

    Arguments:
        build: Returns a new instance.
        expected_failures: Reason for each expected failure, by check name. An expected failure
            that does not happen is reported as a failure.

    Returns:
        One result per check; pass the list to `assert_conforms`.

    Examples:
        >>> import numpy as np
        >>> from oodbench import DataError, Images
        >>> from oodbench.testing import assert_conforms, check_dataset
        >>> class Ramp:
        ...     domain = Images(1, 2, 2)
        ...     splits = ("test",)
        ...
        ...     def load(self, split):
        ...         if split != "test":
        ...             raise DataError(f"unknown split {split!r}; known: test")
        ...         return np.arange(40, dtype=np.uint8).reshape(10, 1, 2, 2)
        >>> assert_conforms(check_dataset(Ramp))
    """
    return run_checks(DATASET_CHECKS, DatasetUnderTest(build), expected_failures or {})


def interface(subject: DatasetUnderTest) -> None:
    """The data set has a domain and the splits "train" and "test", or one of the two."""
    dataset = subject.build()
    if not isinstance(dataset, Dataset):
        raise Fault("the data set needs all of `domain`, `splits` and `load`")
    if not isinstance(dataset.domain, Domain):
        raise Fault(f"`domain` must be a domain such as Images(...), not {dataset.domain!r}")
    splits = dataset.splits
    if not isinstance(splits, tuple) or not splits or not {"train", "test"}.issuperset(splits):
        raise Fault(f'`splits` must be a tuple with "train", "test" or both, not {splits!r}')
    if len(set(splits)) != len(splits):
        raise Fault(f"`splits` names one split twice: {splits!r}")


def shape_and_dtype(subject: DatasetUnderTest) -> None:
    """A split is `domain.dtype` with shape (N, *domain.shape): raw integers, unscaled."""
    domain = subject.build().domain
    shape, hint = domain.shape, ": channels come before height and width"
    for split, x in subject.splits().items():
        if not isinstance(x, np.ndarray):
            raise Fault(f'load("{split}") must return a NumPy array, not {type(x).__name__}')
        if x.dtype != domain.dtype:
            scaled = ": do not scale, models scale their inputs" if x.dtype.kind == "f" else ""
            raise Fault(f'load("{split}") has dtype {x.dtype}, not {domain.dtype}{scaled}')
        if x.shape[1:] != shape:
            raise Fault(
                f'load("{split}") has shape {x.shape}, not (N, {", ".join(map(str, shape))})'
                f"{hint if isinstance(domain, Images) else ''}"
            )


def non_empty(subject: DatasetUnderTest) -> None:
    """Every split has at least one example."""
    for split, x in subject.splits().items():
        if len(x) == 0:
            raise Fault(f'load("{split}") has no examples')


def values_in_domain(subject: DatasetUnderTest) -> None:
    """All values are below `domain.levels`."""
    domain = subject.build().domain
    for split, x in subject.splits().items():
        highest = x.max(initial=0)
        if highest >= domain.levels:
            raise Fault(
                f'load("{split}") has the value {highest}, but the largest value in this '
                f"domain is {domain.levels - 1}"
            )


def deterministic(subject: DatasetUnderTest) -> None:
    """Loading again gives the same examples in the same order, from a new instance too."""
    first = {split: _digests(x) for split, x in subject.splits().items()}
    dataset = subject.build()
    for split, digests in first.items():
        for source in (subject.build(), dataset, dataset):
            again = _digests(source.load(split))
            if len(again) != len(digests):
                raise Fault(f'load("{split}") returned {len(digests)} examples, then {len(again)}')
            if again != digests:
                raise Fault(
                    f'load("{split}") returns different examples, or a different order, each '
                    "time: use a fixed seed for random draws and sort file names"
                )


def splits_disjoint(subject: DatasetUnderTest) -> None:
    """No two splits share an example, compared byte for byte."""
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
                f"{len(found)} examples in the {other} split are also in the {one} split: "
                f"{pairs}{more}"
            )


def own_copy(subject: DatasetUnderTest) -> None:
    """Writing into a loaded array changes neither the data nor later loads."""
    dataset = subject.build()
    for split, x in subject.splits().items():
        if len(x) == 0 or not x.flags.writeable:
            continue
        if _writes_to_file(x):
            raise Fault(f'load("{split}") is a writable memory map: open the file with mode "r"')
        x = dataset.load(split)
        original = x[0].copy()
        other = (dataset.domain.levels - 1 - original).astype(x.dtype)
        x[0] = other
        again = dataset.load(split)[0].copy()
        x[0] = original
        if np.array_equal(again, other):
            raise Fault(
                f'load("{split}") returns the array kept by the data set, so writing into the '
                "array changes later loads: return a copy, or set `flags.writeable = False`"
            )


def unknown_split(subject: DatasetUnderTest) -> None:
    """Loading an unknown split raises DataError, KeyError or ValueError."""
    name = "no-such-split"
    try:
        subject.build().load(name)
    except (DataError, KeyError, ValueError):
        return
    raise Fault(f'load("{name}") raised no error: raise DataError and name the known splits')


def stamp(subject: DatasetUnderTest) -> None:
    """The stamp, if the data set has a stamp, is text and changes only if the files change."""
    dataset, other = subject.build(), subject.build()
    if not isinstance(dataset, HasStamp) or not isinstance(other, HasStamp):
        raise NotApplicable("the data set has no `stamp`")
    try:
        first, second = dataset.stamp(), other.stamp()
    except MissingDataError as error:
        raise NotApplicable(f"the data is not on this machine: {error}") from error
    if not isinstance(first, str) or not first:
        raise Fault(f"`stamp` must return text, not {first!r}")
    if first != second or first != dataset.stamp():
        raise Fault(f"`stamp` changed although no file changed: {first!r}, then {second!r}")


def notes(subject: DatasetUnderTest) -> None:
    """The remarks, if the data set makes remarks, are lines of text and the same each time."""
    subject.splits()
    dataset, other = subject.build(), subject.build()
    if not isinstance(dataset, HasNotes) or not isinstance(other, HasNotes):
        raise NotApplicable("the data set has no `notes`")
    first = _remarks(dataset)
    for again in (_remarks(dataset), _remarks(other)):
        if again != first:
            raise Fault(
                f"`notes` returned {first!r}, then {again!r} from the same files: find the "
                "remarks anew in each call, and sort file names"
            )


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
    notes,
)


def _remarks(dataset: Any) -> list[str]:
    """Return the remarks after all splits have been loaded."""
    for split in dataset.splits:
        dataset.load(split)
    found = dataset.notes()
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise Fault(f"`notes` must return a sequence with one line per remark, not {found!r}")
    for line in found:
        if not isinstance(line, str) or len(line.splitlines()) != 1 or not line.strip():
            raise Fault(f"`notes` returned {line!r}; a remark is a line of text")
    return list(found)


def _digests(x: NDArray[Any]) -> list[bytes]:
    """Return one digest per example."""
    return [hashlib.blake2b(example.tobytes(), digest_size=16).digest() for example in x]


def _writes_to_file(x: NDArray[Any]) -> bool:
    """Return True if the array is a memory map that writes to its file, or a view of one."""
    base: Any = x
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.mode in ("r+", "w+"):
            return True
        base = base.base
    return False
