"""Every mistake in every table of a suite is told with file and line."""

from __future__ import annotations

import copy
import datetime
import re

import pytest
import tomli_w

from harness.errors import SuiteError
from harness.plan.expand import make_plan
from harness.registry.options import signature_options
from harness.registry.registry import Registry
from harness.suite import Suite, load_suite
from harness.suite.schema import (
    Comparison,
    DatasetTable,
    Model,
    Plugins,
    Protocol,
    Recipe,
    Scorer,
    Statistic,
)

COMPARISON = {
    "models": ["flow"],
    "in": ["digits"],
    "out": ["noise"],
    "epochs": [0, 1],
    "group_sizes": [1],
    "seeds": [0],
    "scorers": ["mine", "typicality"],
}
WHOLE = {
    "title": "All tables",
    "reference": "published.json",
    "plugins": {"paths": ["plugin.py"]},
    "training": {"brief": {"learning_rate": 1e-3}},
    "models": {
        "flow": {"plugin": "glow", "training": "brief", "options": {"steps": 1}},
        "general": {"plugin": "glow", "training": "brief", "dataset": "digits"},
    },
    "datasets": {
        "digits": {"plugin": "digits"},
        "noise": {"plugin": "noise", "options": {"n_test": 40}},
    },
    "statistics": {"norms": {"plugin": "layer_gradient_sq_norms", "options": {}}},
    "scorers": {"mine": {"plugin": "gradient-gaussian", "options": {}}},
    "protocol": {"n_in": 30},
    "comparisons": [COMPARISON],
}
TABLES = {
    (): Suite,
    ("plugins",): Plugins,
    ("training", "brief"): Recipe,
    ("models", "general"): Model,
    ("datasets", "noise"): DatasetTable,
    ("statistics", "norms"): Statistic,
    ("scorers", "mine"): Scorer,
    ("protocol",): Protocol,
    ("comparisons", 0): Comparison,
}
"""Every kind of table, by the key of an example in WHOLE."""
KINDS = ("models", "datasets", "statistics", "scorers")
JUNK = (
    *({}, {"junk": 1}, [], ["junk", "junk"], [[]], "junk", "", True, -1, 10**30, 1.5),
    *(float("nan"), float("inf"), datetime.date(2020, 1, 1)),
)
PUBLISHED = '{"source": "s", "scorer": "mine", "examples": 1, "values": []}'
PLUGIN = "from oodbench import hookimpl\n"
ALIASES = {"in_datasets": "in", "out_datasets": "out"}
READ_FIRST = {"include", "plugins", "paths"}
"""Keys that name files to read before anything else is looked at; tested apart."""


@pytest.fixture
def problems(tmp_path):
    """Return a function that lists the problems of a suite; each has a file and a line."""
    (tmp_path / "published.json").write_text(PUBLISHED)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    path = tmp_path / "suite.toml"

    def find(values):
        path.write_text(tomli_w.dumps(values))
        try:
            make_plan(load_suite(path), {})
        except SuiteError as error:
            lines = [str(problem) for problem in error.problems]
            for line in lines:
                place = re.match(rf"{re.escape(str(path))}:(\d+): ", line)
                assert place, (line, values)
                assert 1 <= int(place.group(1)) <= len(path.read_text().splitlines()), line
            return lines
        return []

    return find


def changed(key, *values):
    """Return WHOLE with another value at a key, or without the key."""
    suite = copy.deepcopy(WHOLE)
    inside = suite
    for part in key[:-1]:
        inside = inside[part]
    if values:
        (inside[key[-1]],) = values
    else:
        del inside[key[-1]]
    return suite


def test_the_suite_without_mistakes(problems):
    assert problems(WHOLE) == []
    assert {Suite, Plugins, Recipe} < set(TABLES.values())


@pytest.mark.parametrize("table", TABLES, ids=str)
@pytest.mark.parametrize("junk", JUNK, ids=str)
def test_junk_under_every_key_of_a_table(problems, table, junk):
    fields = set(TABLES[table].model_fields) - READ_FIRST
    values = {ALIASES.get(field, field): junk for field in [*fields, "junk"]}
    mistakes = problems(changed(table, values) if table else values)
    assert any("junk: unknown key (" in line for line in mistakes)
    assert len(mistakes) > len(fields) / 3


@pytest.mark.parametrize("table", [table for table in TABLES if table], ids=str)
def test_a_table_without_keys_or_of_another_type(problems, table):
    for value in ({}, [], 1, "junk", True, [{}]):
        problems(changed(table, value))
    problems(changed(table))


@pytest.mark.parametrize("kind", KINDS)
def test_junk_in_every_option_of_every_plugin(problems, kind):
    tables, options = {}, {}
    for registered in Registry().entries(kind):
        name = registered.entry.name
        options[name] = [*signature_options(registered.load()), "junk"]
        tables[name] = {"plugin": name, **({"training": "brief"} if kind == "models" else {})}
    problems(changed((kind,), tables))  # some options may be required
    for value in ({}, [[]], float("nan")):
        for name, table in tables.items():
            table["options"] = dict.fromkeys(options[name], value)
        mistakes = problems(changed((kind,), tables))
        for name in tables:
            assert any(f": {kind}.{name}.options.junk: unknown option" in x for x in mistakes)
        if value == {}:
            found = {line.split(": ")[1] for line in mistakes}
            assert {f"{kind}.{x}.options.{y}" for x in tables for y in options[x]} <= found


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            ("executors",),
            {"processes": {"junk": 1}},
            "executors.processes.junk: unknown option (known: workers)",
        ),
        (
            ("executors",),
            {"proceses": {}},
            "executors.proceses: there is no executor plugin 'proceses' (did you mean",
        ),
        (
            ("executors",),
            {"processes": {"workers": 2}},
            "executors.processes.workers: is set by the option --workers, not in a suite",
        ),
        (
            ("executors",),
            {"processes": 1},
            "executors.processes: input should be an object, not 1",
        ),
        (("comparisons",), [], "comparisons: "),
        (("reference",), "absent.json", "reference: "),
        (("reference",), "plugin.py", "reference: "),
        (("include",), ["absent.toml"], "include: "),
        (("include",), ["suite.toml"], "the file includes itself"),
        (("include",), {"junk": 1}, "include: expected a list of file names"),
        (("plugins", "paths"), ["absent.py"], "absent.py cannot be read"),
        (
            ("plugins", "paths"),
            [1, "plugin.py"],
            "plugins.paths[0]: input should be a valid string",
        ),
        (("plugins", "paths"), "plugin.py", "plugins.paths: input should be a valid array"),
        (("plugins", "paths"), ["published.json"], "plugins.paths: "),
        (("scorers", "mine", "plugin"), "waic", "give either seeds or epochs"),
        (("datasets", "noise", "plugin"), "folder", "path: missing option"),
        (("datasets", "noise", "options"), {"height": 9}, "'noise' is 1x9x8"),
        (("comparisons", 0, "out"), ["folder"], "datasets.folder.options.path: missing option"),
        (("comparisons", 0, "scorers"), ["waic"], "scorers.waic.options: waic: give either"),
        (("comparisons", 0, "scorers"), "waic", "scorers.waic.options: waic: give either"),
        (("models", "general", "dataset"), "folder", "datasets.folder.options.path: missing"),
        (
            ("scorers", "mine"),
            {"plugin": "ensemble", "options": {"scorers": ["waic", "dose"]}},
            "",
        ),
        (
            ("comparisons",),
            [COMPARISON, {**COMPARISON, "n_in": 20}],
            "comparisons[1]: two comparisons ask for flow, digits against noise",
        ),
    ],
)
def test_mistakes_of_other_kinds(problems, key, value, expected):
    mistakes = problems(changed(key, value))
    assert any(expected in line for line in mistakes), mistakes


def test_too_many_cells(problems):
    many = {**COMPARISON, "epochs": [*range(800)], "seeds": [*range(800)]}
    (line,) = problems(changed(("comparisons",), [COMPARISON, many]))
    assert "comparisons[1]: the suite asks for more than 1,000,000 cells" in line


def test_a_plugin_file_that_fails_is_located_in_an_included_file(tmp_path, write_suite):
    write_suite("raise ValueError('no')", "sub/bad.py")
    included = write_suite('\n[plugins]\npaths = [\n  "bad.py"\n]', "sub/common.toml")
    with pytest.raises(SuiteError) as caught:
        load_suite(write_suite('include = ["sub/common.toml"]'))
    assert str(caught.value).startswith(f"{included}:4: plugins.paths: plugin bad (file ")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"title = 'x'\n\nmodels = [", 3),
        (b"title = 'x'\n# caf\xe9\n", 2),
        (b"title = 'x'\n\nmodels = " + b"[" * 5000 + b"]" * 5000, 3),
        (b"title = 1" + b"0" * 5000, 1),
    ],
)
def test_text_that_is_no_toml(tmp_path, content, line):
    path = tmp_path / "suite.toml"
    path.write_bytes(content)
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize("how", ["absent", "folder", "large"])
def test_an_included_file_that_cannot_be_read_is_located_where_it_is_named(write_suite, how):
    main = write_suite('title = "x"\ninclude = [\n  "other.toml",\n]\n')
    other = main.with_name("other.toml")
    if how == "folder":
        other.mkdir()
    if how == "large":
        other.write_text("#" * 1_000_001)
    with pytest.raises(SuiteError) as caught:
        load_suite(main)
    reason = {
        "absent": f"no such file in {main.parent} (did you mean",
        "folder": "not a file",
        "large": "a suite has at most 1,000,000 bytes",
    }
    assert str(caught.value).startswith(f"{main}:3: include: {other}: {reason[how]}")
