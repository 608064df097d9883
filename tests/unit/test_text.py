"""Text of strangers: shown so that nothing in it acts, and that nobody confuses two texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.render.documents import render_sheets
from harness.report.render.sheets import TextTable, cell_texts
from harness.text import MOST_SHOWN, shown_bytes

HOSTILE = [
    (b"\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
    (b"a\nb\r\tc\x00\x7f", r"a\nb\r\tc\x00\x7f"),
    ("user\u202etxt.exe".encode(), r"user\U0000202etxt.exe"),
    ("\u2066\u200b\ufeff\u2028".encode(), r"\U00002066\U0000200b\U0000feff\U00002028"),
    ("a\u0301\u0323\u0302\u0489".encode(), "a\u0301\u0323" r"\U00000302\U00000489"),
    ("हिन्दी ไม่".encode(), "हिन्दी ไม่"),
    (b"\xff\xc3(\xed\xa0\x80", r"\xff\xc3(\xed\xa0\x80"),
    ("\x85".encode() + b"\x85", r"\U00000085\x85"),
    (rb"C:\new", r"C:\\new"),
    ("né à 画像 😀".encode(), "né à 画像 😀"),
    (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
]


@pytest.mark.parametrize(("content", "shown"), HOSTILE)
def test_hostile_text_is_shown_by_escapes(content, shown):
    assert shown_bytes(content) == shown


ESCAPE = re.compile(r"\\(?:\\|[nrt]|x[0-9a-f]{2}|U[0-9a-f]{8})|[^\\]")
NAMED = {r"\\": b"\\", r"\n": b"\n", r"\r": b"\r", r"\t": b"\t"}


def read_back(shown):
    """The bytes that were shown."""
    assert "".join(ESCAPE.findall(shown)) == shown
    content = b""
    for part in ESCAPE.findall(shown):
        if part in NAMED:
            content += NAMED[part]
        elif part.startswith(r"\x"):
            content += bytes([int(part[2:], 16)])
        else:
            content += (chr(int(part[2:], 16)) if part.startswith(r"\U") else part).encode()
    return content


@given(st.one_of(st.binary(max_size=60), st.text(max_size=20).map(str.encode)))
def test_any_bytes_are_shown_on_a_printable_line_and_can_be_read_back(content):
    shown = shown_bytes(content)
    assert shown.isprintable()
    assert read_back(shown) == content


def test_a_line_of_100_megabytes_is_cut():
    content = b"x" * 10**8
    assert shown_bytes(content) == "x" * MOST_SHOWN + f" … and {10**8 - MOST_SHOWN:,} bytes"


ACTING = "$&%#_{}~^\\|*`[<"


def test_shown_text_acts_in_no_format():
    shown = shown_bytes(ACTING.encode() + b"\x1b[31m=1+1\n\\input{x}")
    table = TextTable("t", ["text"], [cell_texts(shown)], 1, 1, [], [])
    latex = render_sheets([table], title="t", format="latex", console=None)
    (line,) = (line for line in latex.splitlines() if "x1b" in line)
    bare = re.sub(r"\\(?:[&%$#_{}]|text\w+\{\})|\$\\\w+\$|\{[][*]\}", "", line.removesuffix(r"\\"))
    assert not set(bare) & set("$&%#_{}~^\\")
    markdown = render_sheets([table], title="t", format="markdown", console=None)
    assert r"\|" in markdown
    assert "\\<" in markdown or "&lt;" in markdown
