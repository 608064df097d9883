"""The documents for authors of plugins and what they describe are one."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import hookspecs
from harness.cli.app import app
from harness.suite import Suite

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "oodbench-example"
DOCUMENT = ROOT.joinpath("docs", "adding-a-plugin.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- (.*?) -->\n```\w+\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def reference():
    path = ROOT / "scripts" / "reference.py"
    spec = importlib.util.spec_from_file_location("bench_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_code_of_the_document_is_that_of_the_example():
    cut = [(name, text) for name, text in BLOCKS if name.startswith("src/")]
    assert {name.rpartition("/")[2] for name, _ in cut} == {
        "__init__.py",
        "dataset.py",
        "scorer.py",
        "vae.py",
    }
    for name, text in cut:
        assert text in EXAMPLE.joinpath(name).read_text(encoding="utf-8"), name


def test_the_commands_of_the_document_lead_to_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = dict(BLOCKS)
    Path("mine.toml").write_text(blocks["mine.toml"])
    for line in blocks["commands"].splitlines():
        command = shlex.split(line)[1:]
        if command[0] == "run":
            command += ["--display", "none", "--executor", "sequential"]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert re.search(r"^my-scorer +1 +\d", done.output, re.MULTILINE)
    assert "flow, in-distribution stripes" in done.output


def test_the_reference_is_that_of_the_sources(reference):
    written = ROOT.joinpath("docs", "reference.md").read_text(encoding="utf-8")
    assert written == reference.reference(), "run: python scripts/reference.py"


def test_every_hook_and_key_is_in_the_reference(reference):
    """The oracle of the generator: names sought in the text, not written by it."""
    text = ROOT.joinpath("docs", "reference.md").read_text(encoding="utf-8")
    for name in vars(hookspecs):
        if name.startswith("bench_"):
            assert f"- `{name}(" in text
    schema = Suite.model_json_schema()
    for table in (schema, *schema["$defs"].values()):
        for key in table["properties"]:
            assert re.search(rf"^- `{key}[:`]", text, re.MULTILINE), key


def test_what_has_no_docstring_cannot_be_documented(reference, monkeypatch):
    def bench_new_hook(event: int) -> None:
        pass

    monkeypatch.setattr(reference.hookspecs, "bench_new_hook", bench_new_hook, raising=False)
    with pytest.raises(ValueError, match="has no docstring"):
        reference.reference()
    bench_new_hook.__doc__ = "A hook that nobody wrote down."
    assert "bench_new_hook(event: int) -> None" in reference.reference()
