"""Manual pages become plain text, the same in each language but for the language."""

from __future__ import annotations

import runpy
from pathlib import Path

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts/man_pages.py"))

GERMAN = r"""'\" t
.\" a comment
.SH "\(:UBERSICHT"
\fBpasswd\fR \- \(:andert das Gro\(sse
\fB\-a\fR

Caf\('e \(Fooui\(Fc, \fI\,kursiv\/\fR a\&.b \s-1klein\s0
"""


def test_commands_are_left_out_and_letters_kept():
    assert SCRIPT["lines"](GERMAN) == [
        "passwd - ändert das Große",
        "-a",
        "Café «oui», kursiv a.b klein",
    ]


def test_lines_of_two_languages_are_left_out_of_both():
    pages = {"english": ["-a", "one", "kept", "kept"], "german": ["-a", "eins"], "french": ["one"]}
    expected = {"english": "kept\nkept\n", "german": "eins\n", "french": ""}
    assert SCRIPT["translated"](pages) == expected
