"""Pins on disk: what was written is read, whatever the names; mistakes are named."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BenchError
from harness.regression.pins import (
    Pin,
    Pins,
    Quantity,
    cell_name,
    read_pins,
    read_pins_of,
    write_pins,
)
from harness.results import Cell

SCALARS = (
    st.text(st.characters(codec="utf-8"))
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=6,
)


def a_pin(epoch, **settings):
    return Pin(
        Cell("flow", 'in "quoted"', "out", "typicality", epoch, 5, 0),
        Quantity(0.1 + 0.2, 0.004),
        0.01,
        Quantity(-1e4 / 3, 1e-7),
        Quantity(math.pi, 0.5),
        "k" * 32,
        {"scorer": {"options": {"eps": 1e-10}, "plugin": "x"}, "training": settings},
        {"versions": {"torch": "2.6"}},
    )


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES))
def test_toml_that_is_written_is_what_python_reads(values):
    with TemporaryDirectory() as folder:
        path = Path(folder, "pins.toml")
        write_pins(path, Pins(Path(folder, "suite.toml"), (a_pin(0, **{"": values}),)))
        assert values in [
            part.get("") for part in tomllib.loads(path.read_text())["settings"].values()
        ]
        assert read_pins(path).pins[0].settings["training"] == {"": values}


def test_what_is_none_is_left_out(tmp_path):
    pin = a_pin(0, a=None, b={"c": None, "d": [{"e": None}]})
    write_pins(tmp_path / "pins.toml", Pins(tmp_path / "suite.toml", (pin,)))
    (read,) = read_pins(tmp_path / "pins.toml").pins
    assert read.settings["training"] == {"b": {"d": [{}]}}


DOTTED = """
format = 1
suite = "../suites/suite.toml"

[[cells]]
model = "flow"
in = 'in "quoted"'
out = "out"
scorer = "typicality"
epoch = 0
group_size = 5
seed = 0
auroc = 0.30000000000000004
se = 0.01
tolerance = 0.004
score_in.value = -3333.3333333333335
score_in.tolerance = 1e-07
score_out.value = 3.141592653589793
score_out.tolerance = 0.5
key = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
settings.scorer = "a"
settings.training = "b"
provenance.versions = "c"

[settings.a]
options.eps = 1e-10
plugin = "x"

[settings.b]
width = 4

[provenance.c]
torch = "2.6"
"""


def test_pins_of_earlier_versions_are_read(tmp_path):
    path = tmp_path / "pins.toml"
    path.write_text(DOTTED)
    assert read_pins(path).pins == (a_pin(0, width=4),)


def test_pins_are_read_as_they_were_written(tmp_path):
    pins = (a_pin(0, width=4, clip=1.5), a_pin(1, width=4, clip=1.5), a_pin(2, width=8))
    path = tmp_path / "pins" / "suite.toml"
    write_pins(path, Pins(tmp_path / "suites" / "suite.toml", pins))
    assert read_pins(path).pins == pins
    assert read_pins(path).suite.resolve() == tmp_path / "suites" / "suite.toml"
    assert path.read_text().count("plugin =") == 1  # what cells share is there once
    assert path.read_text().count("width =") == 2
    first = path.read_bytes()
    write_pins(path, read_pins(path))
    assert path.read_bytes() == first


def test_a_cell_is_named_in_the_words_of_a_selection():
    name = "model=m,in=i,out=o,scorer=s,epoch=3,group_size=5,seed=1"
    assert cell_name(Cell("m", "i", "o", "s", 3, 5, 1)) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "pins.toml: file not found; create it with bench pin SUITE"),
        ("a = [", "pins.toml: not a pin file: "),
        ("format = 2", "pins.toml: not a pin file: the format is 2, not 1"),
        ("format = 1", "pins.toml: not a pin file: key 'suite' is missing"),
        (
            'format = 1\nsuite = "s"\n[[cells]]\n',
            "pins.toml: not a pin file: key 'model' is missing",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / "pins.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BenchError) as error:
        read_pins(path)
    assert message in str(error.value)


def test_pins_belong_to_a_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = Path("a/suite.toml"), Path("b/suite.toml")
    for suite in (first, second):
        suite.parent.mkdir()
        suite.touch()
    path = Path("pins/suite.toml")
    write_pins(path, Pins(first, (a_pin(0, width=4),)))
    assert read_pins_of(first, path) == read_pins_of(tmp_path / first, path) == read_pins(path)
    with pytest.raises(BenchError) as error:
        read_pins_of(second, path)
    assert str(error.value) == (
        "pins/suite.toml: expected the pins for b/suite.toml, found the pins for a/suite.toml; "
        "name another file with --pins"
    )
    first.unlink()  # as when a suite moves to another folder
    assert read_pins_of(second, path) == read_pins(path)
