"""The kit for data sets against planted faults: each is found by the check that is there for it.

A good one passes everything; every fault is a small change to it, and the set of checks that fail
is exactly that expected.
"""

from __future__ import annotations

import numpy as np
import pytest

from oodbench import DataError, Images, MissingDataError
from oodbench.testing import assert_conforms, check_dataset


def failed(checks):
    return {check.name: check.message for check in checks if check.outcome == "failed"}


def named(checks, name):
    (found,) = (check for check in checks if check.name == name)
    return found


class GoodDataset:
    domain = Images(1, 2, 3, bits=4)
    splits = ("train", "test")

    def __init__(self):
        rng = np.random.default_rng(0)
        x = rng.integers(0, 16, (50, *self.domain.shape), dtype=np.uint8)
        self.data = {"train": x[:30], "test": x[30:]}

    def load(self, split):
        if split not in self.data:
            raise DataError(f"no split {split!r}")
        return self.data[split].copy()


class ReadOnlyDataset(GoodDataset):
    def __init__(self):
        super().__init__()
        for x in self.data.values():
            x.flags.writeable = False

    def load(self, split):
        return self.data[split]


class StampedDataset(GoodDataset):
    splits = ("test",)

    def stamp(self):
        return "50 examples"


class NotedDataset(GoodDataset):
    def __init__(self):
        super().__init__()
        self.loaded = []

    def load(self, split):
        self.loaded.append(split)
        return super().load(split)

    def notes(self):
        return [f"the {split} split was read" for split in dict.fromkeys(self.loaded)]


class SilentDataset(GoodDataset):
    def notes(self):
        return ()


class OneText(NotedDataset):
    def notes(self):
        return "a file was passed over"


class NoNotes(NotedDataset):
    def notes(self):
        return None


class NumberedNotes(NotedDataset):
    def notes(self):
        return [1]


class LongNote(NotedDataset):
    def notes(self):
        return ["a file was passed over:\na.heic"]


class EmptyNote(NotedDataset):
    def notes(self):
        return [""]


class GrowingNotes(NotedDataset):
    def notes(self):
        return [f"the {split} split was read" for split in self.loaded]


class NotesOfOneInstance(NotedDataset):
    made = 0

    def __init__(self):
        super().__init__()
        type(self).made += 1
        self.number = self.made

    def notes(self):
        return [f"instance {self.number}"]


class Overlapping(GoodDataset):
    def __init__(self):
        super().__init__()
        self.data["test"] = np.concatenate([self.data["test"], self.data["train"][[4, 2]]])


class RandomOrder(GoodDataset):
    def load(self, split):
        return np.random.default_rng().permutation(super().load(split))


class RandomSplit(GoodDataset):
    """Another part of the data for every instance."""

    def __init__(self):
        super().__init__()
        x = np.random.default_rng().permutation(np.concatenate(list(self.data.values())))
        self.data = {"train": x[:30], "test": x[30:]}


class FloatDataset(GoodDataset):
    def load(self, split):
        return super().load(split) / np.float32(16)


class ChannelsLast(GoodDataset):
    def load(self, split):
        return super().load(split).transpose(0, 2, 3, 1)


class TooBright(GoodDataset):
    def load(self, split):
        return super().load(split) * 2


class EmptySplit(GoodDataset):
    def __init__(self):
        super().__init__()
        self.data["test"] = self.data["test"][:0]


class SharedArray(GoodDataset):
    def load(self, split):
        if split not in self.data:
            raise DataError(f"no split {split!r}")
        return self.data[split]


class AnySplit(GoodDataset):
    def load(self, split):
        return super().load("train" if split == "train" else "test")


class StrangeSplits(GoodDataset):
    def __init__(self):
        super().__init__()
        self.splits = ["train", "test"]


class MovingStamp(GoodDataset):
    def stamp(self):
        return str(np.random.default_rng().random())


class NotHere(GoodDataset):
    def load(self, split):
        raise MissingDataError("run `bench data fetch`")


GOOD = [GoodDataset, ReadOnlyDataset, StampedDataset, NotedDataset, SilentDataset]


@pytest.mark.parametrize("dataset", GOOD)
def test_good_datasets_conform(dataset):
    assert_conforms(check_dataset(dataset))


DATASET_FAULTS = {
    "overlapping splits": (
        Overlapping,
        "splits_disjoint",
        "2 examples in the test split are also in the train split: test 20 = train 4, "
        "test 21 = train 2",
    ),
    "random order": (RandomOrder, "deterministic", "a different order"),
    "a random split": (RandomSplit, "deterministic", "different examples"),
    "floats": (FloatDataset, "shape_and_dtype", "dtype float32, not uint8: do not scale"),
    "channels last": (ChannelsLast, "shape_and_dtype", "(30, 2, 3, 1), not (N, 1, 2, 3)"),
    "values above the bits": (
        TooBright,
        "values_in_domain",
        "largest value in this domain is 15",
    ),
    "an empty split": (EmptySplit, "non_empty", 'load("test") has no example'),
    "a shared array": (SharedArray, "own_copy", "return a copy"),
    "any split": (AnySplit, "unknown_split", "raise DataError"),
    "splits in a list": (StrangeSplits, "interface", "must be a tuple"),
    "a stamp that moves": (MovingStamp, "stamp", "although no file changed"),
    "a text as notes": (OneText, "notes", "one line per remark, not 'a file was passed over'"),
    "no notes at all": (NoNotes, "notes", "must return a sequence with one line per remark"),
    "a number as note": (NumberedNotes, "notes", "returned 1; a remark is a line of text"),
    "a note of two lines": (LongNote, "notes", "a.heic'; a remark is a line of text"),
    "an empty note": (EmptyNote, "notes", "returned ''; a remark is a line of text"),
    "notes that pile up": (GrowingNotes, "notes", "find the remarks anew in each call"),
    "notes of an instance": (NotesOfOneInstance, "notes", "from the same files"),
}


@pytest.mark.parametrize("name", DATASET_FAULTS)
def test_dataset_faults(name, examine):
    dataset, check, text = DATASET_FAULTS[name]
    status, checks = examine("datasets", dataset)
    assert status == 1
    assert failed(checks).keys() == {check}
    assert text in named(checks, check).message


def test_a_memory_map_that_writes(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, GoodDataset().load("train"))
    kept = path.read_bytes()

    class Mapped(GoodDataset):
        splits = ("train",)
        mode = "r"

        def load(self, split):
            if split != "train":
                raise DataError(f"no split {split!r}")
            return np.load(path, mmap_mode=self.mode)[:]

    class Writable(Mapped):
        mode = "r+"

    assert_conforms(check_dataset(Mapped))
    checks = check_dataset(Writable)
    assert failed(checks).keys() == {"own_copy"}
    assert named(checks, "own_copy").message.endswith(
        'is a writable memory map: open the file with mode "r"'
    )
    assert path.read_bytes() == kept


def test_data_that_is_not_here_is_skipped():
    checks = check_dataset(NotHere)
    assert failed(checks) == {}
    assert named(checks, "deterministic").outcome == "skipped"
    assert named(checks, "deterministic").message == (
        "the data is not on this machine: run `bench data fetch`"
    )
