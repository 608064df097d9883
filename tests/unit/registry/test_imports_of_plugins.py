"""The user's modules behind a plugin: found in the sources, part of the plugin's identity."""

from __future__ import annotations

import hashlib
import importlib
import pickle
import sys
import textwrap

import pytest

from harness.errors import PluginError
from harness.registry.registry import Registry
from harness.suite import load_suite

HOOK = """
    from oodbench import Entry, hookimpl

    @hookimpl
    def bench_scorers():
        return [Entry("mine", "{target}", "a scorer of my own")]

    class Mine:
        pass
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder on `sys.path`; modules imported from there are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget(tmp_path)


def forget(home):
    """Forget the modules imported from a folder, as a new process would."""
    found = []
    for name, module in sys.modules.items():
        facts = getattr(module, "__dict__", {})  # some modules make up attributes
        places = [facts.get("__file__") or "", *facts.get("__path__", ())]
        found += [name] * any(str(place).startswith(str(home)) for place in places)
    for name in found:
        del sys.modules[name]


@pytest.fixture
def write(home):
    def write(name, text):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        return path

    return write


@pytest.fixture
def registered(home):
    """The entry of a plugin, as a new process would find it."""

    def find(plugin):
        forget(home)
        return Registry([str(plugin)]).get("scorers", "mine")

    return find


@pytest.fixture
def imports(registered):
    return lambda path: [name for name, _ in registered(path).source.imports]


def plugin(head="", target=":Mine"):
    return head + textwrap.dedent(HOOK.format(target=target))


def digits(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def test_a_file_that_imports_nothing_of_the_users_keeps_its_identity(write, registered):
    path = write("plugin.py", plugin("import json, logging.handlers\nimport numpy.linalg\n"))
    assert registered(path).identity() == {
        "plugin": "mine",
        "version": digits(path),
        "distribution": "file",
    }


def test_an_edited_helper_changes_the_identity_and_is_named(write, registered):
    path = write("plugin.py", plugin("from helper import LEVEL\n"))
    helper = write("helper.py", "LEVEL = 10")
    first = registered(path)
    assert first.identity()["imports"] == {"helper": digits(helper)}
    assert first.provenance()["imports"] == {"helper": digits(helper)}
    write("helper.py", "LEVEL = 200")
    second = registered(path)
    assert second.identity()["imports"] == {"helper": digits(helper)}
    assert second.identity() != first.identity()
    assert second.version == first.version == digits(path)


def test_modules_imported_by_modules_count(write, imports):
    write("one.py", "import two")
    write("two.py", "import one, three")
    write("three.py", "")
    write("four.py", "")
    assert imports(write("plugin.py", plugin("import one\n"))) == ["one", "three", "two"]


FORMS = {
    "import pkg.a": ["pkg", "pkg.a", "pkg.c"],
    "import pkg.a as x": ["pkg", "pkg.a", "pkg.c"],
    "from pkg import a": ["pkg", "pkg.a", "pkg.c"],
    "from pkg import CONSTANT": ["pkg"],
    "from pkg.sub import deep": ["pkg", "pkg.sub", "pkg.sub.deep", "pkg.c"],
    "from pkg.b import VALUE": ["pkg", "pkg.b"],
    "from pkg import *": ["pkg"],
    "import folder.inner.leaf": ["folder.inner.leaf"],
    "try:\n    import absent\nexcept ImportError:\n    import pkg.b": ["pkg", "pkg.b"],
    "def make():\n    from pkg import b\n    return b": ["pkg", "pkg.b"],
    "def make():\n    import folder.inner.leaf": ["folder.inner.leaf"],
    "import importlib\nimportlib.import_module('pkg.b')": ["pkg", "pkg.b"],
    "x = lambda: __import__('pkg.b')": ["pkg", "pkg.b"],
}


@pytest.mark.parametrize("text", FORMS)
def test_every_form_of_import_is_read(write, text, imports):
    write("pkg/__init__.py", "CONSTANT = 1")
    write("pkg/a.py", "from . import c")
    write("pkg/b.py", "VALUE = 1")
    write("pkg/c.py", "")
    write("pkg/sub/__init__.py", "")
    write("pkg/sub/deep.py", "from ..c import __doc__")
    write("folder/inner/leaf.py", "")
    assert imports(write("plugin.py", plugin(f"{text}\n"))) == sorted(FORMS[text])


def test_the_module_named_by_an_entry_counts(write, registered):
    net = write("nets/flow.py", "import nets.parts\nclass Mine: pass")
    parts = write("nets/parts.py", "")
    found = registered(write("plugin.py", plugin(target="nets.flow:Mine")))
    assert dict(found.source.imports) == {"nets.flow": digits(net), "nets.parts": digits(parts)}


def test_a_folder_added_to_the_path_by_the_plugin_is_searched(write, home, imports):
    write("elsewhere/helper.py", "")
    head = f"import sys\nsys.path.append({str(home / 'elsewhere')!r})\nimport helper\n"
    try:
        assert imports(write("plugin.py", plugin(head))) == ["helper"]
    finally:
        sys.path.remove(str(home / "elsewhere"))


def test_a_module_beside_the_file_and_imported_late_is_found(write, imports):
    write("beside/helper.py", "")
    path = write("beside/plugin.py", plugin("def make():\n    import helper\n"))
    assert imports(path) == ["helper"]


def test_nothing_is_imported_to_find_modules(write, imports):
    write("pkg/__init__.py", "raise RuntimeError('imported')")
    write("pkg/a.py", "raise RuntimeError('imported')")
    head = "def make():\n    import pkg.a\n"
    assert imports(write("plugin.py", plugin(head))) == ["pkg", "pkg.a"]


def test_a_helper_that_is_not_python_counts_by_content(write, registered):
    path = write("plugin.py", plugin("def make():\n    import broken\n"))
    broken = write("broken.py", "def (")
    assert dict(registered(path).source.imports) == {"broken": digits(broken)}


def test_installed_distributions_are_left_out_and_editable_ones_are_not(
    write, home, monkeypatch, imports
):
    site = home / "lib" / "site-packages"
    write("lib/site-packages/installed/__init__.py", "import editable")
    write("checkout/src/editable/__init__.py", "")
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(home / "checkout" / "src")  # as the .pth file of the install does
    path = write("plugin.py", plugin("import installed, editable\n"))
    assert imports(path) == ["editable"]
    assert imports(write("other.py", plugin("import installed\n"))) == []


def test_a_plugin_given_as_a_module_has_its_imports_too(write, registered):
    root = write("pkg/plug.py", plugin("from . import helper\n"))
    package = write("pkg/__init__.py", "")
    helper = write("pkg/helper.py", "")
    source = registered("pkg.plug").source
    assert (source.distribution, source.version) == ("module", digits(root))
    assert dict(source.imports) == {"pkg": digits(package), "pkg.helper": digits(helper)}


def test_a_declared_version_stands_for_the_helpers_too(write, registered):
    text = plugin("import helper\n").replace("of my own", 'of my own", version="3')
    path = write("plugin.py", text)
    helper = write("helper.py", "")
    found = registered(path)
    assert found.identity() == {"plugin": "mine", "version": "3", "distribution": "file"}
    assert found.provenance()["imports"] == {"helper": digits(helper)}


def test_a_helper_edited_in_the_same_process_is_refused(write):
    """The old content would run, and numbers be stored under the new one."""
    path = write("plugin.py", plugin("import helper\n"))
    helper = write("helper.py", "LEVEL = 10")
    Registry([str(path)])
    Registry([str(path)])
    write("helper.py", "LEVEL = 200")
    with pytest.raises(PluginError, match=f"{helper} changed while in use: this process"):
        Registry([str(path)])


def test_a_helper_edited_before_a_worker_starts_is_refused(write, registered):
    path = write("plugin.py", plugin("import helper\n"))
    write("helper.py", "LEVEL = 10")
    found = pickle.loads(pickle.dumps(registered(path)))
    assert found.load().__name__ == "Mine"
    del sys.modules[found.module], sys.modules["helper"]
    write("helper.py", "LEVEL = 200")
    with pytest.raises(PluginError, match=f"a module imported by {path} changed while in use"):
        found.load()


def test_saved_results_do_not_outlive_the_helper_of_a_declared_version(write, tiny_suite, home):
    text = plugin("import helper\n").replace("of my own", 'of my own", version="3')
    text = text.replace("pass", "inputs = ('log_prob',)")
    write("plugin.py", text)
    tiny_suite.write_text(
        tiny_suite.read_text().replace('"typicality",', '"typicality", "mine",')
        + '\n[plugins]\npaths = ["plugin.py"]\n'
    )
    found = []
    for content in ("LEVEL = 10", "LEVEL = 200"):
        write("helper.py", content)
        forget(home)
        found.append(load_suite(tiny_suite).fingerprint().digest)
    assert found[0] != found[1]
