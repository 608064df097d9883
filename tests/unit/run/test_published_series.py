"""Series of checkpoints as published, a revision each: read, faults found, absent ones named."""

from __future__ import annotations

import json
import shutil
import textwrap

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import MissingDataError
from harness.run.run import run
from harness.suite import load_suite
from tests.places import settings_in

STEPS = [0, *(2**n for n in range(10)), 1000]
"""The first 12 steps of a published series."""
SUITE = """
    [models.flow]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }
    dataset = "digits"

    [models.flow.checkpoints]
    repository = "series"
    revisions = "step{step}"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"
    options = { n_train = 10, n_test = 40 }

    [[comparisons]]
    models = "flow"
    in = "digits"
    out = "noise"
    epochs = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]
    scorers = ["log-likelihood"]
    n_in = 30
    n_fit = 30
    n_out = 30
"""
IGNORED = '[models.flow.checkpoints]\nignore = ["*.bias_of_before"]'


def write_series(folder, steps, parts=1):
    """Write weights of a tiny flow, a folder for each step as a snapshot of the hub has it."""
    from harness.domain import Images
    from plugins.models.glow import glow

    torch.manual_seed(0)
    model = glow(Images(1, 8, 8), levels=1, steps=1, width=4)
    model.prepare(torch.randint(256, (64, 1, 8, 8), dtype=torch.uint8))
    state = {name: x.contiguous() for name, x in model.state_dict().items()}
    for step in steps:
        moved = {
            name: x + 1e-3 * step**0.5 if x.is_floating_point() else x for name, x in state.items()
        }
        write_snapshot(folder / f"step{step}", moved, parts)


def write_snapshot(folder, state, parts=1):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    if parts == 1:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(state)
    files = [f"model-{n + 1:05}-of-{parts:05}.safetensors" for n in range(parts)]
    where = {name: files[number * parts // len(names)] for number, name in enumerate(names)}
    for file in files:
        save_file({name: x for name, x in state.items() if where[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "series.toml"
    path.write_text(textwrap.dedent(SUITE))
    return path


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def ran(path, **how):
    return run(load_suite(path), settings_in(path.parent), lambda event: None, **how)


def command(name, path, *arguments):
    places = ["--store", str(path.parent / "store")]
    places += ["--data", str(path.parent / "data")] if name == "plan" else ["--device", "cpu"]
    return CliRunner().invoke(app, [name, str(path), *places, *arguments], catch_exceptions=False)


def test_a_series_with_two_equal_steps_is_refused_unless_allowed(suite, tmp_path):
    write_series(tmp_path / "series", STEPS)
    shutil.rmtree(tmp_path / "series/step1")
    shutil.copytree(tmp_path / "series/step0", tmp_path / "series/step1")
    copy = f"{tmp_path}/series/step1 has the same weights as {tmp_path}/series/step0"

    checked = command("check", suite, "--json")
    assert checked.exit_code == 1
    rows = [row for row in json.loads(checked.stdout) if ": step " in row["what"]]
    assert [copy in row["problem"] for row in rows] == [step == 1 for step in STEPS]
    assert [row["problem"] == "" for row in rows] == [step != 1 for step in STEPS]
    assert rows[1]["detail"].endswith(", 0 from step 0")

    outcome = ran(suite)
    bad = [result for result in outcome.results if result.status != "ok"]
    assert {result.cell.epoch for result in bad} == {1}
    assert all(copy in result.message for result in bad)

    rewrite(suite, "revisions", "allow_equal = true\nrevisions")
    outcome = ran(suite)
    assert outcome.exit_status == 0
    note = "flow: steps 0, 1 have the same weights, which the suite allows"
    noted = {r.cell.epoch: note in r.provenance["notes"] for r in outcome.results}
    assert noted == {step: step in (0, 1) for step in STEPS}
    page, only = tmp_path / "page.html", ["--only=epoch=0", "--only=epoch=1"]
    arguments = [str(suite), f"--store={tmp_path}/store", f"--html={page}", *only]
    done = CliRunner().invoke(app, ["report", *arguments], catch_exceptions=False)
    assert note in " ".join(done.stdout.split())
    assert note in page.read_text()
    assert command("check", suite).exit_code == 0


def test_a_part_of_another_step_is_found(suite, tmp_path):
    write_series(tmp_path / "series", STEPS, parts=2)
    assert {result.status for result in ran(suite).results} == {"ok"}
    part = "model-00002-of-00002.safetensors"
    shutil.copy(tmp_path / f"series/step1000/{part}", tmp_path / f"series/step4/{part}")
    outcome = ran(suite)
    bad = {x.cell.epoch: x.message for x in outcome.results if x.status != "ok"}
    assert set(bad) == {4, 1000}
    one, other = (f"{tmp_path}/series/step{step}/{part}" for step in (4, 1000))
    assert f"{one} is the same file as {other}: it may be a copy by mistake" in bad[4]
    assert f"{other} is the same file as {one}" in bad[1000]
    assert command("check", suite).exit_code == 1
    assert f"{one} is the same file" in command("plan", suite, "--why").stdout
    rewrite(suite, "revisions", "allow_equal = true\nrevisions")
    assert ran(suite).exit_status == 0


def test_check_measures_the_way_between_neighbours(suite, tmp_path):
    write_series(tmp_path / "series", STEPS)
    rows = json.loads(command("check", suite, "--json").stdout)
    found = [row["detail"] for row in rows if ": step " in row["what"]]
    states = [load_file(tmp_path / f"series/step{n}/model.safetensors") for n in STEPS]
    vectors = [
        torch.cat([x.double().ravel() for x in state.values() if x.is_floating_point()])
        for state in states
    ]
    for number in range(1, 12):
        before, after = vectors[number - 1], vectors[number]
        far = float((after - before).norm() / before.norm())
        assert found[number].endswith(f", {far:.2g} from step {STEPS[number - 1]}")


def in_cache(cache, repository, revisions):
    """Move folders of revisions to where `hf download` puts them."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    for number, (revision, path) in enumerate(revisions.items()):
        commit = f"{number:040x}"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / revision).write_text(commit)
        shutil.copytree(path, folder / "snapshots" / commit)


def test_revisions_are_read_from_the_cache_of_the_hub_and_absent_ones_named(suite, tmp_path):
    write_series(tmp_path / "series", STEPS)
    rewrite(suite, '"series"', '"EleutherAI/tiny"')
    loop = (
        "12 of 12 steps are not on this machine: for revision in step0 step1 step2 step4 step8 "
        "step16 step32 step64 step128 step256 step512 step1000; do hf download EleutherAI/tiny "
        "--revision $revision; done"
    )
    planned = command("plan", suite)
    assert (planned.exit_code, f"model flow: {loop}" in planned.stdout) == (0, True)
    assert "estimated time" not in planned.stdout  # nothing can be computed
    checked = command("check", suite)
    assert checked.exit_code == 0
    assert "hf download EleutherAI/tiny --revision step512" in checked.output

    folders = {f"step{step}": tmp_path / f"series/step{step}" for step in STEPS}
    absent = folders.pop("step1000")
    in_cache(tmp_path / "cache", "EleutherAI/tiny", folders)
    with pytest.raises(MissingDataError, match="1 of 12 cells lack data:\n  model flow: 1 of 12"):
        ran(suite)
    outcome = ran(suite, allow_missing=True)
    states = {result.cell.epoch: result.status for result in outcome.results}
    assert states == {step: "missing_data" if step == 1000 else "ok" for step in STEPS}
    (lost,) = (result for result in outcome.results if result.cell.epoch == 1000)
    assert lost.message == (
        "step1000 of EleutherAI/tiny is not on this machine: hf download EleutherAI/tiny "
        "--revision step1000"
    )
    # The same weights in a folder are the same results; nothing is computed again.
    in_folder = suite.with_name("folder.toml")
    in_folder.write_text(suite.read_text().replace("EleutherAI/tiny", "series"))
    shutil.move(absent, tmp_path / "absent")
    plan = json.loads(command("plan", in_folder, "--json").stdout)
    assert plan["cells"] == {"all": 12, "new": 1, "unsupported": 0}
    assert plan["missing_revisions"] == {
        "flow": "model flow: 1 of 12 steps are not on this machine: put step1000 into "
        f"the folder {tmp_path}/series"
    }
    shutil.move(tmp_path / "absent", absent)
    assert ran(in_folder).exit_status == 0


def test_tensors_that_are_no_weights_are_ignored_by_name(suite, tmp_path):
    write_series(tmp_path / "series", [0])
    rewrite(suite, "epochs = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]", "epochs = [0]")
    file = tmp_path / "series/step0/model.safetensors"
    save_file({**load_file(file), "layers.0.bias_of_before": torch.ones(3)}, file)
    done = command("check", suite, "--json")
    (row,) = (row for row in json.loads(done.stdout) if ": step " in row["what"])
    assert "unexpected: layers.0.bias_of_before" in row["problem"]
    rewrite(suite, "[models.flow.checkpoints]", IGNORED)
    done = command("check", suite, "--json")
    (row,) = (row for row in json.loads(done.stdout) if ": step " in row["what"])
    assert (row["problem"], ", 1 tensor ignored" in row["detail"]) == ("", True)
    assert ran(suite).exit_status == 0
