"""The direction of imports, read from the sources."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import harness
import oodbench.events
import oodbench.testing
from harness.registry.registry import Registry

REGISTRY = Registry()
ROOT = Path(harness.__file__).parent.parent
CORE = sorted((ROOT / "harness").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
ORDER = re.findall(r"^    ([a-z.]+)  ", harness.__doc__, re.MULTILINE)
"""The root's modules and the rooms, each of which imports only from those before it."""


def identify(path):
    return path.relative_to(ROOT).as_posix()


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path):
    """Names that a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


MODULES = {module_name(path): path for path in CORE}
GRAPH = {
    name: {target for target in imported(path) if target in MODULES and target != "harness"}
    for name, path in MODULES.items()
}


def room(name):
    """The folder of a module, as in ORDER; a module of the root stands for itself."""
    parts = name.split(".")[1:]
    is_folder = MODULES[name].name == "__init__.py"
    return ".".join(parts if is_folder else parts[:-1] or parts)


def test_the_list_of_rooms_is_complete():
    assert sorted(ORDER) == sorted({room(name) for name in MODULES if name != "harness"})


@pytest.mark.parametrize("name", [name for name in GRAPH if name != "harness"])
def test_rooms_import_only_from_those_before_them(name):
    here = ORDER.index(room(name))
    late = [target for target in GRAPH[name] if ORDER.index(room(target)) > here]
    assert not late, f"{room(name)} stands before the rooms of {late}"


def test_no_module_imports_itself_by_way_of_others():
    TopologicalSorter(GRAPH).prepare()  # raises CycleError, which names the modules


@pytest.mark.parametrize("path", CORE, ids=identify)
def test_the_core_imports_no_plugins_and_torch_in_two_rooms_only(path):
    found = {name.split(".")[0] for name in imported_at_run_time(path)}
    assert "plugins" not in found
    if room(module_name(path)).split(".")[0] not in ("compute", "testing"):
        assert not {"torch", "torchvision"} & found


RESERVED = {"log_prob", "dequantised_log_prob"}
"""The statistics that bits per dimension are made from; models have a method of the first name."""


@pytest.mark.parametrize("path", CORE, ids=identify)
def test_the_core_names_no_plugin(path):
    kinds = ("models", "datasets", "statistics", "scorers", "executors")
    names = {name for kind in kinds for name in REGISTRY.names(kind)} - RESERVED
    telling = {name for name in names if {"-", "_"} & set(name)}  # not words such as "noise"
    assert {"log-likelihood", "gradient-gaussian", "layer_gradient_sq_norms"} <= telling
    strings = {
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    # A capability of a model may have the name of the statistic that stores it.
    assert not telling & strings - {"log_prob_terms", "log_prob_tokens"}


def imported_at_run_time(path):
    """As `imported`, without what only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_the_modules_of_layer_gradients_are_listed_in_the_order_of_their_imports():
    folder = ROOT / "plugins" / "statistics" / "layer_gradients"
    text = (folder / "__init__.py").read_text(encoding="utf-8")
    order = re.findall(r"^    ([a-z]+)/?  ", text, re.MULTILINE)
    assert sorted(order) == sorted(path.stem for path in folder.iterdir() if path.stem[0] != "_")
    prefix = "plugins.statistics.layer_gradients."
    for path in folder.rglob("*.py"):
        here = path.relative_to(folder).parts[0].removesuffix(".py")
        if here == "__init__":
            continue
        for name in imported(path):
            target = name.removeprefix(prefix).split(".")[0]
            if name.startswith(prefix):
                assert order.index(target) <= order.index(here), f"{here} imports {target}"


def test_rooms_are_neither_closets_nor_halls():
    modules = [name for name in MODULES if MODULES[name].name != "__init__.py"]
    sizes = Counter(room(name) for name in modules if len(name.split(".")) > 2)
    assert len(modules) - sizes.total() <= 10  # in the root
    sizes.pop("cli")  # a module for each command
    assert all(3 <= size <= 12 for size in sizes.values()), sizes


@pytest.mark.parametrize("path", PLUGINS, ids=identify)
def test_plugins_import_oodbench_and_never_the_harness(path):
    assert "harness" not in {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize("module", [oodbench, oodbench.events, oodbench.testing])
def test_the_public_interface_is_exact_sorted_and_importable(module):
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = set()  # the names that type checkers see
    for node in block.body:
        names = {alias.name for alias in node.names}
        typed |= set(vars(import_module(node.module))) if names == {"*"} else names
    assert module.__all__ == sorted(module.__all__)
    assert set(module.__all__) <= typed
    for name in module.__all__:
        # A module of the harness with the name of a function would be found in its place.
        assert not isinstance(getattr(module, name), ModuleType | None)
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
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [
        ast.get_docstring(node, clean=False) or ""
        for node in ast.walk(tree)
        if isinstance(node, documented)
    ]
    # Examples and equations make no file harder to read.
    assert len(text.splitlines()) - len("\n".join(docstrings).splitlines()) <= 350
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno - body[0].lineno + 1) if body else 0
            assert length <= 60, f"{node.name} has {length} lines"
