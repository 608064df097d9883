"""The direction of imports, read from the sources."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parent.parent

ROOMS = (
    "errors plain domain memory plugin suggest events contracts hookspecs results only",
    "registry options suite.schema suite.components suite.lines suite.files suite.references"
    " suite.resolved suite.comparisons suite.resolve suite",
    "keys locks store data draw settings randomness",
    "eventlog plan notes expand cards inventory rates failures why estimate fitting costs",
    "augmentation devices checkpoints compiling training rolling evaluation chain",
    "metrics ranks ranking overlap published provenance scores scoring shelf kept baselines"
    " preview announce runner check doctor",
    "contents needs holdings fsck collect archive unpack",
    "compare.runs compare.paired compare.ranking compare",
    "pins.toml pins.settings pins.files pins.make pins.verify pins",
    "report figures page progress board console listeners testing scaffold cli pytest_plugin",
)
ORDER = [name for room in ROOMS for name in room.split()]
"""Each module or package imports only from those before it."""


def imported(path):
    """Names that a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module


def place(name):
    """The place of `harness.x.y` in ORDER, by its longest known prefix."""
    parts = name.split(".")[1:]
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in ORDER:
            return ORDER.index(".".join(parts[:length]))
    return None


CORE = sorted((ROOT / "harness").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))


def identify(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", CORE, ids=identify)
def test_the_core_never_imports_plugins_and_follows_the_order(path):
    names = list(imported(path))
    assert not [name for name in names if name.split(".")[0] == "plugins"]
    own = identify(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    if own == "harness":
        return
    here = place(own)
    assert here is not None, f"{own} has no place in ROOMS"
    for name in names:
        there = place(name) if name.startswith("harness.") else None
        assert there is None or there <= here, f"{own} imports {name}"


@pytest.mark.parametrize("path", PLUGINS, ids=identify)
def test_plugins_import_only_the_public_interface(path):
    for name in imported(path):
        if name.split(".")[0] == "harness":
            assert name == "harness" or name.removeprefix("harness.") in harness.__all__, name


def test_the_public_interface_is_exact_and_sorted():
    # pytest adds names with an @ to the modules of a distribution that has a plugin for it
    public = [name for name in vars(harness) if not name.startswith(("_", "@"))]
    modules = {path.stem for path in CORE} | {path.parent.name for path in CORE}
    names = {name for name in public if name not in modules and name != "annotations"}
    assert set(harness.__all__) == names | ({"hookimpl"} & set(public))
    assert harness.__all__ == sorted(harness.__all__)


LISTINGS = {"__init__.py"}  # lists of entries may be as long as what they list


@pytest.mark.parametrize(
    "path", [path for path in [*CORE, *PLUGINS] if path.name not in LISTINGS], ids=identify
)
def test_files_and_functions_hold_one_idea(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno - body[0].lineno + 1) if body else 0
            assert length <= 60, f"{node.name} has {length} lines"
