"""Every shipped suite, with small models and few examples: the same command again does nothing.

Published data sets are made up, in the true form of their files. Models, scorers, statistics,
pairs of data sets and seeds are those of the suite; there are fewer epochs, and groups of two.
"""

from __future__ import annotations

from dataclasses import replace

import PIL.Image
import pytest
import tomli_w

from harness import events
from harness.run.run import run
from harness.suite import load_suite
from harness.suite.toml.files import read_suite_files, shipped_suites
from tests.places import settings_in
from tests.unit.plugins.published_files import WRITERS, pixels

FOLDER = shipped_suites()
SUITES = sorted(
    path.relative_to(FOLDER).with_suffix("").as_posix()
    for path in FOLDER.rglob("*.toml")
    if path.parent.name != "common" and path.stem != "pythia"  # in test_pythia_suite.py
)
SLOW = {
    "families",
    "paper",
    "paper-families",
    "paper-rivals",
    "rivals",
    "studies/model-families",
    "studies/readings",
    "studies/readings-overlap",
    "studies/representation",
    "studies/seeds",
    "studies/text",
    "studies/text-languages",
}
WITHOUT_FILES = {"families", "pinned", "quickstart", "rivals", "text-quickstart", "studies/text"}
WITHOUT_FILES |= {"studies/text-languages", "studies/seeds", "studies/representation"}  # a part
LANGUAGES = ("english", "german", "french", "russian")
SMALL = {
    "models": {
        "steps": 1,
        "couplings": 1,
        "transforms": 1,
        "latents": 2,
        "chains": 8,
        "width": 4,
        "hidden_layers": 1,
        "layers": 2,
        "blocks": 1,
        "draws": 2,
    },
    "datasets": {"n_train": 16, "n_test": 20},
}
"""Largest values of options that decide only about the size of the work."""
KINDS = ("models", "datasets", "statistics", "scorers")
TIMES = 6
"""Published data sets have so many times the few examples that other tests need."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with all published data sets as raw files, photographs, and manual pages."""
    folder = tmp_path_factory.mktemp("made")
    for write in WRITERS.values():
        write(folder / "raw", times=TIMES)
    for split, count in (("train", 20), ("test", 20)):
        (folder / "photographs" / split).mkdir(parents=True)
        for number, picture in enumerate(pixels(count, 32, 32, 3)):
            PIL.Image.fromarray(picture).save(folder / "photographs" / split / f"{number}.png")
    for language in LANGUAGES:
        page = folder / "man-pages" / language / "test" / "page.1"
        page.parent.mkdir(parents=True)
        page.write_text("".join(f"{language} {number}. " for number in range(200)))
    return folder


def shrunk(path, folder):
    """The suite at a path with little work, as TOML; photographs are in the folder."""
    merged = read_suite_files(path)
    values = merged.values
    if "reference" in values:
        values["reference"] = str(merged.origins.folder(("reference",)) / values["reference"])
    for recipe in values["training"].values():
        recipe |= {"examples": 16, "minibatch": 8, "prepare_batches": 1}
    items = [(kind, item) for kind in KINDS for item in values.get(kind, {}).values()]
    for kind, item in items:
        options = item.setdefault("options", {})
        for name in options.keys() & SMALL.get(kind, {}).keys():
            options[name] = min(options[name], SMALL[kind][name])
        if "epochs" in options:
            options["epochs"] = [1, 2]
        if item["plugin"] in WRITERS:
            options["verify"] = False
        if "path" in options:
            options["path"] = str(folder / options["path"].removeprefix("~/"))
    for comparison in values["comparisons"]:
        comparison |= {"n_in": 4, "n_fit": 8, "n_out": 4, "group_sizes": [2]}
        comparison["epochs"] = sorted({min(epoch, 1) for epoch in comparison["epochs"]})
    return tomli_w.dumps(values)


def run_twice(name, place, made, **options):
    """Run a small version of a shipped suite twice; both outcomes, and the events of each run."""
    path = place / "suite.toml"
    path.write_text(shrunk(FOLDER / f"{name}.toml", made), encoding="utf-8")
    settings, seen = replace(settings_in(place), data=made), ([], [])
    outcomes = [run(load_suite(path), settings, events.append, **options) for events in seen]
    return outcomes, seen


def jobs(seen):
    (started,) = [event for event in seen if isinstance(event, events.RunStarted)]
    return started.jobs


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in SUITES]
)
def test_the_second_run_computes_nothing(name, tmp_path, made, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(made))
    (first, second), (before, after) = run_twice(name, tmp_path, made)
    assert {(x.cell.scorer, x.message) for x in first.results if x.status != "ok"} == set()
    assert jobs(before) > 0
    assert jobs(after) == 0
    assert not [event for event in before + after if isinstance(event, events.JobFailed)]
    assert [x.to_json() for x in second.results] == [x.to_json() for x in first.results]
    assert first.exit_status == second.exit_status == 0


@pytest.mark.parametrize("name", sorted(set(SUITES) - WITHOUT_FILES))
def test_without_its_data_a_suite_computes_nothing_and_says_so_again(name, tmp_path):
    (first, second), (before, after) = run_twice(name, tmp_path, tmp_path, allow_missing=True)
    assert jobs(before) == jobs(after) == 0
    assert {x.status for x in first.results} == {"missing_data"}
    assert [x.to_json() for x in second.results] == [x.to_json() for x in first.results]
    assert first.exit_status == second.exit_status == 1
