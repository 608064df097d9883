"""Results moved between machines: the same there, or nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile

import numpy as np
import pytest

from harness.errors import BenchError, NothingSelectedError, StoreError
from harness.maintenance.export import INDEX, export_suite
from harness.maintenance.fsck import check_store
from harness.maintenance.import_archive import import_archive
from harness.maintenance.required import RequiredRecords
from harness.plan.plan import training_failure_inputs
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.store.failures import Failure, find_failure, record_failure
from harness.store.records import array_bytes, manifest_bytes
from harness.suite import load_suite
from tests.places import settings_in
from tests.unit import stored


@pytest.fixture(scope="module")
def archive(made, tmp_path_factory):
    return export(made, tmp_path_factory.mktemp("archive") / "a.zip")


@pytest.fixture
def elsewhere(made, tmp_path):
    """Another machine: the suite, no store, no data."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(made / "small.toml", folder)
    return folder


def export(folder, path, weights=False):
    plan, datasets = stored.plan_of(folder)
    export_suite(plan, datasets, stored.store(folder), path, weights, lambda size: None)
    return path


def take(path, folder):
    return import_archive(path, stored.store(folder), lambda size: None)


def tree(folder):
    """Every file of a store and its content."""
    root = folder / "store"
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def changed(archive, path, change):
    """An archive whose members `change` has changed, with an index that agrees."""
    with zipfile.ZipFile(archive) as source:
        members = {name: source.read(name) for name in source.namelist()}
    index = json.loads(members.pop(INDEX))
    change(members)
    index["files"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in members.items()
    }
    with zipfile.ZipFile(path, "w") as target:
        for name, content in {INDEX: json.dumps(index).encode(), **members}.items():
            target.writestr(zipfile.ZipInfo(name), content)
    return path


def member(members, start, end):
    return next(name for name in sorted(members) if name.startswith(start) and name.endswith(end))


def refused(path, folder, message):
    with pytest.raises(BenchError, match=message):
        take(path, folder)
    assert tree(folder) == {}


def test_a_report_is_the_same_elsewhere_without_data_and_weights(made, archive, elsewhere):
    assert stored.results(elsewhere) == []
    done = take(archive, elsewhere)
    assert (done.suite, done.new, done.there, done.differ) == ("small", 2 + 10 + 2 + 4, 0, [])
    assert stored.results(elsewhere) == stored.results(made)
    assert not (elsewhere / "data").exists()
    assert not list((elsewhere / "store").rglob("*.safetensors"))
    assert list((elsewhere / "store/tmp").iterdir()) == []
    assert check_store(stored.store(elsewhere), lambda size: None).damaged == []


def test_an_archive_has_only_the_results_of_its_suite(made, elsewhere, tmp_path):
    """Another suite with the same file name has results in a folder below."""
    here = stored.copy(made, tmp_path / "here")
    first = export(here, tmp_path / "first.zip").read_bytes()
    other = here / "b" / "small.toml"
    other.parent.mkdir()
    other.write_text((here / "small.toml").read_text().replace("[0, 2]", "0"))
    resolved = load_suite(other)
    run(resolved, settings_in(here), lambda event: None)
    assert export(here, tmp_path / "again.zip").read_bytes() == first
    plan, path = plan_unopened(resolved, settings_in(here)), tmp_path / "other.zip"
    export_suite(plan, dict(resolved.datasets), stored.store(here), path, False, lambda size: None)
    take(path, elsewhere)
    rows = json.loads((elsewhere / "store/results/small/results.json").read_text())["results"]
    assert {row["epoch"] for row in rows} == {0}


def test_the_same_content_gives_the_same_bytes(made, archive, tmp_path):
    assert export(made, tmp_path / "b.zip").read_bytes() == archive.read_bytes()


def test_what_was_imported_can_be_exported(made, archive, elsewhere, tmp_path):
    take(archive, elsewhere)
    assert export(elsewhere, tmp_path / "b.zip").read_bytes() == archive.read_bytes()


def test_again_changes_nothing(archive, elsewhere):
    take(archive, elsewhere)
    before = tree(elsewhere)
    done = take(archive, elsewhere)
    assert (done.new, done.there) == (0, 18)
    assert tree(elsewhere) == before


def test_weights_come_along_on_request_and_complete_what_came_without(
    made, archive, elsewhere, tmp_path
):
    take(archive, elsewhere)
    whole = export(made, tmp_path / "b.zip", weights=True)
    assert take(whole, elsewhere).new == 2
    for path in (made / "store/checkpoints").rglob("*.*"):
        if path.is_file():
            copied = elsewhere / "store" / path.relative_to(made / "store")
            assert copied.read_bytes() == path.read_bytes()
    assert not list((elsewhere / "store").rglob("left-out.json"))
    assert take(archive, elsewhere).new == 0  # nothing is taken away again


def test_training_goes_on_from_weights_that_came_along(made, elsewhere, tmp_path):
    take(export(made, tmp_path / "b.zip", weights=True), elsewhere)
    suite = elsewhere / "small.toml"
    suite.write_text(suite.read_text().replace("[0, 2]", "[0, 2, 3]"))
    here = stored.copy(made, tmp_path / "here")
    shutil.copy(suite, here)
    for folder in (here, elsewhere):
        run(load_suite(suite), stored.settings_in(folder), lambda event: None)
    assert stored.results(elsewhere) == stored.results(here)
    weights = {
        next((folder / "store").glob("checkpoints/*/epoch-000003/model.safetensors")).read_bytes()
        for folder in (here, elsewhere)
    }
    assert len(weights) == 1


def test_failures_come_along(made, elsewhere, tmp_path):
    here = stored.copy(made, tmp_path / "here")
    suite = here / "small.toml"
    suite.write_text(suite.read_text().replace("[0, 2]", "[0, 2, 3]"))
    shutil.copy(suite, elsewhere)
    plan, _ = stored.plan_of(here)
    inputs = training_failure_inputs(plan, next(iter(plan.chains)), 3)
    record_failure(stored.store(here), inputs, Failure("training", "failed", "loss is nan"))
    take(export(here, tmp_path / "b.zip"), elsewhere)
    assert find_failure(stored.store(elsewhere), inputs).message == "loss is nan"
    assert stored.results(elsewhere) == stored.results(here)
    assert {item["status"] for item in stored.results(here)} == {"ok", "failed"}


def test_nothing_stored_and_a_file_that_is_there(made, elsewhere, archive):
    with pytest.raises(NothingSelectedError, match="nothing of small is stored in /"):
        export(elsewhere, elsewhere / "a.zip")
    with pytest.raises(BenchError, match="already exists"):
        export(made, archive)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["small.toml"]


def test_a_damaged_record_is_not_exported(made, tmp_path):
    here = stored.copy(made, tmp_path / "here")
    path = next((here / "store/statistics").rglob("values.npy"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"is damaged: the checksum of values.npy does not match"):
        export(here, tmp_path / "b.zip")


def test_every_cut_and_every_flipped_bit_leaves_the_store_as_it_was(archive, elsewhere, tmp_path):
    content = archive.read_bytes()
    path = tmp_path / "damaged.zip"
    for share in (0, 0.01, 0.3, 0.9, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        refused(path, elsewhere, "not written by bench store export")
    taken = 0
    for position in range(100, len(content), len(content) // 25):
        damaged = bytearray(content)
        damaged[position] ^= 4
        path.write_bytes(bytes(damaged))
        try:
            take(path, elsewhere)
            taken += 1  # a bit that means nothing, such as of a date
            shutil.rmtree(elsewhere / "store")
        except BenchError:
            assert tree(elsewhere) == {}
    assert taken < 5


def test_own_numbers_stay(made, archive, elsewhere, tmp_path):
    def change(members):
        name = member(members, "statistics", "values.npy")
        members[name] = array_bytes(np.full((30, 1), -1.0))
        manifest = name.replace("values.npy", "manifest.json")
        value = json.loads(members[manifest])
        sha = hashlib.sha256(members[name]).hexdigest()
        files = {"values.npy": {"sha256": sha, "bytes": len(members[name])}}
        members[manifest] = manifest_bytes(value["inputs"], files, value["facts"])

    take(archive, elsewhere)
    before = tree(elsewhere)
    done = take(changed(archive, tmp_path / "b.zip", change), elsewhere)
    assert (done.new, done.there, len(done.differ)) == (0, 17, 1)
    assert tree(elsewhere) == before


def test_damaged_own_records_are_replaced(archive, elsewhere):
    take(archive, elsewhere)
    before = tree(elsewhere)
    path = next((elsewhere / "store/statistics").rglob("values.npy"))
    path.write_bytes(b"x")
    assert take(archive, elsewhere).new == 1
    after = tree(elsewhere)
    assert {name for name in after if name not in before} == {
        name for name in after if name.startswith("quarantine/")
    }
    assert {name: after[name] for name in before} == before


def test_another_training_under_the_same_key_is_refused(archive, elsewhere, tmp_path):
    def change(members):
        name = member(members, "checkpoints", "manifest.json")
        value = json.loads(members[name])
        value["files"]["model.safetensors"]["sha256"] = "0" * 64
        members[name] = manifest_bytes(value["inputs"], value["files"], value["facts"])

    take(archive, elsewhere)
    before = tree(elsewhere)
    with pytest.raises(BenchError, match=r"is stored here with other content; .*--store"):
        take(changed(archive, tmp_path / "b.zip", change), elsewhere)
    assert tree(elsewhere) == before


def test_a_card_of_before_notes_were_kept_is_the_same_card(archive, elsewhere):
    take(archive, elsewhere)
    paths = list((elsewhere / "store/datasets").rglob("manifest.json"))
    for path in paths:
        value = json.loads(path.read_bytes())
        del value["facts"]["notes"]
        path.write_bytes(manifest_bytes(value["inputs"], value["files"], value["facts"]))
    before = tree(elsewhere)
    done = take(archive, elsewhere)
    assert (done.new, done.there, done.differ) == (0, 18, [])
    assert tree(elsewhere) == before


def test_digests_that_came_along_are_verified_and_collected(archive, elsewhere):
    take(archive, elsewhere)
    store, suite = stored.store(elsewhere), load_suite(elsewhere / "small.toml")
    needs = RequiredRecords()
    needs.add(plan_unopened(suite, settings_in(elsewhere)), store, dict(suite.datasets))
    keys = list(store.keys("contents"))
    assert len(keys) == 4
    assert all(needs.records["contents", key] == ["small"] for key in keys)
    store.path("contents", keys[0]).joinpath("digests.npy").write_bytes(b"x")
    [damage] = check_store(store, lambda size: None).damaged
    assert damage.what == f"contents {keys[0]}"
    assert damage.consequence == "notes on data need the data set itself, or another import"
    assert list(store.keys("contents")) == keys[1:]


@pytest.mark.parametrize(
    ("digests", "found"),
    [(np.zeros(5), "float64"), (np.zeros((5, 1), np.uint64), r"uint64 with shape \(5, 1\)")],
)
def test_digests_must_be_a_row_of_whole_numbers(archive, elsewhere, tmp_path, digests, found):
    def change(members):
        name = member(members, "contents", "digests.npy")
        members[name] = array_bytes(digests)
        manifest = name.replace("digests.npy", "manifest.json")
        value = json.loads(members[manifest])
        sha = hashlib.sha256(members[name]).hexdigest()
        files = {"digests.npy": {"sha256": sha, "bytes": len(members[name])}}
        members[manifest] = manifest_bytes(value["inputs"], files, value["facts"])

    path = changed(archive, tmp_path / "b.zip", change)
    refused(path, elsewhere, f"contents/.* is damaged: the values are {found}")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_an_interrupted_import_leaves_nothing_half(made, archive, elsewhere, share):
    done, size = 0, archive.stat().st_size

    def stop(read):
        nonlocal done
        done += read
        if done >= share * size / 2:
            raise Killed

    with pytest.raises(Killed):
        import_archive(archive, stored.store(elsewhere), stop)
    assert tree(elsewhere) == {}
    take(archive, elsewhere)
    assert stored.results(elsewhere) == stored.results(made)


BAD_NAMES = [
    "../evil",
    "/etc/evil",
    "statistics/../../evil/values.npy",
    "checkpoints/" + "0" * 32 + "/epoch-000001/../../x",
    "results/../results.json",
    "results/./results.json",
    "results/a/b/results.json",
    "logs/internal-error.log",
    "statistics/" + "0" * 32 + "/values.npy\n",
    "C:\\evil",
    "failures/" + "0" * 32 + ".json/x",
    "small.toml",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_member_leaves_its_folder(archive, elsewhere, tmp_path, name):
    path = changed(archive, tmp_path / "b.zip", lambda members: members.update({name: b"x"}))
    refused(path, elsewhere, "has no place in a store; nothing is imported")
    assert not list(tmp_path.rglob("evil*"))


def special(archive, path, **attributes):
    """An archive, one of whose members is said to be something else."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            if info.filename.startswith("statistics") and attributes:
                for name, value in attributes.items():
                    setattr(info, name, value)
                attributes = {}
            target.writestr(info, content)
    return path


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"external_attr": (stat.S_IFLNK | 0o777) << 16}, "is not a regular file"),
        ({"external_attr": (stat.S_IFCHR | 0o666) << 16}, "is not a regular file"),
        ({"external_attr": (stat.S_IFIFO | 0o666) << 16}, "is not a regular file"),
        ({"external_attr": (stat.S_IFDIR | 0o777) << 16}, "is not a regular file"),
        ({"compress_type": zipfile.ZIP_DEFLATED}, "is compressed or encrypted"),
    ],
)
def test_links_devices_and_bombs_are_refused(archive, elsewhere, tmp_path, attributes, message):
    refused(special(archive, tmp_path / "b.zip", **attributes), elsewhere, message)


def test_members_that_share_their_bytes_are_refused(archive, elsewhere, tmp_path):
    """The central directory is made to list one member many times, under other names."""
    path = tmp_path / "b.zip"
    content, names = b"0" * 200_000, [f"{number:032x}" for number in range(40)]
    files = {f"statistics/{name}/values.npy": content for name in names}
    index = {
        "format": 1,
        "suite": "x",
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name in files
        },
    }
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(INDEX, json.dumps(index))
        target.writestr(f"statistics/{names[0]}/values.npy", content)
        first = target.infolist()[-1]
        for name in names[1:]:
            info = zipfile.ZipInfo(f"statistics/{name}/values.npy")
            for field in ("CRC", "file_size", "compress_size", "header_offset"):
                setattr(info, field, getattr(first, field))
            target.filelist.append(info)
    refused(path, elsewhere, "the members claim more bytes than the archive has")


def made_up(kind, value):
    """Changes a record of the archive and gives it a sound checksum."""

    def change(members):
        name = member(members, kind, "manifest.json")
        parts = json.loads(members[name])
        for key, part in value.items():
            parts[key] = {**parts[key], **part} if isinstance(part, dict) else part
        members[name] = manifest_bytes(parts["inputs"], parts["files"], parts["facts"])

    return change


def pickled(members):
    import io

    name = member(members, "statistics", "values.npy")
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    members[name] = buffer.getvalue()
    manifest = name.replace("values.npy", "manifest.json")
    sha = hashlib.sha256(members[name]).hexdigest()
    files = {"values.npy": {"sha256": sha, "bytes": len(members[name])}}
    value = json.loads(members[manifest])
    members[manifest] = manifest_bytes(value["inputs"], files, value["facts"])


def no_manifest(members):
    del members[member(members, "statistics", "manifest.json")]


def no_values(members):
    del members[member(members, "statistics", "values.npy")]


def foreign(members):
    name = member(members, "checkpoints", "manifest.json")
    members[name.replace("manifest.json", "evil.py")] = b"x"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            made_up("statistics", {"inputs": {"weights": "0" * 64}}),
            "its inputs do not match its key",
        ),
        (made_up("checkpoints", {"inputs": {"seed": 9}}), "its inputs do not match its key"),
        (made_up("checkpoints", {"facts": {"likelihood": None}}), "fact 'likelihood' is None"),
        (
            made_up("datasets", {"facts": {"counts": {"train": -1}}}),
            "does not describe a data set",
        ),
        (pickled, "the values cannot be read"),
        (no_manifest, "has no manifest"),
        (no_values, "has other files than listed in the manifest"),
        (foreign, "has other files than listed in the manifest"),
        (lambda members: members.update({f"failures/{'0' * 32}.json": b"[]"}), "is not a failure"),
        (
            lambda members: members.update({"results/x/results.json": b"{}"}),
            "does not contain results",
        ),
    ],
)
def test_records_that_are_made_up_are_refused(archive, elsewhere, tmp_path, change, message):
    refused(changed(archive, tmp_path / "b.zip", change), elsewhere, message)


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_is_refused(elsewhere, tmp_path, content):
    (tmp_path / "b.zip").write_bytes(content)
    refused(tmp_path / "b.zip", elsewhere, "not written by bench store export")
    refused(tmp_path / "gone.zip", elsewhere, "no such file")
