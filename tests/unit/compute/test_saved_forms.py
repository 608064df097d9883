"""Weights that were saved elsewhere: every form gives the same bits, or a way out."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness.compute.checkpoints import tensor_bytes
from harness.compute.saved.contents import read_weights
from harness.compute.saved.loading import load_saved
from harness.errors import DataError
from harness.suite import file_sums
from harness.suite.saved import SavedEpochs
from harness.suite.schema import Checkpoints
from tests.unit.compute import forms


class Flow(nn.Module):
    """A model with nested names, a buffer and a number."""

    def __init__(self, kind=torch.float32):
        super().__init__()
        self.flow = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        self.register_buffer("scale", torch.rand(2))
        self.to(kind)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
        self.two.weight = self.one.weight


def saved_at(path, **keys):
    return SavedEpochs(Checkpoints(files="{epoch}.pt", **keys), "epoch", {(0, 3): path})


def load(model, path, **keys):
    saved = saved_at(path, **keys)
    return load_saved(model, saved, 0, 3, saved.content(0, 3))


def refusal(model, path, **keys):
    before = tensor_bytes(model.state_dict())
    with pytest.raises(DataError) as caught:
        load(model, path, **keys)
    assert tensor_bytes(model.state_dict()) == before, "nothing is loaded in part"
    message = str(caught.value)
    assert message.startswith(str(path)), "it names the file"
    return message


@pytest.mark.parametrize("name", forms.FORMS)
def test_every_form_has_the_same_bits(tmp_path, name):
    write, keys = forms.FORMS[name]
    trained, model = Flow(), Flow()
    write(tmp_path / name, trained.state_dict())
    load(model, tmp_path / name, **keys)
    assert tensor_bytes(model.state_dict()) == tensor_bytes(trained.state_dict())


@pytest.mark.parametrize("name", [name for name, (_, keys) in forms.FORMS.items() if keys])
def test_a_form_that_needs_a_key_says_which(tmp_path, name):
    write, keys = forms.FORMS[name]
    write(tmp_path / name, Flow().state_dict())
    message = refusal(Flow(), tmp_path / name)
    for key, value in keys.items():
        assert f'{key} = "{value}"' in message


def test_a_prefix_in_two_entries_comes_with_the_entry(tmp_path):
    state = forms.under("net.", Flow().state_dict())
    torch.save({"raw": state, "average": state}, tmp_path / "a.pt")
    assert (
        'all match with state = "average" and strip = "net." or state = "raw" and strip = "net."'
    ) in refusal(Flow(), tmp_path / "a.pt")
    torch.save({"raw": state, "loss": torch.ones(1)}, tmp_path / "b.pt")
    assert '; all match with strip = "net." (missing: ' in refusal(Flow(), tmp_path / "b.pt")


def test_an_average_and_the_weights_themselves_are_a_choice(tmp_path):
    forms.average(tmp_path / "a.pt", Flow().state_dict())
    message = refusal(Flow(), tmp_path / "a.pt")
    assert 'all match with strip = "ema_model." or strip = "online_model."' in message
    forms.timm(tmp_path / "b.pt", Flow().state_dict())
    message = refusal(Flow(), tmp_path / "b.pt")
    assert 'choose state = "state_dict" or state = "state_dict_ema"' in message


def test_a_network_saved_without_its_wrapper_is_told_the_prefix(tmp_path):
    trained, model = Flow(), Flow()
    del trained.scale, model.scale
    forms.inner(tmp_path / "a.pt", trained.state_dict())
    assert 'all match with add = "flow."' in refusal(model, tmp_path / "a.pt")
    load(model, tmp_path / "a.pt", add="flow.")
    assert tensor_bytes(model.state_dict()) == tensor_bytes(trained.state_dict())


def test_strip_and_add_combine_and_leave_the_rest_out(tmp_path):
    trained, model = Flow(), Flow()
    del trained.scale, model.scale
    state = {f"net.{name.removeprefix('flow.')}": x for name, x in trained.state_dict().items()}
    torch.save({"state_dict": {**state, "metric.total": torch.ones(3)}}, tmp_path / "a.pt")
    way = load(model, tmp_path / "a.pt", strip="net.", add="flow.")
    assert way == "state 'state_dict', 1 tensor without 'net.' left out"
    assert tensor_bytes(model.state_dict()) == tensor_bytes(trained.state_dict())


def test_beginnings_of_names_are_replaced_before_all_else(tmp_path):
    trained, model = Flow(), Flow()
    state = {name.replace("flow.0.", "old."): x for name, x in trained.state_dict().items()}
    torch.save({"net." + name: x for name, x in state.items()}, tmp_path / "a.pt")
    assert "missing: flow.0.weight" in refusal(model, tmp_path / "a.pt", strip="net.")
    load(model, tmp_path / "a.pt", strip="net.", rename={"net.old.": "net.flow.0."})
    assert tensor_bytes(model.state_dict()) == tensor_bytes(trained.state_dict())
    saved = saved_at(tmp_path / "a.pt", rename={"a": "b"})
    assert saved.identity("x") != saved_at(tmp_path / "a.pt").identity("x")


def test_how_the_weights_were_found_is_told(tmp_path):
    forms.parallel(tmp_path / "a.pt", Flow().state_dict())
    assert load(Flow(), tmp_path / "a.pt") == "prefix of a wrapper removed"
    forms.plain(tmp_path / "b.pt", Flow().state_dict())
    assert load(Flow(), tmp_path / "b.pt") == "state 'model_state_dict'"


def test_missing_unexpected_and_differing_tensors_are_named(tmp_path):
    state = Flow().state_dict()
    state["flow.0.wieght"] = state.pop("flow.0.weight")
    state["flow.2.bias"] = torch.zeros(5)
    del state["scale"]
    torch.save(state, tmp_path / "a.pt")
    assert refusal(Flow(), tmp_path / "a.pt") == (
        f"{tmp_path}/a.pt: the tensors do not match the model (missing: scale, flow.0.weight "
        "(nearest in the file: flow.0.wieght); unexpected: flow.0.wieght (nearest in the model: "
        "flow.0.weight); differing: flow.2.bias is 5 of float32 in the file and 2 of float32 in "
        "the model)"
    )


def test_of_many_names_the_first_are_shown(tmp_path):
    torch.save({f"x{number}": torch.zeros(1) for number in range(40)}, tmp_path / "a.pt")
    message = refusal(Flow(), tmp_path / "a.pt")
    assert "unexpected: x0, x1, x2 and 37 more" in message


def test_no_name_acts_on_a_terminal(tmp_path):
    torch.save({"a\x1b[2J\nb": torch.zeros(1)}, tmp_path / "a.pt")
    assert "\x1b" not in refusal(Flow(), tmp_path / "a.pt")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_fewer_bits_fit_into_more(tmp_path, kind):
    trained, model = Flow(kind), Flow(torch.float64)
    torch.save(trained.state_dict(), tmp_path / "a.pt")
    load(model, tmp_path / "a.pt")
    expected = Flow(torch.float64)
    expected.load_state_dict(trained.state_dict())
    assert tensor_bytes(model.state_dict()) == tensor_bytes(expected.state_dict())


def test_more_bits_are_never_rounded(tmp_path):
    torch.save(Flow(torch.float64).state_dict(), tmp_path / "a.pt")
    message = refusal(Flow(), tmp_path / "a.pt")
    assert "flow.0.weight is 4x3 of float64 in the file and 4x3 of float32 in the model" in message
    assert 'precision = "float64"' in message


def test_whole_numbers_stay_whole(tmp_path):
    state = Flow().state_dict()
    state["flow.1.num_batches_tracked"] = state["flow.1.num_batches_tracked"].float()
    torch.save(state, tmp_path / "a.pt")
    assert "differing: flow.1.num_batches_tracked is a scalar of float32" in refusal(
        Flow(), tmp_path / "a.pt"
    )


def test_tied_tensors_may_be_saved_once(tmp_path):
    trained, model = Tied(), Tied()
    state = trained.state_dict()
    del state["two.weight"]
    save_file(state, tmp_path / "a.safetensors")
    load(model, tmp_path / "a.safetensors")
    assert tensor_bytes(model.state_dict()) == tensor_bytes(trained.state_dict())
    assert model.one.weight is model.two.weight


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_tensors_without_plain_values_count_as_missing(tmp_path, kind):
    state = Flow().state_dict()
    state["scale"] = {
        "sparse": lambda: torch.eye(2)[0].to_sparse(),
        "meta": lambda: torch.empty(2, device="meta"),
    }[kind]()
    torch.save(state, tmp_path / "a.pt")
    refusal(Flow(), tmp_path / "a.pt")


class Acts:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_with_code_is_refused_by_name_and_not_run(tmp_path):
    torch.save({"state_dict": Flow().state_dict(), "x": Acts(tmp_path / "ran")}, tmp_path / "a.pt")
    message = refusal(Flow(), tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()
    assert "objects besides tensors and plain values: posix.mkdir" in message


def test_a_bare_pickle_with_code_is_not_run(tmp_path):
    (tmp_path / "a.pt").write_bytes(pickle.dumps(Acts(tmp_path / "ran")))
    refusal(Flow(), tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        (argparse.Namespace(lr=1e-3), "argparse.Namespace"),  # timm
        (Flow, "Flow"),  # a class in hyper_parameters of Lightning
        (np.float64(0.5), "numpy"),  # a loss
    ],
)
def test_objects_are_refused_with_a_conversion_that_works(tmp_path, extra, name):
    trained = Flow()
    path = tmp_path / "epoch=3.ckpt"
    torch.save({"state_dict": trained.state_dict(), "hyper_parameters": {"x": extra}}, path)
    message = refusal(Flow(), path)
    assert name in message
    assert "Reading them would run code from the file, so the file is refused" in message
    lines = message.partition("convert it: ")[2].partition(" (with the entry")[0]
    assert len(lines.split("; ")) == 2
    exec(lines, {"torch": torch})
    load(model := Flow(), tmp_path / "epoch=3.weights.pt")
    assert tensor_bytes(model.state_dict()) == tensor_bytes(trained.state_dict())


def test_a_whole_model_is_refused(tmp_path):
    torch.save(Flow(), tmp_path / "a.pt")
    assert "test_saved_forms.Flow" in refusal(Flow(), tmp_path / "a.pt")


def test_torch_before_2_10_reads_safetensors_alone(tmp_path, monkeypatch):
    trained = Flow()
    torch.save(trained.state_dict(), tmp_path / "a.pt")
    save_file(trained.state_dict(), tmp_path / "a.safetensors")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    monkeypatch.setattr(torch, "load", None)
    message = refusal(Flow(), tmp_path / "a.pt")
    assert "is read with torch 2.10 or newer" in message
    assert "this is 2.9.1+cpu" in message
    assert f'safetensors.torch.save_file(weights, "{tmp_path}/a.safetensors")' in message
    load(model := Flow(), tmp_path / "a.safetensors")
    assert tensor_bytes(model.state_dict()) == tensor_bytes(trained.state_dict())


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "older.pt"])
def test_a_truncated_file_is_named(tmp_path, name):
    path = tmp_path / name
    write = {"a.pt": forms.bare, "a.safetensors": forms.safetensors, "older.pt": forms.older_zip}
    write[name](path, Flow().state_dict())
    whole = path.read_bytes()
    for length in (0, 1, 8, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "is damaged" in refusal(Flow(), path)


def test_a_header_that_declares_terabytes_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    for size in (2**40, 2**62):
        header = {"scale": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))
        assert "is damaged" in refusal(Flow(), path)
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    assert "is damaged" in refusal(Flow(), path)


def test_names_with_paths_are_names_alone(tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    names = ["../../evil", "/etc/evil", "a/../evil", "\\\\host\\evil"]
    state = Flow().state_dict() | {name: torch.zeros(2) for name in names}
    torch.save(state, inside / "a.pt")
    save_file(state, inside / "b.safetensors")
    for name in ("a.pt", "b.safetensors"):
        assert "/evil" in refusal(Flow(), inside / name).partition("unexpected: ")[2]
    with zipfile.ZipFile(inside / "a.pt", "a") as archive:
        archive.writestr("../../evil", b"written")
    assert "file in archive is not in a subdirectory" in refusal(Flow(), inside / "a.pt")
    assert [path.name for path in tmp_path.rglob("*evil*")] == []


def test_an_archive_that_unpacks_to_more_than_itself_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(Flow().state_dict(), path)
    with zipfile.ZipFile(path) as source:
        files = {item.filename: source.read(item) for item in source.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name, content)
        target.writestr("archive/data/99", bytes(2**24))
    assert "bytes and declares" in refusal(Flow(), path)


def test_a_tensor_that_repeats_a_number_for_terabytes_takes_no_memory(tmp_path):
    state = Flow().state_dict() | {"huge": torch.zeros(1).expand(2**42)}
    torch.save(state, tmp_path / "a.pt")
    assert "unexpected: huge" in refusal(Flow(), tmp_path / "a.pt")


@pytest.mark.parametrize("value", [3, [1, 2], {}, {"epoch": 3}, None, {1: torch.ones(2)}])
def test_a_file_without_named_tensors_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "a.pt")
    assert "no tensors inside" in refusal(Flow(), tmp_path / "a.pt")


def test_an_unknown_state_has_the_nearest_one(tmp_path):
    forms.plain(tmp_path / "a.pt", Flow().state_dict())
    message = refusal(Flow(), tmp_path / "a.pt", state="model_state")
    assert "(did you mean 'model_state_dict'?)" in message


def test_a_file_that_changes_after_it_was_planned_is_not_read(tmp_path):
    path = tmp_path / "a.pt"
    forms.bare(path, Flow().state_dict())
    saved = saved_at(path)
    content = saved.content(0, 3)
    forms.bare(path, Flow().state_dict())
    with pytest.raises(DataError, match="a.pt changed while this command was running"):
        read_weights(saved, 0, 3, content)
    path.unlink()
    with pytest.raises(DataError, match="a.pt does not exist"):
        read_weights(saved, 0, 3, content)


def test_an_index_that_names_a_tensor_in_the_wrong_part_is_refused(tmp_path):
    forms.in_parts(tmp_path / "c", Flow().state_dict())
    index = tmp_path / "c" / "model.safetensors.index.json"
    value = json.loads(index.read_text())
    value["weight_map"]["flow.0.weight"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(value))
    message = refusal(Flow(), tmp_path / "c")
    assert "model-00001-of-00002.safetensors lacks the tensor 'flow.0.weight'" in message


def test_a_wrong_checksum_in_the_cache_is_found_and_forgotten(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_sums, "SETTLED", -3600)
    path, large = tmp_path / "a.pt", torch.zeros(file_sums.READ_ALWAYS)
    torch.save(Flow().state_dict() | {"more": large}, path)
    saved = saved_at(path)
    saved.content(0, 3)
    (kept,) = (tmp_path / "cache" / "oodbench" / "sums").iterdir()
    kept.write_text(kept.read_text()[:-64] + "0" * 64)
    with pytest.raises(DataError, match="a.pt changed while this command was running: run it"):
        read_weights(saved, 0, 3, saved.content(0, 3))
    assert torch.equal(read_weights(saved, 0, 3, saved.content(0, 3))["more"], large)
