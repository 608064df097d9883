"""Lines of TOML keys, held against what tomllib reads."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.suite.toml.locations import locate

TEXT = (
    """# a comment = "no key"
title = "a [b] # c"
"quoted key" = 1
'it"""
    + """s' = 2
dotted.inner . deep = 3

[models.first] # header
options = { levels = 2, "wide one" = [1, 2] }
text = \"\"\"
x = 1
[fake]
\"\"\"

[[comparisons]]
epochs = [
  0, # zero
  1,
  4 ]
[[comparisons]]
in = 'a'
[comparisons.sub]
key = 2020-01-01T00:00:00Z
"""
)


def paths(value, path=()):
    """Every key path of parsed TOML."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield (*path, number)
            yield from paths(item, (*path, number))


def test_lines_of_a_text_with_every_construct():
    text = TEXT.replace("'it", "'its").replace("s' = 2", "' = 2")
    lines = locate(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    assert lines[("title",)] == 2
    assert lines[("quoted key",)] == 3
    assert lines[("dotted", "inner", "deep")] == 5
    assert lines[("models", "first")] == 7
    assert lines[("models", "first", "options", "levels")] == 8
    assert lines[("models", "first", "options", "wide one", 1)] == 8
    assert lines[("comparisons", 0)] == 14
    assert lines[("comparisons", 0, "epochs", 2)] == 18
    assert lines[("comparisons", 1, "in")] == 20
    assert lines[("comparisons", 1, "sub", "key")] == 22


@pytest.mark.parametrize(
    "text", ["", "\n# only\n", "a=1", 'a="""\n""""', "a='''''''", "a = '''x'''"]
)
def test_edges(text):
    assert set(locate(text)) == set(paths(tomllib.loads(text)))


keys = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6)
scalars = st.one_of(
    st.integers(-9, 9), st.booleans(), keys, st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def write_string(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def write_value(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return write_string(value)
    if isinstance(value, list):
        return "[" + ",\n ".join(write_value(item) for item in value) + "\n]"
    if isinstance(value, dict):
        inner = ", ".join(f"{write_string(k)} = {write_value(v)}" for k, v in value.items())
        return "{ " + inner + " }"
    return repr(value)


@given(st.dictionaries(keys, values, max_size=4), st.booleans())
def test_every_path_that_tomllib_reads_is_located(document, crlf):
    text = "".join(f"{write_string(k)} = {write_value(v)}\n" for k, v in document.items())
    text = text.replace("\n", "\r\n") if crlf else text
    lines = locate(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    count = text.count("\n") + 1
    assert all(1 <= line <= count for line in lines.values())
