"""Text tables as LaTeX: booktabs, numbers aligned by siunitx, a label, a short caption, notes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from harness.report.render.sheets import CellText, TextTable
from harness.text import one_line

PACKAGES = "% needs \\usepackage{booktabs}, \\usepackage{siunitx} and \\usepackage{graphicx}"

HEAD = 12
"""Letters of a line in a column's head, if the column itself is no wider."""

ESCAPES = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    # after the end of a row, LaTeX would parse [ and * as options
    | {char: f"{{{char}}}" for char in "[]*"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"$\sim$",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "±": r"$\pm$",
        "≤": r"$\le$",
        "≈": r"$\approx$",
        "χ": r"$\chi$",
        "²": r"\textsuperscript{2}",
    }
)
MARKS = {"~": r"$^{\sim}$"}
"""Marks after a number, where not as in `ESCAPES`."""

COMPARISONS = {"<=": r"\le", ">=": r"\ge", "<": "<", ">": ">", "=": "="}
P_VALUE = re.compile(r"\bp (<=|>=|<|>|=) (\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
NUMBER = re.compile(r"([≤≈]?)(-?)(\d+)(?:\.(\d+))?")
"""Sign of a bound, minus, and the digits before and after the point."""


def latex_document(sheets: Sequence[TextTable], *, title: str, suite: str) -> str:
    """Format a table environment for each table, with the best number in each column in bold.

    Arguments:
        sheets: The tables.
        title: Heading, in a comment.
        suite: Name of the suite, the beginning of each label.
    """
    blocks = [f"% {one_line(title)}\n{PACKAGES}"]
    labels: dict[str, None] = {}
    for sheet in sheets:
        label = _label(f"{suite}-{sheet.title}", labels)
        labels[label] = None
        blocks.append(_table(sheet, label))
    return "\n\n".join(blocks) + "\n"


def _label(words: str, taken: dict[str, None]) -> str:
    """Make a label of small letters, digits and hyphens that no other table has."""
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    names = (f"tab:{slug}" + (f"-{k}" if k else "") for k in range(len(taken) + 1))
    return next(name for name in names if name not in taken)


def _table(sheet: TextTable, label: str) -> str:
    columns = list(zip(*sheet.body, strict=True)) or [()] * len(sheet.header)
    kinds = [_column(column, is_left=place < sheet.left) for place, column in enumerate(columns)]
    heads = [
        _head(name, column, kind)
        for name, column, kind in zip(sheet.header, columns, kinds, strict=True)
    ]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\small\setlength{\tabcolsep}{4pt}",
            f"\\caption{{{latex_text(sheet.title)}.}}",
            f"\\label{{{label}}}",
            f"\\sbox0{{\\begin{{tabular}}{{{' '.join(kinds)}}}",
            r"\toprule",
            f"{' & '.join(heads)} \\\\",
            r"\midrule",
            *_rows(sheet, kinds),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            *_notes([*sheet.caption, *sheet.notes]),
            r"\end{table}",
        ]
    )


def _head(name: str, column: Sequence[CellText], kind: str) -> str:
    """Format the head of a column, in several lines if it is longer than the column."""
    width = max(HEAD, *(len(words.plain) for words in column), 0)
    lines = [latex_text(line) for line in textwrap.wrap(name, width, break_long_words=False)]
    side = "c" if kind.startswith("S") else kind
    stacked = r" \\ ".join(lines)
    shown = f"\\shortstack[{side}]{{{stacked}}}" if len(lines) > 1 else stacked
    return f"{{{shown}}}" if kind.startswith("S") else shown


def _rows(sheet: TextTable, kinds: Sequence[str]) -> list[str]:
    """Format the rows; a name in the first column is not repeated, and begins a block."""
    lines = []
    above = None
    blocks = len({row[0] for row in sheet.body}) < len(sheet.body)
    for row in sheet.body:
        first = row[0]
        if blocks and above is not None and first != above:
            lines.append(r"\addlinespace")
        shown = [
            _field(words, is_aligned=kind.startswith("S"))
            for words, kind in zip(row, kinds, strict=True)
        ]
        if blocks and first == above:
            shown[0] = ""
        lines.append(f"{' & '.join(shown)} \\\\".lstrip())
        above = first
    return lines


def _notes(lines: Sequence[str]) -> list[str]:
    """Format the sentences below a table in a paragraph as wide as the text."""
    if not lines:
        return []
    words = "\n".join(latex_text(line) for line in lines)
    return [
        r"",
        r"\smallskip",
        r"\begin{minipage}{\linewidth}\footnotesize",
        words,
        r"\end{minipage}",
    ]


def _column(column: Sequence[CellText], *, is_left: bool) -> str:
    """Choose the kind of a column: `S`, aligned at the point, if its numbers stand alone."""
    found = [NUMBER.fullmatch(words.text) for words in column]
    numbers = [match for match in found if match]
    if is_left or not numbers or any(words.beside for words in column):
        return "l" if is_left else "r"
    minus = "-" if any(match[2] for match in numbers) else ""
    before = max(len(match[3]) for match in numbers)
    after = max(len(match[4] or "") for match in numbers)
    options = [f"table-format={minus}{before}.{after}"]
    if before_it := max((_before(match) for match in numbers), key=len):
        options.append(f"table-space-text-pre={before_it}")
    if after_it := max((_after(words) for words in column), key=len):
        options.append(f"table-space-text-post={after_it}")
    if any(words.best for words in column):
        options.append("detect-weight=true, mode=text")
    return f"S[{', '.join(options)}]"


def _field(words: CellText, *, is_aligned: bool) -> str:
    match = NUMBER.fullmatch(words.text)
    if not is_aligned:
        text = latex_text(words.text)
        shown = f"\\textbf{{{text}}}" if words.best else text + latex_text(words.mark.strip("*"))
        return shown + latex_text(words.flags + words.beside)
    if match is None:
        return f"{{{'--' if words.text == '-' else latex_text(words.plain)}}}"
    weight = "\\bfseries " if words.best else ""
    return f"{_before(match)}{weight}{words.text.removeprefix(match[1])}{_after(words)}"


def _before(match: re.Match[str]) -> str:
    return f"{{{latex_text(match[1])}}}" if match[1] else ""


def _after(words: CellText) -> str:
    """Format the marks after a number; bold stands for the mark of the best."""
    marks = ("" if words.best else words.mark) + words.flags
    shown = "".join(MARKS.get(mark, latex_text(mark)) for mark in marks)
    return f"{{{shown}}}" if shown else ""


def latex_text(words: str) -> str:
    r"""Escape text, and print p-values as mathematics.

    Example:
        >>> latex_text("50 % (p <= 0.05)")
        '50 \\% ($p \\le 0.05$)'
    """
    shown, end = [], 0
    for match in P_VALUE.finditer(words):
        value = f"\\num{{{match[2]}}}" if "e" in match[2] else match[2]
        shown += [
            words[end : match.start()].translate(ESCAPES),
            f"$p {COMPARISONS[match[1]]} {value}$",
        ]
        end = match.end()
    return "".join(shown) + words[end:].translate(ESCAPES)
