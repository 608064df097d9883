"""The parsers that the fuzzer attacks: each makes an input, and reads it as `bench` would."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import random
import shutil
import signal
import struct
import textwrap
import types
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from harness.maintenance.fsck import check_store
from harness.maintenance.import_archive import import_archive
from harness.maintenance.inventory import list_other_files, list_trainings
from harness.maintenance.required import RequiredRecords
from harness.plan.expand import make_plan
from harness.store.failures import Failure, find_failure, record_failure
from harness.store.hashing import digest
from harness.store.records import Store, _manifest_body, array_bytes, manifest_bytes
from harness.suite import load_suite
from harness.suite.references import read_reference
from oodbench import Images
from plugins.datasets.arrays import read_array
from plugins.datasets.folder import Folder
from plugins.datasets.image_files import Depth, read_pictures
from plugins.datasets.npz import array_names
from plugins.datasets.published.batches import read_batch
from plugins.datasets.published.celeba import read_partition
from plugins.datasets.published.gtsrb import read_names
from plugins.datasets.published.image_archive import Pictures, read_resized
from plugins.datasets.published.svhn import read_mat
from tests.conftest import TINY_SUITE
from tests.reliability.mutations import mutated_json, mutated_toml
from tests.unit.plugins.published_files import pixels, python_2_batch

Mutate = Callable[[random.Random, list[bytes]], bytes]
GRAY, COLOUR = Images(1, 8, 8), Images(3, 32, 32)
SECONDS = 10


@contextmanager
def bounded():
    """SIGALRM if what is inside takes too long; making the input does not count."""
    if signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, signal.SIG_IGN):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Files:
    """A target that reads a file; `kinds` are pairs of a file name and sound contents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "files"
        self.folder.mkdir()
        self.kinds = self.make()

    def __call__(self, chance: random.Random, mutate: Mutate) -> None:
        name, seeds = chance.choice(self.kinds)
        path = self.folder / name
        path.write_bytes(mutate(chance, seeds))
        with bounded():
            self.read(path)

    def make(self) -> list[tuple[str, list[bytes]]]:
        raise NotImplementedError

    def read(self, path: Path) -> None:
        raise NotImplementedError


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


class Arrays(Files):
    """Arrays of a folder: .npy, .npz, idx, packed idx."""

    def make(self):
        images = pixels(6, 8, 8)
        both = {"train": images, "test": pixels(3, 1, 8, 8)}
        idx = struct.pack(">4I", 0x803, *images.shape) + images.tobytes()
        objects = np.array([{"a": 1}], dtype=object)
        return [
            (
                "a.npy",
                [
                    array_bytes(images),
                    array_bytes(np.asfortranarray(pixels(6, 1, 8, 8))),
                    saved(lambda file: np.save(file, objects, allow_pickle=True)),
                ],
            ),
            (
                "a.npz",
                [
                    saved(lambda file: np.savez(file, **both)),
                    saved(lambda file: np.savez_compressed(file, **both)),
                ],
            ),
            ("a-ubyte", [idx]),
            ("a-ubyte.gz", [gzip.compress(idx)]),
        ]

    def read(self, path):
        if path.suffix == ".npz":
            array_names(path)
        name = "train" if path.suffix == ".npz" else None
        int(read_array(path, GRAY, name).sum())
        if path.suffix == ".npz":
            folder = Folder(path=path, size=8, channels=1)
            [folder.load(split) for split in folder.splits]


class Batches(Files):
    """Batches of CIFAR-10 and ImageNet32."""

    def make(self):
        rows = pixels(3, 3072)
        batch = {"data": rows, "labels": [1, 2, 3], "mean": rows.mean(axis=0)}
        dumped = [pickle.dumps(batch, protocol) for protocol in range(6)]
        packed = saved(lambda file: np.savez_compressed(file, data=rows, labels=[1, 2, 3]))
        return [
            ("cifar", [python_2_batch(rows), *dumped]),
            ("imagenet", dumped),
            ("imagenet.npz", [saved(lambda file: np.savez(file, **batch)), packed]),
        ]

    def read(self, path):
        int(read_batch(path, COLOUR).sum())


class Matlab(Files):
    """Files of SVHN."""

    def make(self):
        from scipy.io import savemat

        x = {"X": pixels(32, 32, 3, 2), "y": np.ones((2, 1), np.uint8), "s": {"a": "text"}}
        return [
            (
                "a.mat",
                [
                    saved(lambda file: savemat(file, x, do_compression=True)),
                    saved(lambda file: savemat(file, x, do_compression=False)),
                ],
            )
        ]

    def read(self, path):
        int(read_mat(path, COLOUR).sum())


class Photographs(Files):
    """Picture files of every format that is read."""

    def make(self):
        import PIL.Image

        colour = PIL.Image.fromarray(pixels(12, 9, 3))
        gray = PIL.Image.fromarray(pixels(10, 10))
        clear = PIL.Image.fromarray(pixels(9, 9, 4))
        of = {"BMP": colour, "GIF": gray, "JPEG": colour, "PNG": clear, "PPM": colour}
        of |= {"TIFF": clear, "WEBP": clear}
        made = [
            (f"a.{kind.lower()}", [saved(lambda file, k=kind, i=image: i.save(file, format=k))])
            for kind, image in of.items()
        ]
        deep = PIL.Image.fromarray(pixels(9, 9).astype(np.uint16) * 256)
        made.append(("b.png", [saved(lambda file: deep.save(file, format="PNG"))]))
        return made

    def read(self, path):
        read_pictures([path], Images(3, 8, 8), Depth([path]))


class PackedPhotographs(Files):
    """Archives of pictures, and the lists that name them."""

    def make(self):
        import PIL.Image

        picture = saved(lambda file: PIL.Image.fromarray(pixels(9, 9)).save(file, format="PNG"))

        def pack(file):
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("a/", b"")
                archive.writestr("a/b/1.png", picture)
                archive.writestr("a/2.png", picture)

        table = "Filename;Width;Height\n00000.ppm;5;6\n00001.ppm;7;8\n"
        partition = "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n"
        return [
            ("a.zip", [saved(pack)]),
            ("a.csv", [table.encode()]),
            ("a.txt", [partition.encode()]),
        ]

    def read(self, path):
        if path.suffix == ".csv":
            read_names(path)
        elif path.suffix == ".txt":
            read_partition(path)
        else:
            with Pictures(path) as pictures:
                read_resized(pictures, pictures.names(".png"), GRAY)


class Suites:
    """Suites, read and planned."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "suite.toml"
        self.text = textwrap.dedent(TINY_SUITE) + textwrap.dedent(
            """
            [datasets.mirrored]
            plugin = "transformed"
            options = { source = "digits", transform = "flip-horizontal" }

            [scorers.likelihood]
            plugin = "log-likelihood"
            options = {}

            [protocol]
            n_in = 10
            """
        )

    def __call__(self, chance: random.Random, mutate: Mutate) -> None:
        if chance.random() < 0.7:
            content = mutated_toml(chance, self.text).encode("utf-8", "surrogatepass")
        else:
            content = mutate(chance, [self.text.encode()])
        self.path.write_bytes(content)
        with bounded():
            suite = load_suite(self.path)
            make_plan(suite, {})


class References(Files):
    """Published values."""

    def make(self):
        path = Path(__file__).parents[2] / "suites/references/immature-models.json"
        text = path.read_bytes()
        value = json.loads(text)
        value["values"] = value["values"][:3]
        return [("a.json", [json.dumps(value).encode(), text])]

    def read(self, path):
        try:
            read_reference(path, types.SimpleNamespace(comparisons=()))
        except ValueError as error:
            if not str(error).startswith(str(path)):  # then it is not one of ours
                raise


class Records:
    """Records of the store, damaged or made up with a checksum of their own."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        inputs = {"statistic": {"plugin": "log_prob", "options": {}}, "group_size": None}
        self.key = digest(inputs)
        facts = {"job": "flow on digits epoch 1: log_prob", "seconds": 1.5, "plugin": {}}
        files = {"values.npy": array_bytes(np.arange(6.0).reshape(3, 2))}
        self.store.write("statistics", self.key, files, inputs=inputs, facts=facts)
        self.folder = self.store.path("statistics", self.key)
        self.sound = {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def __call__(self, chance: random.Random, mutate: Mutate) -> None:
        for name, content in self.sound.items():
            (self.folder / name).write_bytes(content)
        manifest = self.folder / "manifest.json"
        if chance.random() < 0.6:
            value = mutated_json(chance, json.loads(self.sound["manifest.json"]))
            if isinstance(value, dict) and {"inputs", "files", "facts"} <= set(value):
                value["sha256"] = hashlib.sha256(_manifest_body(value)).hexdigest()
            manifest.write_text(json.dumps(value))
        else:
            manifest.write_bytes(mutate(chance, [self.sound["manifest.json"]]))
        with bounded():
            found = self.store.manifest("statistics", self.key)
            for name in found.files:
                self.store.read("statistics", self.key, name)
            self.store.read_array("statistics", self.key, "values.npy")


class Failures:
    """Records of failures, which may be lost but never be something else."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        record_failure(self.store, {"a": 1}, Failure("a job", "failed", "a message"))
        [self.path] = (folder / "store/failures").iterdir()
        self.sound = self.path.read_bytes()

    def __call__(self, chance: random.Random, mutate: Mutate) -> None:
        if chance.random() < 0.6:
            self.path.write_text(json.dumps(mutated_json(chance, json.loads(self.sound))))
        else:
            self.path.write_bytes(mutate(chance, [self.sound]))
        with bounded():
            found = find_failure(self.store, {"a": 1})
            if found is not None:
                assert all(isinstance(part, str) for part in vars(found).values()), found
                assert found.status in ("failed", "unsupported", "missing_data"), found


class Weights(Files):
    """Weights as safetensors."""

    def make(self):
        import torch

        from harness.compute.checkpoints import tensor_bytes

        tensors = {"weight": torch.arange(6.0).reshape(2, 3), "step": torch.tensor(3)}
        pickled = saved(lambda file: torch.save(tensors, file))
        return [("a.safetensors", [tensor_bytes(tensors), pickled])]

    def read(self, path):
        from harness.compute.checkpoints import load_tensors

        for tensor in load_tensors(path.read_bytes()).values():
            tensor.double().sum().item()


class Archives:
    """Archives of results, damaged or made up with checksums of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "store")
        inputs = {"statistic": {"plugin": "log_prob", "options": {}}, "weights": "0" * 64}
        facts = {"job": "flow: log_prob", "plugin": {}, "versions": {}}
        values = array_bytes(np.arange(6.0).reshape(3, 2))
        trained = {"chain": "flow on digits", "likelihood": "exact", "plugin": {}, "versions": {}}
        weights = {"model.safetensors": {"sha256": "0" * 64, "bytes": 5}}
        card = {"counts": {"test": 3}, "fingerprints": {"test": "abc"}}
        key, train_key = digest(inputs), digest({"seed": 0})
        files = {"values.npy": {"sha256": hashlib.sha256(values).hexdigest(), "bytes": 248}}
        self.sound: dict[str, bytes] = {
            f"statistics/{key}/manifest.json": manifest_bytes(inputs, files, facts),
            f"statistics/{key}/values.npy": values,
            f"checkpoints/{train_key}/epoch-000001/manifest.json": manifest_bytes(
                {"seed": 0}, weights, trained
            ),
            f"datasets/{digest({'dataset': 1})}/manifest.json": manifest_bytes(
                {"dataset": 1}, {}, card
            ),
            f"failures/{'0' * 32}.json": json.dumps(
                {"job": "j", "status": "failed", "message": "m"}
            ).encode(),
            "results/small/results.json": b'{"suite": "small", "only": [], "results": []}',
        }
        self.packed = self.pack(self.sound)

    def pack(self, members: dict[str, bytes], index: object = None) -> bytes:
        listed = {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in members.items()
        }
        index = index or {"format": 1, "suite": "small", "files": listed}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("bench-export.json", json.dumps(index))
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        return buffer.getvalue()

    def made_up(self, chance: random.Random, mutate: Mutate) -> bytes:
        """One member changed, the checksums around it sound."""
        members = dict(self.sound)
        name = chance.choice(sorted(members))
        if chance.random() < 0.3:
            value = {"format": 1, "suite": "small", "files": {name: {"sha256": "", "bytes": 1}}}
            return self.pack(members, mutated_json(chance, value))
        if name.endswith(".json") and chance.random() < 0.8:
            value = mutated_json(chance, json.loads(members[name]))
            if isinstance(value, dict) and {"inputs", "files", "facts"} <= set(value):
                value["sha256"] = hashlib.sha256(_manifest_body(value)).hexdigest()
            members[name] = json.dumps(value).encode()
        elif chance.random() < 0.5:
            members[name] = mutate(chance, [members[name]])
        else:
            other = mutate(chance, [name.encode()]).decode("utf-8", "replace")
            members[other] = members.pop(name)
        return self.pack(members)

    def __call__(self, chance: random.Random, mutate: Mutate) -> None:
        path = self.folder / "a.zip"
        changed = chance.random() < 0.6
        content = self.made_up(chance, mutate) if changed else mutate(chance, [self.packed])
        path.write_bytes(content)
        try:
            with bounded():
                import_archive(path, self.store, lambda size: None)
                list_trainings(self.store, RequiredRecords())
                list_other_files(self.store, RequiredRecords())
                damaged = check_store(self.store, lambda size: None).damaged
                if damaged:
                    raise AssertionError(f"taken in, and damaged: {damaged[0]}")
        finally:
            there = sorted(path.name for path in self.folder.iterdir())
            if there not in (["a.zip", "at", "store"], ["a.zip", "store"], ["a.zip", "at"]):
                raise AssertionError(f"something left its folder: {there}")
            shutil.rmtree(self.folder / "store", ignore_errors=True)


TARGETS = {
    "archives": Archives,
    "arrays": Arrays,
    "batches": Batches,
    "failures": Failures,
    "matlab": Matlab,
    "packed-photographs": PackedPhotographs,
    "photographs": Photographs,
    "records": Records,
    "references": References,
    "suites": Suites,
    "weights": Weights,
}
