"""Saved epochs in a suite: files found by a pattern, and mistakes with their place."""

from __future__ import annotations

import json
import re

import pytest

from harness.errors import DataError, MissingDataError, SuiteError
from harness.suite import load_suite
from harness.suite.saved import find_saved_epochs
from harness.suite.schema import Checkpoints
from harness.suite.weight_files import stored_content, weight_files

SUITE = """
    [models.mine]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }

    [models.mine.checkpoints]
    files = "runs/epoch_{epoch}.pt"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"
    options = { n_train = 10, n_test = 40 }

    [[comparisons]]
    models = "mine"
    in = "digits"
    out = "noise"
    epochs = [1, 2]
    scorers = ["log-likelihood"]
    n_in = 30
    n_fit = 30
    n_out = 30
"""


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def found(folder, files="", **keys):
    saved = find_saved_epochs(Checkpoints(files=files or None, **keys), folder)
    return saved.unit, {
        place: path.relative_to(folder).as_posix() for place, path in sorted(saved.paths.items())
    }


def mistakes(path):
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    return [str(problem).removeprefix(f"{path.parent}/") for problem in caught.value.problems]


def test_a_pattern_names_epochs_and_seeds(tmp_path):
    names = ["runs/seed0/epoch=1-loss=2.5.ckpt", "runs/seed0/epoch=12-loss=0.1.ckpt"]
    touch(tmp_path, *names, "runs/seed3/epoch=012-loss=1.ckpt", "runs/seed0/last.ckpt")
    assert found(tmp_path, "runs/seed{seed}/epoch={epoch}-*.ckpt") == (
        "epoch",
        {(0, 1): names[0], (0, 12): names[1], (3, 12): "runs/seed3/epoch=012-loss=1.ckpt"},
    )


def test_steps_are_an_axis_of_their_own_and_folders_are_files_too(tmp_path):
    touch(
        tmp_path, "out/checkpoint-500/model.safetensors", "out/checkpoint-1000/model.safetensors"
    )
    touch(tmp_path, "out/checkpoint-x/model.safetensors", "out/runs/events")
    places = {(0, 500): "out/checkpoint-500", (0, 1000): "out/checkpoint-1000"}
    assert found(tmp_path, "out/checkpoint-{step}") == ("step", places)
    inside = {place: f"{name}/model.safetensors" for place, name in places.items()}
    assert found(tmp_path, "out/checkpoint-{step}/model.safetensors") == ("step", inside)


def test_other_numbers_in_a_name_are_passed_over(tmp_path):
    touch(tmp_path, "epoch=3-step=900.ckpt", "epoch=4-step=1200.ckpt")
    assert found(tmp_path, "epoch={epoch}-step=*.ckpt")[1].keys() == {(0, 3), (0, 4)}
    assert found(tmp_path, "epoch=*-step={step}.ckpt")[1].keys() == {(0, 900), (0, 1200)}


def test_only_the_named_signs_have_a_meaning(tmp_path):
    touch(tmp_path, "a[1] (b)+/w.1.pt", "a1 (b)/w.1.pt", "a[1] (b)+/wx2.pt")
    assert found(tmp_path, "a[1] (b)+/w.{epoch}.pt") == ("epoch", {(0, 1): "a[1] (b)+/w.1.pt"})
    assert found(tmp_path, "a[1]*/w?{epoch}.pt")[1].keys() == {(0, 1), (0, 2)}


def test_a_number_that_comes_again_must_be_the_same(tmp_path):
    touch(tmp_path, "1/w1.pt", "2/w1.pt", "2/w2.pt")
    assert found(tmp_path, "{epoch}/w{epoch}.pt")[1] == {(0, 1): "1/w1.pt", (0, 2): "2/w2.pt"}


def test_absolute_names_and_the_folder_of_the_user_are_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "w/1.pt", "w/2.pt")
    here = tmp_path / "elsewhere"
    here.mkdir()
    for pattern in (f"{tmp_path}/w/{{epoch}}.pt", "~/w/{epoch}.pt", "../w/{epoch}.pt"):
        saved = find_saved_epochs(Checkpoints(files=pattern), here)
        names = {place: path.resolve() for place, path in saved.paths.items()}
        assert names == {(0, 1): tmp_path / "w/1.pt", (0, 2): tmp_path / "w/2.pt"}


def test_files_may_be_named_one_by_one(tmp_path):
    touch(tmp_path, "first.pt", "seed1/last.pt", "seed2/last.pt", "seed1/first.pt")
    assert found(tmp_path, epochs={1: "first.pt", 10: "seed{seed}/last.pt"}) == (
        "epoch",
        {(0, 1): "first.pt", (1, 10): "seed1/last.pt", (2, 10): "seed2/last.pt"},
    )


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{epoch}-{step}.pt", "needs one of {epoch} and {step}; * stands for the other"),
        ("weights.pt", "needs one of {epoch} and {step}"),
        ("{epoc}.pt", "{epoc} has no meaning here (did you mean 'epoch'?)"),
        ("w{epoch}.ckpt", "no file is named w{epoch}.ckpt ({folder} has w1.pt, w2.pt)"),
        ("runs/{epoch}.pt", "no file is named runs/{epoch}.pt ({folder} has w1.pt, w2.pt)"),
        ("*{epoch}.pt", "both match number"),
    ],
)
def test_a_wrong_pattern_is_explained(tmp_path, pattern, message):
    touch(tmp_path, "w1.pt", "w2.pt")
    if "both" in message:
        touch(tmp_path, "v1.pt")
    with pytest.raises(DataError) as caught:
        find_saved_epochs(Checkpoints(files=pattern), tmp_path)
    assert message.replace("{folder}", str(tmp_path)) in str(caught.value)


@pytest.mark.parametrize(
    ("inside", "way_out"),
    [
        ("__0_0.distcp", "torch.distributed.checkpoint.format_utils dcp_to_torch"),
        ("pytorch_model_fsdp_0/.metadata", "accelerate merge-weights"),
        ("zero_to_fp32.py", "the script zero_to_fp32.py inside converts it"),
        ("global_step5/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "zero_to_fp32.py"),
        ("adapter_model.safetensors", "merge_and_unload()"),
        ("_CHECKPOINT_METADATA", "a checkpoint of orbax, which is not read"),
        ("notes.txt", "no weights inside: none of model.safetensors,"),
    ],
)
def test_folders_in_other_forms_name_the_way_out(tmp_path, inside, way_out):
    touch(tmp_path, f"step-5/{inside}")
    with pytest.raises(DataError, match="step-5: ") as caught:
        find_saved_epochs(Checkpoints(files="step-{step}"), tmp_path)
    assert way_out in str(caught.value)


@pytest.mark.parametrize("suffix", [".pkl", ".h5", ".msgpack", ".npz", ".jit"])
def test_files_in_other_forms_are_refused_before_they_are_read(tmp_path, suffix):
    touch(tmp_path, f"w1{suffix}")
    with pytest.raises(DataError, match=f"w1{suffix}: no known form of weights: "):
        find_saved_epochs(Checkpoints(files=f"w{{epoch}}{suffix}"), tmp_path)


@pytest.mark.parametrize(
    "names", [["../w.safetensors"], ["/etc/passwd"], ["a/b.bin"], ["w.txt"], [3], [".."], [""]]
)
def test_an_index_names_files_of_its_folder_alone(tmp_path, names):
    touch(tmp_path, "w.safetensors")
    index = tmp_path / "c" / "model.safetensors.index.json"
    index.parent.mkdir()
    index.write_text(json.dumps({"weight_map": dict(enumerate(names))}))
    with pytest.raises(DataError, match="index.json: .* is no (name|file) of"):
        weight_files(index.parent)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', "[" * 100_000])
def test_a_damaged_index_is_named(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(DataError, match="index.json: not an index of weight files"):
        weight_files(tmp_path)


def test_a_part_that_is_missing_is_named(tmp_path):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="model-00001-of-00002.safetensors does not exist"):
        weight_files(tmp_path)


def test_the_content_is_that_of_all_files_and_of_no_others(tmp_path):
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    touch(tmp_path, "one.safetensors", "two.safetensors")
    before = stored_content(tmp_path)
    touch(tmp_path, "optimizer.pt", "trainer_state.json")
    assert stored_content(tmp_path) == before
    (tmp_path / "two.safetensors").write_bytes(b"other")
    assert stored_content(tmp_path) != before


def test_a_model_has_a_training_or_saved_epochs(write_suite):
    text = SUITE.replace('files = "runs/epoch_{epoch}.pt"', "")
    path = write_suite(text)
    assert mistakes(path)[0] == (
        "suite.toml:6: models.mine.checkpoints: give either 'files' or 'epochs' or 'repository' "
        "with 'revisions'"
    )
    head, _, tail = SUITE.partition("[models.mine.checkpoints]")
    path = write_suite(head + tail.partition("\n")[2].partition("\n")[2])
    assert mistakes(path) == [
        "suite.toml:2: models.mine.training: missing key "
        "(or a table 'checkpoints' with saved epochs)"
    ]
    text = SUITE.replace('plugin = "glow"', 'plugin = "glow"\n    training = "t"')
    path = write_suite(text + "\n    [training.t]\n")
    assert mistakes(path) == [
        "suite.toml:4: models.mine.training: saved epochs are never trained, so 'training' and "
        "'checkpoints' exclude each other"
    ]


def test_an_unknown_key_has_the_nearest_one(write_suite, tmp_path):
    touch(tmp_path, "runs/epoch_1.pt", "runs/epoch_2.pt")
    path = write_suite(SUITE.replace("files =", 'strp = "net."\n    files ='))
    assert mistakes(path) == [
        "suite.toml:7: models.mine.checkpoints.strp: unknown key (did you mean 'strip'?)"
    ]


def test_asked_epochs_and_seeds_need_a_file(write_suite, tmp_path):
    touch(tmp_path, "runs/epoch_1.pt", "runs/epoch_4.pt")
    path = write_suite(SUITE.replace("epochs = [1, 2]", "epochs = [1, 2, 3]"))
    assert mistakes(path) == [
        "suite.toml:6: models.mine.checkpoints: runs/epoch_{epoch}.pt has no file for epoch 2, 3 "
        "(known: 1, 4)"
    ]
    path = write_suite(SUITE.replace("epochs = [1, 2]", "epochs = [1, 4]\n    seeds = [0, 7]"))
    assert mistakes(path) == [
        "suite.toml:6: models.mine.checkpoints: runs/epoch_{epoch}.pt has no file for seed 7 "
        "(known: 0)"
    ]


def test_epochs_that_a_scorer_reads_need_a_file_too(write_suite, tmp_path):
    touch(tmp_path, "runs/epoch_1.pt", "runs/epoch_2.pt", "plugin.py")
    (tmp_path / "plugin.py").write_text(
        "from oodbench import Entry, hookimpl\n\n\n@hookimpl\ndef bench_scorers():\n"
        '    return [Entry("late", ":Late", "test")]\n\n\n'
        'class Late:\n    inputs = ("log_prob:9",)\n'
    )
    path = write_suite(SUITE.replace('"log-likelihood"', '"late"'))
    path.write_text('plugins.paths = ["plugin.py"]\n' + path.read_text())
    (mistake,) = mistakes(path)
    assert mistake.endswith("runs/epoch_{epoch}.pt has no file for epoch 9 (known: 1, 2)")


def test_names_are_relative_to_the_file_with_the_table(write_suite, tmp_path):
    touch(tmp_path, "common/runs/epoch_1.pt", "common/runs/epoch_2.pt")
    models, datasets, rest = SUITE.partition("[datasets.digits]")
    write_suite(models, "common/models.toml")
    suite = load_suite(write_suite('include = ["common/models.toml"]\n    ' + datasets + rest))
    saved = suite.models["mine"].saved
    assert saved.paths[0, 2] == tmp_path / "common/runs/epoch_2.pt"


def test_revisions_are_folders_of_a_repository(tmp_path):
    names = [f"series/step{step}" for step in (0, 1, 1000)]
    touch(tmp_path, *(f"{name}/model.safetensors" for name in names), "series/main/notes.txt")
    places = {(0, step): f"series/step{step}" for step in (0, 1, 1000)}
    keys = {"repository": "series", "revisions": "step{step}"}
    assert found(tmp_path, **keys) == ("step", places)
    saved = find_saved_epochs(Checkpoints(**keys), tmp_path)
    assert list(saved.lacking((0,), (0, 5))) == []
    assert saved.absence(0, 1) is None
    assert saved.absence(0, 5) == (
        f"step5 of series is not on this machine: put step5 into the folder {tmp_path}/series"
    )
    keys["repository"] = "../none"
    none = find_saved_epochs(Checkpoints(**keys), tmp_path)
    assert "put step5 into the folder" in none.absence(0, 5)
    with pytest.raises(MissingDataError, match="put step5 into"):
        saved.content(0, 5)
    assert list(saved.lacking((0, 1), (0,))) == [
        "series, revisions step{step} has no {seed}, so the only seed is 0"
    ]


def test_revisions_of_the_hub_are_found_in_its_cache(tmp_path, monkeypatch):
    commits = {"step0": "0" * 40, "step16": "a" * 40, "main": "b" * 40, "step32": "no commit"}
    folder = "hub/models--lab--model"
    touch(tmp_path, *(f"{folder}/snapshots/{x}/model.safetensors" for x in commits.values()))
    (tmp_path / folder / "refs").mkdir()
    for revision, commit in commits.items():
        (tmp_path / folder / "refs" / revision).write_text(commit)
    keys = {"repository": "lab/model", "revisions": "step{step}"}
    for name, value in (("HF_HUB_CACHE", tmp_path / "hub"), ("HF_HOME", tmp_path)):
        for other in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(other, raising=False)
        monkeypatch.setenv(name, str(value))
        assert found(tmp_path, **keys) == (
            "step",
            {(0, n): f"{folder}/snapshots/{commits[f'step{n}']}" for n in (0, 16)},
        )
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    saved = find_saved_epochs(Checkpoints(**keys), tmp_path)
    assert saved.paths == {}
    assert saved.way_to_get(0, [0]) == "hf download lab/model --revision step0"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"repository": "a", "revisions": "main"}, "'main' needs one of {epoch} and {step}"),
        ({"repository": "a", "revisions": "{step}-{epoch}"}, "needs one of {epoch} and {step}"),
        ({"repository": "a", "revisions": "step{number}"}, "{number} has no meaning here"),
    ],
)
def test_wrong_revisions_are_explained(tmp_path, monkeypatch, keys, message):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(DataError, match=re.escape(message)):
        find_saved_epochs(Checkpoints(**keys), tmp_path)


def test_a_repository_needs_revisions(write_suite):
    half = SUITE.replace('files = "runs/epoch_{epoch}.pt"', 'revisions = "step{step}"')
    assert mistakes(write_suite(half))[0].endswith("'repository' and 'revisions' go together")
    two = SUITE.replace("files =", 'repository = "a"\n    revisions = "{step}"\n    files =')
    assert mistakes(write_suite(two))[0].endswith("or 'repository' with 'revisions'")
    wrong = SUITE.replace('files = "runs/epoch_{epoch}.pt"', 'repository = "a"\nrevisions = "x"')
    assert "models.mine.checkpoints.revisions: 'x' needs one of" in mistakes(write_suite(wrong))[0]
