"""The generated pages and the sources agree, and nothing is missing in the pages."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import oodbench
from harness import hookspecs
from harness.cli.app import COMMANDS
from harness.registry.registry import Registry
from harness.suite import Suite

ROOT = Path(__file__).parents[2]
PAGES = (
    "reference/python-interface.md",
    "reference/interfaces.md",
    "reference/suite-keys.md",
    "reference/commands.md",
    "reference/built-in.md",
    "snippets/rooms.md",
    "figures/rooms.svg",
)


@pytest.fixture
def reference(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("reference")


def written(name):
    return ROOT.joinpath("docs", name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_that_of_the_sources(reference, name):
    assert written(name) == reference.page(name), "run: python scripts/reference.py"


def test_all_generated_pages_are_tested(reference):
    assert set(PAGES) == set(reference.PAGES)


def test_every_hook_key_command_and_plugin_is_in_the_reference():
    """The oracle of the generator: names sought in the text, not written by it."""
    interfaces, keys = written("reference/interfaces.md"), written("reference/suite-keys.md")
    for name in vars(hookspecs):
        if name.startswith("bench_"):
            assert f"- `{name}(" in interfaces
    schema = Suite.model_json_schema()
    for table in (schema, *schema["$defs"].values()):
        for key in table["properties"]:
            assert re.search(rf"^- `{key}[:`]", keys, re.MULTILINE), key
    for group, names in COMMANDS.items():
        for name in names:
            title = f"## bench {name}\n" if group == "bench" else f"## bench {group} {name}\n"
            assert title in written("reference/commands.md")
    for kind in ("models", "statistics", "scorers", "datasets", "executors"):
        for item in Registry([]).entries(kind):
            if item.source.plugin == kind:
                assert f"### {item.entry.name}\n" in written("reference/built-in.md")


def test_options_have_their_names_values_and_defaults():
    text = written("reference/commands.md")
    run = text.partition("## bench run\n")[2].partition("\n## ")[0]
    assert "\n- `-p, --plugin PATH|MODULE|no:NAME`:\n" in run
    assert "\n- `--batch-size INTEGER>=1`:\n" in run
    assert "Default: `64`." in run
    assert "\n- `--display auto|rich|plain|json|none`:\n" in run
    assert "\n    bench run SUITE [OPTIONS]\n" in run


def test_a_hook_without_a_docstring_cannot_be_documented(reference, monkeypatch):
    def bench_new_hook(event: int) -> None:
        pass

    monkeypatch.setattr(reference.hookspecs, "bench_new_hook", bench_new_hook, raising=False)
    with pytest.raises(ValueError, match="has no docstring"):
        reference.page("reference/interfaces.md")
    bench_new_hook.__doc__ = "A hook that nobody wrote down."
    assert "bench_new_hook(event: int) -> None" in reference.page("reference/interfaces.md")


def test_every_name_of_the_python_interface_is_in_the_reference():
    """The names of `oodbench` that its rooms for users define."""
    text, rooms = written("reference/python-interface.md"), ("harness.api.", "harness.detectors.")
    names = [
        name
        for name in oodbench.__all__
        if str(getattr(oodbench, name).__module__).startswith(rooms)
    ]
    assert len(names) >= 7
    for name in names:
        assert f"\n## {name}\n" in text
