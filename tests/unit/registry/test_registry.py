"""The registry: isolation, misspelt hooks, duplicates, blocking, sources."""

from __future__ import annotations

import sys
import textwrap
from importlib.metadata import EntryPoint

import pytest

from harness.errors import PluginError
from harness.registry import registry as registry_module
from harness.registry.registry import Registry

GOOD = """
    from oodbench import Entry, hookimpl

    @hookimpl
    def bench_scorers():
        return [Entry("mine", ":Mine", "a scorer of my own")]

    class Mine:
        pass
"""


class Distribution:
    def __init__(self, name, version):
        self.name = name
        self.version = version


@pytest.fixture
def write_plugin(tmp_path):
    def write(text, name="plugin.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Pretend that distributions with these modules are installed, beside the built-in ones."""
    monkeypatch.syspath_prepend(tmp_path)
    builtin = list(registry_module.entry_points(group="bench"))
    points = []

    def install(distribution, name, module, text):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(text))
        point = EntryPoint(name, module, "bench")
        vars(point)["dist"] = Distribution(distribution, "2.5")
        points.append(point)
        monkeypatch.setattr(registry_module, "entry_points", lambda group: [*builtin, *points])

    yield install
    for point in points:
        sys.modules.pop(point.value, None)


def test_built_in_plugins_are_found():
    registry = Registry()
    assert not registry.broken
    assert {"glow", "glow-linear"} <= set(registry.names("models"))
    assert {"log-likelihood", "typicality", "gradient-gaussian"} <= set(registry.names("scorers"))


def test_a_plugin_that_raises_on_import_is_quarantined_and_the_rest_work(installed):
    installed("bad-dist", "bad", "bad_module", "raise RuntimeError('no licence')")
    registry = Registry()
    assert [str(broken) for broken in registry.broken] == [
        "plugin bad (bad-dist 2.5, bad_module) is broken: RuntimeError: no licence"
    ]
    assert "glow" in registry.names("models")


def test_a_plugin_that_exits_on_import_does_not_end_the_tool(installed):
    installed("bad-dist", "bad", "exiting_module", "raise SystemExit(3)")
    assert "SystemExit" in Registry().broken[0].reason


def test_all_misspelt_hooks_are_named_with_the_nearest(installed):
    text = """
        from oodbench import hookimpl

        @hookimpl
        def bench_scorer():
            return []

        @hookimpl
        def bench_modles():
            return []
    """
    installed("bad-dist", "bad", "misspelt_module", text)
    reason = Registry().broken[0].reason
    assert "there is no hook 'bench_scorer' (did you mean 'bench_scorers'?)" in reason
    assert "there is no hook 'bench_modles' (did you mean 'bench_models'?)" in reason


def test_a_wrong_signature_is_quarantined(installed):
    text = """
        from oodbench import hookimpl

        @hookimpl
        def bench_scorers(wrong):
            return []
    """
    installed("bad-dist", "bad", "signature_module", text)
    registry = Registry()
    assert "wrong" in registry.broken[0].reason
    assert "typicality" in registry.names("scorers")


def test_a_hook_that_raises_loses_only_its_own_entries(installed):
    text = """
        from oodbench import hookimpl

        @hookimpl
        def bench_scorers():
            raise ValueError("sorry")
    """
    installed("bad-dist", "bad", "raising_module", text)
    registry = Registry()
    assert registry.broken[0].reason == "bench_scorers: ValueError: sorry"
    assert "typicality" in registry.names("scorers")


def test_entries_that_are_no_entries_are_quarantined(installed):
    text = """
        from oodbench import hookimpl

        @hookimpl
        def bench_scorers():
            return ["typo"]
    """
    installed("bad-dist", "bad", "strings_module", text)
    assert "expected oodbench.Entry objects, got str" in Registry().broken[0].reason


def test_two_plugins_with_one_name_are_an_error_that_names_both(installed):
    installed("first", "one", "first_module", GOOD)
    installed("second", "one", "second_module", GOOD)
    registry = Registry()
    with pytest.raises(PluginError) as caught:
        registry.get("scorers", "mine")
    assert str(caught.value) == (
        "scorer 'mine' is given by one (first 2.5, first_module) and one (second 2.5, "
        "second_module); block one with -p no:PLUGIN"
    )


def test_blocking_by_distribution_settles_a_duplicate(installed):
    installed("first", "one", "first_module", GOOD)
    installed("second", "one", "second_module", GOOD)
    registry = Registry(["no:second:one"])
    assert registry.get("scorers", "mine").source.distribution == "first"
    assert [str(source) for source in registry.blocked] == ["one (second 2.5, second_module)"]


def test_a_blocked_plugin_is_not_even_imported(installed):
    installed("bad-dist", "bad", "bad_module", "raise RuntimeError")
    assert not Registry(["no:bad"]).broken


def test_blocking_what_is_not_there_is_an_error():
    with pytest.raises(PluginError, match="-p no:scorer: no such plugin .did you mean 'scorers'"):
        Registry(["no:scorer"])


def test_a_plugin_file_is_loaded_with_its_hash_as_version(write_plugin):
    registry = Registry([str(write_plugin(GOOD))])
    found = registry.get("scorers", "mine")
    assert found.load().__name__ == "Mine"
    assert found.source.distribution == "file"
    assert len(found.version) == 12
    assert found.version in found.module


def test_the_version_of_a_plugin_file_follows_its_content(write_plugin):
    first = Registry([str(write_plugin(GOOD))]).get("scorers", "mine").version
    second = Registry([str(write_plugin(GOOD + "\n    # x\n"))]).get("scorers", "mine").version
    assert first != second


def test_two_plugin_files_of_one_stem_coexist(write_plugin, tmp_path):
    (tmp_path / "other").mkdir()
    first = write_plugin(GOOD)
    second = write_plugin(GOOD.replace('"mine"', '"yours"'), "other/plugin.py")
    registry = Registry([str(first), str(second)])
    assert {"mine", "yours"} <= set(registry.names("scorers"))


def test_a_broken_plugin_file_that_was_asked_for_is_an_error(write_plugin):
    with pytest.raises(PluginError, match="is broken: ZeroDivisionError"):
        Registry([str(write_plugin("1 / 0"))])


def test_a_module_beside_a_plugin_file_is_told_how_it_is_found(write_plugin):
    file = write_plugin("import network_of_mine")
    with pytest.raises(PluginError, match="No module named 'network_of_mine'$"):
        Registry([str(file)])
    (file.parent / "network_of_mine.py").touch()
    with pytest.raises(PluginError) as caught:
        Registry([str(file)])
    assert str(caught.value).endswith(f"beside the plugin file: set PYTHONPATH={file.parent})")


def test_a_missing_plugin_file_is_an_error(tmp_path):
    with pytest.raises(PluginError, match="absent.py cannot be read: No such file"):
        Registry([str(tmp_path / "absent.py")])


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(PluginError) as caught:
        Registry().get("models", "glwo")
    assert str(caught.value) == "there is no model 'glwo' (did you mean 'glow'?)"


def test_an_unknown_name_mentions_plugins_in_quarantine(installed):
    installed("bad-dist", "bad", "bad_module", "raise RuntimeError('gone')")
    with pytest.raises(PluginError, match="plugin bad .* is broken: RuntimeError: gone"):
        Registry().get("models", "special")


def test_a_target_that_cannot_be_imported_names_the_plugin(write_plugin):
    text = GOOD.replace('":Mine"', '"no.such.module:Mine"')
    found = Registry([str(write_plugin(text))]).get("scorers", "mine")
    with pytest.raises(PluginError, match="scorer 'mine' of plugin .* cannot be loaded"):
        found.load()


def test_a_registered_file_plugin_can_be_loaded_in_another_process(write_plugin):
    found = Registry([str(write_plugin(GOOD))]).get("scorers", "mine")
    del sys.modules[found.module]
    assert found.load().__name__ == "Mine"


def test_a_file_plugin_that_changed_meanwhile_is_refused(write_plugin):
    path = write_plugin(GOOD)
    found = Registry([str(path)]).get("scorers", "mine")
    del sys.modules[found.module]
    write_plugin(GOOD + "\n    # changed\n")
    with pytest.raises(PluginError, match="changed while in use"):
        found.load()


def test_event_hooks_come_with_their_source(write_plugin):
    text = """
        from oodbench import hookimpl

        @hookimpl
        def bench_run_finished(event):
            pass
    """
    ((source, function),) = Registry([str(write_plugin(text))]).implementations(
        "bench_run_finished"
    )
    assert (source.plugin, function.__name__) == ("plugin", "bench_run_finished")
