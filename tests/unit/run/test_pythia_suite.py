"""The suite of a published language model: planned without its files, run on a tiny series."""

from __future__ import annotations

import json
import random
import shutil

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import MissingDataError
from harness.plan.expand import select
from harness.run.run import run
from harness.suite import load_suite
from harness.suite.toml.files import shipped_suites
from tests.places import settings_in

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

PYTHIA = shipped_suites() / "pythia.toml"
STEPS = [0, 1, 8, 64, 512, 1000, 4000, 16000, 64000, 143000]
VOCABULARY = 288
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY |= {"intermediate_size": 32, "vocab_size": VOCABULARY, "max_position_embeddings": 64}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine without the cache of the hub."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def write_series(folder):
    """Write a tiny model with other weights at each step, as revisions on the hub have them."""
    import torch
    from safetensors.torch import load_file, save_file

    facts = json.loads((PYTHIA.parent / "pythia-70m.json").read_text())
    for number, step in enumerate(STEPS):
        torch.manual_seed(0)
        model = transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**facts | TINY))
        for parameter in model.parameters():
            parameter.data.mul_(1 + number / 16)
        model.half().save_pretrained(folder / f"step{step}")
        file = folder / f"step{step}/model.safetensors"
        mask = {"gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 8, 8, dtype=torch.uint8)}
        save_file({**load_file(file), **mask}, file, metadata={"format": "pt"})
    shutil.copy(folder / "step0/config.json", folder / "config.json")


def write_tokenizer(file):
    """Write a tokenizer of bytes and a few pairs."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY - 8, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["the licence of this software is free"], trainer)
    tokenizer.save(str(file))


def write_texts(folder):
    """Write a few documents of random words, in place of those that come with Python."""
    rng = random.Random(0)
    for kind, words in (
        ("docs", ["the", "module", "has", "a", "function"]),
        ("licences", ["you"]),
    ):
        (folder / kind).mkdir()
        for number in range(40):
            text = " ".join(rng.choices([*words, "and", "or", "may", "not"], k=180))
            (folder / kind / f"{number}.txt").write_text(text)


def changes_to(folder):
    """The values of `--set` for a series, a tokenizer and texts in a folder."""
    return [
        *(
            f"datasets.{name}-text.{key}={value}"
            for name in ("docs", "licences")
            for key, value in (
                ("plugin", "text-files"),
                ("options.path", folder / name),
                ("options.length", 8),
            )
        ),
        f"models.pythia.checkpoints.repository={folder}",
        f"models.pythia.options.path={folder}/config.json",
        *(
            f"datasets.{name}.options.{option}={value}"
            for name in ("docs", "source", "licences")
            for option, value in (
                ("tokenizer_file", f"{folder}/tokenizer.json"),
                ("vocabulary", VOCABULARY),
                ("length", 16),
            )
        ),
    ]


def test_it_plans_without_any_file_and_says_what_to_fetch(tmp_path):
    places = [f"--store={tmp_path}/store", f"--data={tmp_path}/data"]
    done = CliRunner().invoke(app, ["plan", "pythia", *places], catch_exceptions=False)
    assert done.exit_code == 0
    assert (
        "model pythia: 10 of 10 steps are not on this machine: for revision in step0 step1 step8 "
        "step64 step512 step1000 step4000 step16000 step64000 step143000; do hf download "
        "EleutherAI/pythia-70m --revision $revision; done"
    ) in done.stdout
    with pytest.raises(MissingDataError) as caught:
        run(load_suite(PYTHIA), settings_in(tmp_path), lambda event: None)
    assert "160 of 160 cells lack data" in str(caught.value)
    assert (
        f"`hf download MODEL tokenizer.json --local-dir {tmp_path}/home/pythia-70m` downloads"
    ) in str(caught.value)


def test_it_runs_on_a_series_in_the_form_of_the_hub(tmp_path):
    write_series(tmp_path / "series")
    write_tokenizer(tmp_path / "series/tokenizer.json")
    write_texts(tmp_path / "series")
    only = ("out=licences", "group_size=1", "epoch=0", "epoch=1", "epoch=143000")
    only += ("scorer=log-likelihood", "scorer=gradient-gaussian")
    suite = load_suite(PYTHIA, changes=changes_to(tmp_path / "series"))
    outcome = run(select(suite, list(only)), settings_in(tmp_path), lambda event: None)
    assert [(result.status, result.message) for result in outcome.results] == [("ok", "")] * 6
    bits = {result.cell.epoch: result.metrics.bits_per_dim_in for result in outcome.results}
    assert len(set(bits.values())) == 3
    notes = outcome.results[0].provenance["notes"]
    assert any("docs: " in note and "tokens at the ends of files" in note for note in notes)
    assert any("docs: a token of the test split has " in note for note in notes)


@pytest.mark.slow
def test_it_is_checked_at_true_size(tmp_path):
    places = [f"--store={tmp_path}/store", "--device=cpu"]
    done = CliRunner().invoke(app, ["check", "pythia", *places], catch_exceptions=False)
    assert done.exit_code == 0
    assert "hf download EleutherAI/pythia-70m --revision step143000" in done.output
