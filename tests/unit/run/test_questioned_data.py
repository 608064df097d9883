"""Data that should be questioned: what notes say of it, in lists, tables and pages."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.data.catalog import describe
from harness.data.folder import DataFolder
from harness.data.verification import verify
from harness.events import Message
from harness.maintenance.export import export_suite
from harness.maintenance.import_archive import import_archive
from harness.report.page.facts import gather
from harness.report.tables import auroc_tables
from harness.run.outcome import score_stored
from harness.run.prepare import plan_opened, plan_opened_if_present, plan_unopened
from harness.run.run import run
from harness.scoring.examples import ExampleNotes
from harness.store.records import Store
from harness.suite import load_suite
from tests.places import settings_in

SUITE = """
    [training.t]
    minibatch = 8
    [models.flow]
    plugin = "glow"
    options = {{ levels = 1, steps = 1, width = 4 }}
    training = "t"
    {datasets}
    [[comparisons]]
    models = "flow"
    in = "own"
    out = {out}
    epochs = [0]
    scorers = ["log-likelihood", "typicality"]
    {draws}
"""
FOLDER = """
    [datasets.{name}]
    plugin = "folder"
    options = {{ path = "{path}", size = 4, channels = 1 }}
"""
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2000, 4, 4), dtype=np.uint8)
"""Images that all differ."""


@pytest.fixture
def suite_of(tmp_path, write_suite):
    """Write a suite on arrays; `own` is the ID set, with 40 different images in each split."""

    def make(draws="", **arrays):
        arrays = {"own": {"train": IMAGES[:40], "test": IMAGES[40:80]}} | arrays
        for name, splits in arrays.items():
            (tmp_path / name).mkdir(exist_ok=True)
            for split, array in splits.items():
                np.save(tmp_path / name / f"{split}.npy", array)
        datasets = "".join(FOLDER.format(name=name, path=tmp_path / name) for name in arrays)
        out = json.dumps([name for name in arrays if name != "own"])
        return load_suite(write_suite(SUITE.format(datasets=datasets, out=out, draws=draws)))

    return make


@pytest.fixture
def notes_of(suite_of, tmp_path):
    """The distinct notes on the examples of all cells, in order."""

    def make(*args, **arrays):
        plan = plan_opened(suite_of(*args, **arrays), settings_in(tmp_path), lambda event: None)
        notes = ExampleNotes(plan.prepared)
        return list(dict.fromkeys(note for cell in plan.cells for note in notes.of(cell)))

    return make


OTHER = {"test": IMAGES[100:150]}


def test_data_without_copies_has_no_note(notes_of):
    assert notes_of(other=OTHER) == []


@pytest.mark.parametrize("shared", [1, 17, 40])
def test_test_images_that_are_train_images_are_counted(notes_of, shared):
    own = {"train": IMAGES[:40], "test": IMAGES[40 - shared : 80 - shared]}
    assert notes_of(own=own, other=OTHER) == [
        f"{shared} of 40 test examples of own are also in its train split"
    ]


def test_copies_within_roles_and_across_fit_and_scored_examples_are_counted(notes_of):
    own = {"train": IMAGES[:40], "test": np.repeat(IMAGES[40:50], 4, axis=0)}
    fit, in_, shared = notes_of(own=own, other=OTHER)
    draw = np.arange(40)[np.argsort(np.random.PCG64([0, 40]).random_raw(40), kind="stable")]
    ten = [set(half // 4) for half in (draw[20:], draw[:20])]
    assert fit == (f"the 20 fit examples of own contain only {len(ten[0])} distinct images")
    assert in_ == (f"the 20 scored ID examples of own contain only {len(ten[1])} distinct images")
    again = sum(number // 4 in ten[0] for number in draw[:20])
    assert shared == (
        f"{again} of the 20 scored ID examples of own are also among the 20 fit examples of own"
    )


def test_a_fit_on_scored_examples_is_told_once(notes_of):
    assert notes_of('fit_overlap = "paper"', other=OTHER) == []


def test_one_image_many_times_is_counted(notes_of):
    same = {"test": np.repeat(IMAGES[100:101], 200, axis=0)}
    assert notes_of(same=same) == ["the 200 OOD examples of same contain only 1 distinct image"]


def test_scored_examples_on_the_ood_side_are_counted(notes_of):
    mixed = np.concatenate([IMAGES[40:80], IMAGES[100:110], IMAGES[:7]])
    assert notes_of(mixed={"test": mixed}) == [
        "20 of the 57 OOD examples of mixed are also among the 20 scored ID examples of own",
        "7 of the 57 OOD examples of mixed are also in the train split of own",
    ]


def test_only_drawn_examples_are_counted(notes_of):
    mixed = np.concatenate([IMAGES[40:80], IMAGES[100:140]])
    (note,) = notes_of("n_in = 10\n    n_out = 30", mixed={"test": mixed})
    draws = [np.argsort(np.random.PCG64([0, n]).random_raw(n), kind="stable") for n in (40, 80)]
    shared = len(set(draws[0][:10]) & set(draws[1][:30]))
    assert note == (
        f"{shared} of the 30 OOD examples of mixed are also among the 10 scored ID examples of own"
    )


@pytest.mark.parametrize(("split", "start"), [("test", 40), ("train", 0)])
@pytest.mark.parametrize("step", [1, -1])
def test_an_ood_set_equal_to_an_id_split_is_told_in_any_order(notes_of, split, start, step):
    copy = {"test": IMAGES[start : start + 40][::step]}
    assert notes_of(copy=copy) == [
        f"the test split of copy has the images of the {split} split of own"
    ]


def test_a_split_that_is_constant_or_faint_is_told(notes_of):
    faint = IMAGES[100:120] % 16
    faint[0, 0, 0] = 15
    bright = faint.copy()
    bright[-1, -1, -1] = 16
    black = np.zeros((20, 4, 4), np.uint8)
    assert notes_of(faint={"test": faint}, bright={"test": bright}, black={"test": black}) == [
        "the largest value in the test split of faint is 15, of 255 possible",
        "all values in the test split of black are 0",
        "the 20 OOD examples of black contain only 1 distinct image",
    ]


def test_a_faint_train_split_is_told(notes_of):
    own = {"train": IMAGES[:40] // 16, "test": IMAGES[40:80]}
    assert notes_of(own=own, other=OTHER) == [
        "the largest value in the train split of own is 15, of 255 possible"
    ]


SMALL_FIT = (
    "group size 1: scorers are fitted to only 20 groups, so their intervals are approximate"
)


def test_tables_and_pages_tell_each_note_once(suite_of, tmp_path):
    leak = {"train": IMAGES[:40], "test": IMAGES[:40]}
    suite = suite_of(own=leak, other=OTHER)
    settings, told = settings_in(tmp_path), []
    outcome = run(suite, settings, told.append)
    note = "40 of 40 test examples of own are also in its train split"
    assert [event.text for event in told if isinstance(event, Message)].count(note) == 1
    assert [result.status for result in outcome.results] == ["ok"] * 2
    assert [table.notes for table in auroc_tables(outcome.results)] == [(note, SMALL_FIT)]
    assert gather(suite, outcome.plan, outcome.results, 0).notes == [note, SMALL_FIT]
    # Later runs say it below the tables only.
    told.clear()
    assert run(suite, settings, told.append).results[0].provenance["notes"] == [note]
    assert not [event for event in told if isinstance(event, Message)]


def test_notes_come_along_to_a_machine_without_the_data(suite_of, tmp_path):
    suite = suite_of(own={"train": IMAGES[:40], "test": IMAGES[10:50]}, other=OTHER)
    here, there = settings_in(tmp_path), settings_in(tmp_path / "there")
    expected = run(suite, here, lambda event: None)
    plan, store = plan_opened_if_present(suite, here), Store(here.store)
    archive = tmp_path / "a.zip"
    export_suite(plan, dict(suite.datasets), store, archive, False, lambda size: None)
    import_archive(archive, Store(there.store), lambda size: None)
    plan = plan_unopened(suite, there)
    assert not there.data.exists()
    found = score_stored(plan, there, lambda event: None)
    for result, other in zip(found.results, expected.results, strict=True):
        assert result.provenance["notes"] == other.provenance["notes"]
        small = [SMALL_FIT] if result.metrics.n_fit else []
        assert result.provenance["notes"] == [
            "30 of 40 test examples of own are also in its train split",
            *small,
        ]


def bench(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def test_lists_have_the_notes(suite_of, tmp_path):
    own = {"train": IMAGES[:40], "test": np.concatenate([IMAGES[:30]] * 2)}
    suite, folder = suite_of(own=own, other=OTHER), DataFolder(tmp_path / "data")
    component = suite.datasets["own"]
    assert describe(folder, component).notes == []
    folder.prepare(component)
    notes = [
        "the 60 examples of the test split of own contain only 30 distinct images",
        "60 of 60 test examples of own are also in its train split",
    ]
    assert describe(folder, component).notes == notes
    (item,) = verify(folder)
    assert item.notes == [note.replace("own", "folder") for note in notes]

    listed, other = json.loads(bench("list", suite.path, "--json").stdout)
    assert (listed["notes"], other["notes"]) == (notes, [])
    (verified,) = json.loads(bench("verify", "--json").stdout)
    assert verified["notes"] == item.notes
    said = bench("list", suite.path).stderr
    assert said.splitlines()[-2:] == [f"Note: {note}" for note in notes]
    assert f"Note: {item.name}: {item.notes[1]}" in bench("verify").stderr


def write_pictures(folder, images, suffix="png"):
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        PIL.Image.fromarray(image).save(folder / f"{index:02}.{suffix}")


@pytest.mark.parametrize(("scale", "bits"), [(1, 8), (16, 12)])
def test_remarks_of_a_plugin_are_told_at_conversion_and_below_tables(
    suite_of, tmp_path, scale, bits
):
    write_pictures(tmp_path / "pictures" / "test", IMAGES[100:110].astype(np.uint16) * scale)
    (tmp_path / "pictures" / "test" / "1.HEIC").touch()
    suite, settings, told = suite_of(pictures={}), settings_in(tmp_path), []
    plan = plan_opened(suite, settings, told.append)
    largest = int(IMAGES[100:110].max()) * scale
    expected = [
        "pictures: 1 file was passed over: 1 .heic",
        f"pictures: 10 16-bit pictures read as {bits}-bit; the largest value is {largest:,}",
    ]
    assert [event.text for event in told if isinstance(event, Message)] == expected
    np.testing.assert_array_equal(plan.prepared["pictures"].load("test")[:, 0], IMAGES[100:110])
    assert list(ExampleNotes(plan.prepared).of(plan.cells[0])) == expected
    assert describe(DataFolder(settings.data), suite.datasets["pictures"]).notes == expected
