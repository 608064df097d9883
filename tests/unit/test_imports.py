"""The direction of imports, read from the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import harness
import oodbench.events
import oodbench.testing

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
    "pins.toml pins.settings pins.files pins.make pins.verify pins.pinned_tests pins",
    "report figures page progress board console listeners testing scaffold cli",
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
def test_plugins_import_oodbench_and_never_the_harness(path):
    assert "harness" not in {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize("module", [oodbench, oodbench.events, oodbench.testing])
def test_the_public_interface_is_exact_sorted_and_importable(module):
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = [alias.name for node in block.body for alias in node.names]
    assert sorted(typed) == module.__all__  # what type checkers see is what there is
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = module.Nothing


def test_importing_the_vocabulary_imports_nothing_else():
    code = (
        "import sys, oodbench, oodbench.events, oodbench.testing, oodbench.workers\n"
        "print([name for name in ('harness', 'plugins', 'torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


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
