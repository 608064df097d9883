"""What is in a store: listed, verified, tidied up."""

from __future__ import annotations

import json
import shutil
import zipfile

import pytest

from harness.errors import BenchError
from harness.maintenance.fsck import check_store
from harness.maintenance.gc import find_garbage, remove_garbage
from harness.maintenance.inventory import list_other_files, list_trainings
from harness.maintenance.required import RequiredRecords
from harness.store.locks import try_lock
from tests.unit import stored


@pytest.fixture
def folder(made, tmp_path):
    return stored.copy(made, tmp_path / "copy")


def fsck(folder):
    return check_store(stored.store(folder), lambda size: None)


def one(folder, pattern):
    return sorted((folder / "store").glob(pattern))[0]


def other_suite(folder, **changes):
    """A suite that needs something else."""
    text = (folder / "small.toml").read_text()
    for old, new in changes.items():
        text = text.replace(old, new)
    path = folder / "other.toml"
    path.write_text(text)
    return path


def test_trainings_are_listed_with_what_rests_on_them(folder):
    [training] = list_trainings(stored.store(folder), stored.needs(folder))
    assert training.chain == "flow on digits"
    assert sorted(training.epochs) == [0, 2]
    assert training.statistics == 10  # two epochs of fit, in, out, and of in and out with noise
    assert (training.needed_by, training.unneeded, training.damaged) == (["small"], 0, 0)
    root = folder / "store"
    sizes = [
        sum(file.stat().st_size for file in (root / kind).rglob("*.*") if file.is_file())
        for kind in ("checkpoints", "statistics")
    ]
    assert [sum(training.epochs.values()), training.statistics_size] == sizes
    beside = {
        item.what: item for item in list_other_files(stored.store(folder), stored.needs(folder))
    }
    assert beside["results of small"].needed_by == ["small"]


def test_what_no_suite_that_is_named_needs_is_counted(folder):
    other = other_suite(folder, **{"epochs = [0, 2]": "epochs = 2"})
    [training] = list_trainings(stored.store(folder), stored.needs(folder, other))
    assert training.needed_by == ["other"]
    assert training.unneeded == 1 + 5  # epoch 0 and its statistics
    [training] = list_trainings(stored.store(folder), RequiredRecords())
    assert (training.needed_by, training.unneeded) == ([], 12)


def test_a_sound_store_is_sound(folder):
    checked = fsck(folder)
    assert checked.damaged == []
    assert checked.records == 2 + 10
    assert not (folder / "store/quarantine").exists()


def middle(path):
    """A place in the middle of a file; of an archive, of its largest member's content.

    Some bits of an archive between its members are read by nobody, and mean nothing.
    """
    if path.suffix != ".npz":
        return path.stat().st_size // 2
    with zipfile.ZipFile(path) as archive:
        member = max(archive.infolist(), key=lambda info: info.file_size)
        with archive.open(member) as file:
            content = file.read()
    return path.read_bytes().index(content) + len(content) // 2


@pytest.mark.parametrize(
    ("pattern", "consequence"),
    [
        ("checkpoints/*/*/model.safetensors", "trained again from the last sound epoch"),
        ("checkpoints/*/*/manifest.json", "trained again"),
        ("statistics/*/values.npy", "evaluated again"),
        ("results/small/results.npz", "written again by the next bench run"),
        ("results/small/results.json", "written again by the next bench run"),
    ],
)
def test_a_flipped_bit_is_found_set_aside_and_computed_again(folder, pattern, consequence):
    before = stored.results(folder)
    path = one(folder, pattern)
    content = bytearray(path.read_bytes())
    content[middle(path)] ^= 0x80  # in JSON: no UTF-8 any more
    path.write_bytes(bytes(content))
    [damage] = fsck(folder).damaged
    assert damage.consequence.startswith(consequence)
    assert not path.exists()
    kept = [file.read_bytes() for file in damage.aside.rglob("*.*")] or [damage.aside.read_bytes()]
    assert bytes(content) in kept
    assert fsck(folder).damaged == []
    stored.run(stored.load_suite(folder / "small.toml"), stored.settings_in(folder), print)
    assert stored.results(folder) == before


def test_a_file_that_is_gone_a_record_elsewhere_and_a_folder_without_a_manifest(folder):
    one(folder, "statistics/*/values.npy").unlink()
    keys = sorted((folder / "store/statistics").iterdir())
    shutil.copytree(keys[1], keys[1].with_name("0" * 32))
    (keys[2] / "manifest.json").unlink()
    problems = {item.problem.partition(" (")[0] for item in fsck(folder).damaged}
    assert problems == {
        "values.npy is missing",
        "its inputs do not match its key",
        "files without a manifest",
    }


def test_a_link_is_no_file_of_a_record(folder, tmp_path):
    path = one(folder, "statistics/*/values.npy")
    (tmp_path / "elsewhere").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert [item.problem for item in fsck(folder).damaged] == ["values.npy is a link"]


def garbage(folder, *suites):
    return find_garbage(stored.store(folder), stored.needs(folder, *suites))


def litter(folder):
    """What killed and failed runs leave."""
    root = folder / "store"
    for name in ("tmp/half/file", "quarantine/x/file", "failures/abc.json", "logs/gone.log"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    (root / "results/gone").mkdir()
    (root / "results/small/.results.json.0123abcd").write_text("half")


def test_nothing_is_left_over_after_a_run(folder):
    stored.make_old(folder / "store")
    found = garbage(folder)
    assert (found.found, found.kept) == ([], [])


def test_what_no_suite_needs_is_removed_and_nothing_else(folder):
    before = stored.results(folder)
    other = other_suite(folder, **{"epochs = [0, 2]": "epochs = 2"})
    litter(folder)
    stored.make_old(folder / "store")
    found = garbage(folder, other)
    kinds = sorted(item.kind for item in found.found)
    assert kinds == [
        *("checkpoints", "failures", "logs", "quarantine", "results", "results"),
        *("statistics",) * 5,
        "tmp",
    ]  # small's own results too: it was not named
    assert stored.results(folder) == before  # so far nothing has changed
    done = remove_garbage(stored.store(folder), found.found)
    assert len(done.found) == len(kinds)
    assert done.kept == []
    assert stored.results(folder, other) == [item for item in before if item["epoch"] == 2]
    assert list((folder / "store/tmp").iterdir()) == []
    assert garbage(folder, other).found == []


def test_what_is_young_is_kept(folder):
    litter(folder)
    other = other_suite(folder, **{"epochs = [0, 2]": "epochs = 2"})
    found = garbage(folder, other)
    assert found.found == []
    assert {why for _, why in found.kept} == {"written within the last hour"}


@pytest.mark.parametrize("work", ["training", "statistics"])
def test_what_a_run_is_at_is_kept(folder, work):
    other = other_suite(folder, **{"seed": "seed", "learning_rate = 1e-3": "learning_rate = 2e-3"})
    stored.make_old(folder / "store")
    found = garbage(folder, other)
    train_key = one(folder, "checkpoints/*").name
    names = [train_key] if work == "training" else [f"{train_key}-epoch-00000{x}" for x in (0, 2)]
    held = [try_lock(folder / "store", name) for name in names]
    done = remove_garbage(stored.store(folder), found.found)
    for lock in held:
        lock.release()
    kept = {item.kind for item, _ in done.kept}
    assert kept == {"checkpoints", "statistics"}
    assert {why for _, why in done.kept} == {"in use by a run"}
    done = remove_garbage(stored.store(folder), [item for item, _ in done.kept])
    assert len(done.found) == 12
    assert not (folder / "store/checkpoints" / train_key).exists()


def test_statistics_of_a_checkpoint_that_is_gone_are_kept_while_a_suite_lacks_one(folder):
    before = stored.results(folder)
    shutil.rmtree(one(folder, "checkpoints/*/epoch-000002"))
    stored.make_old(folder / "store")
    found = garbage(folder)
    assert found.found == []
    assert len(found.kept) == 5
    stored.run(stored.load_suite(folder / "small.toml"), stored.settings_in(folder), print)
    assert stored.results(folder) == before


def test_a_statistic_of_examples_alone_is_of_no_checkpoint_that_is_gone(folder):
    facts = {"job": "total_variation", "plugin": {}, "versions": {}}
    stored.store(folder).write("statistics", "0" * 32, {}, inputs={"examples": {}}, facts=facts)
    shutil.rmtree(one(folder, "checkpoints/*/epoch-000002"))
    stored.make_old(folder / "store")
    found = garbage(folder)
    assert [item.path.name for item in found.found] == ["0" * 32]
    assert len(found.kept) == 5


def test_nothing_is_removed_for_a_suite_whose_data_is_not_there(folder):
    made = 'plugin = "noise"\noptions = { n_train = 10, n_test = 40 }'
    gone = 'plugin = "folder"\noptions = { path = "gone", size = 8, channels = 1 }'
    other = other_suite(folder, **{made: gone})
    with pytest.raises(BenchError, match="nothing is removed") as caught:
        garbage(folder, other)
    assert "other: noise" in str(caught.value)


def test_a_manifest_that_leads_elsewhere_is_damaged(folder, tmp_path):
    from harness.store.records import manifest_bytes

    path = one(folder, "statistics/*/manifest.json")
    value = json.loads(path.read_text())
    (tmp_path / "secret").write_text("secret")
    for name in ("../../../../../secret", str(tmp_path / "secret"), "..", "a/b"):
        files = {name: value["files"]["values.npy"]}
        path.write_bytes(manifest_bytes(value["inputs"], files, value["facts"]))
        with pytest.raises(BenchError, match="is not a valid file name"):
            stored.store(folder).manifest("statistics", path.parent.name)
