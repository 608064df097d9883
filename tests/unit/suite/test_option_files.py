"""Options that name files: part of keys by content, at any depth."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli.display.displays import NoDisplay
from harness.errors import OptionError, SuiteError
from harness.plan.explain import Reasons
from harness.plan.jobs import ChainId
from harness.registry.options import validate_options
from harness.run.prepare import missing_jobs, plan_unopened
from harness.run.run import run
from harness.store.records import Store
from harness.suite import load_suite
from harness.suite.option_files import keyed_files


@dataclass
class Pair:
    left: Path
    weight: float = 1.0


class Target:
    def __init__(
        self,
        *,
        one: Path | None = None,
        several: tuple[Path, ...] = (),
        named: dict[str, Path] | None = None,
        pair: Pair | None = None,
        text: str = "weights.bin",
        number: int = 3,
    ):
        pass


def keyed(**options):
    return keyed_files(Target, validate_options(Target, options))


def entry(path):
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"weights")
    (tmp_path / "other.bin").write_bytes(b"others!")
    return tmp_path


def test_options_without_a_path_are_left_alone(files):
    assert keyed() == keyed(text="weights.bin", number=4) == {}


def test_a_path_counts_by_name_and_content_not_by_place(files):
    weights = files / "weights.bin"
    assert keyed(one="weights.bin") == {"one": entry(weights)}
    (files / "sub").mkdir()
    before = keyed(one=str(weights))
    weights.rename(files / "sub" / "weights.bin")
    assert keyed(one="sub/weights.bin") == before
    (files / "sub" / "weights.bin").rename(weights)
    state = weights.stat()
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert keyed(one="weights.bin") == {"one": entry(weights)} != before


def test_paths_are_found_inside_of_values(files):
    weights, other = files / "weights.bin", files / "other.bin"
    found = keyed(
        several=["weights.bin", "other.bin"],
        named={"a": "other.bin"},
        pair={"left": "weights.bin", "weight": 2.0},
    )
    assert found == {
        "several": [entry(weights), entry(other)],
        "named": {"a": entry(other)},
        "pair": {"left": entry(weights), "weight": 2.0},
    }


def test_the_home_directory_is_known(files, monkeypatch):
    monkeypatch.setenv("HOME", str(files))
    assert keyed(one="~/weights.bin") == {"one": entry(files / "weights.bin")}


def test_a_folder_counts_by_the_names_and_contents_of_all_files(files):
    folder = files / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "sub" / "b").write_text("2")
    found = [keyed(one="folder")["one"]]
    (folder / "sub" / "b").write_text("3")
    found.append(keyed(one="folder")["one"])
    (folder / "sub" / "b").rename(folder / "b")
    found.append(keyed(one="folder")["one"])
    (folder / "empty").touch()
    found.append(keyed(one="folder")["one"])
    assert len({item["sha256"] for item in found}) == 4
    assert {item["name"] for item in found} == {"folder"}
    folder.rename(files / "moved")
    assert keyed(one="moved")["one"]["sha256"] == found[-1]["sha256"]


def test_a_folder_with_a_link_to_a_folder_is_refused(files):
    (files / "folder").mkdir()
    (files / "elsewhere").mkdir()
    (files / "folder" / "link").symlink_to(files / "elsewhere")
    with pytest.raises(OptionError) as caught:
        keyed(one="folder")
    assert str(caught.value) == (
        "one: folder/link cannot be read: a link to a folder, in a folder named by an option "
        "(numbers depend on the content)"
    )


def test_every_file_that_cannot_be_read_is_a_problem(files):
    os.mkfifo(files / "pipe")
    with pytest.raises(OptionError) as caught:
        keyed(one="absent.bin", several=["weights.bin", "pipe"])
    assert [str(problem) for problem in caught.value.problems] == [
        "one: absent.bin cannot be read: No such file or directory "
        "(numbers depend on the content)",
        "several: pipe cannot be read: not a file or folder (numbers depend on the content)",
    ]


PLUGIN = """
    from pathlib import Path

    import numpy as np
    from oodbench import Entry, Images, hookimpl


    @hookimpl
    def bench_statistics():
        return [Entry("scaled", ":Scaled", "scaled values", version="1")]


    @hookimpl
    def bench_scorers():
        return [Entry("scaled", ":ByScaled", "scaled values", version="1")]


    class Scaled:
        per = "example"
        reads_model = False

        def __init__(self, *, factor: Path):
            self._factor = factor

        def features(self, model):
            return ("scaled",)

        def __call__(self, model, groups):
            values = groups.double().mean((1, 2, 3, 4)) * float(self._factor.read_text())
            return values.numpy().reshape(-1, 1)


    class ByScaled:
        inputs = ("scaled",)

        def fit(self, statistics):
            return self

        def score(self, statistics):
            return statistics["scaled"].mean(axis=(1, 2))
"""


@pytest.fixture
def suite(tiny_suite, write_suite, files):
    write_suite(PLUGIN, "plugin.py")
    (files / "factor.txt").write_text("1.5")
    text = tiny_suite.read_text().replace('"typicality", "gradient-gaussian"', '"scaled"')
    text = text.replace("[0, 2]", "[0]") + '\n[plugins]\npaths = ["plugin.py"]\n'
    tiny_suite.write_text(
        text + '\n[statistics.scaled]\nplugin = "scaled"\noptions = { factor = "factor.txt" }\n'
    )
    return tiny_suite


def test_an_overwritten_file_of_a_statistic_is_computed_anew(suite, settings, files):
    run(load_suite(suite), settings, NoDisplay())
    state = (files / "factor.txt").stat()
    (files / "factor.txt").write_text("2.5")
    os.utime(files / "factor.txt", ns=(state.st_atime_ns, state.st_mtime_ns))
    plan, store = plan_unopened(load_suite(suite), settings), Store(settings.store)
    (chain,) = plan.chains.values()
    new = missing_jobs(plan, store, chain)
    assert len(new) == 4
    assert all("scaled" in job for job in new)
    job = next(job for job in chain.jobs if job.epoch is None)
    assert "statistic.options.factor.sha256 is " in Reasons(plan, store).statistic(job)
    assert chain.id == ChainId("flow", "digits", 0)
    (files / "factor.txt").write_text("1.5")
    assert missing_jobs(plan_unopened(load_suite(suite), settings), store, chain) == []


def test_a_missing_file_names_suite_line_key_and_path(suite, files):
    (files / "factor.txt").unlink()
    with pytest.raises(SuiteError) as caught:
        load_suite(suite)
    line = suite.read_text().splitlines().index('options = { factor = "factor.txt" }') + 1
    assert str(caught.value).splitlines()[0] == (
        f"{suite}:{line}: statistics.scaled.options.factor: {files / 'factor.txt'} "
        "cannot be read: No such file or directory (numbers depend on the content)"
    )
