"""Output formats: text tables for Markdown, notebooks or a terminal, rows for CSV, and JSON."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypeAlias, TypedDict

from harness.report.render.latex import latex_document
from harness.report.render.sheets import CellText, TextTable
from harness.text import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console


Format: TypeAlias = Literal["table", "markdown", "latex", "csv", "json"]
Rendered: TypeAlias = Format | Literal["html"]
"""Formats of a report; `html` is a piece of a page, as notebooks show it."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Prefixes that make a spreadsheet read text like a formula, full-width characters included."""

MARKDOWN = str.maketrans(
    {char: f"\\{char}" for char in "\\|*_`[]~$#"} | {"<": "&lt;", "&": "&amp;"}
)


class Printing(TypedDict):
    """Options for printing a report, shared by all reports.

    Attributes:
        suite: Suite name, recorded in JSON.
        changes: Values set on the command line, recorded in JSON as `set`.
        title: Heading above the tables.
        format: `csv` and `json` hold one row or object per result; all other formats hold tables.
        console: Console that will print a `table`, for width, styles and encoding. Without a
            console, lines have no maximum length. Write the text to `console.file` unchanged.
    """

    suite: str
    changes: NotRequired[Sequence[str]]
    title: str
    format: Rendered
    console: NotRequired[Console | None]


def render_document(
    printing: Printing,
    *,
    found: Mapping[str, Any],
    rows: Iterable[Mapping[str, object]],
    columns: Sequence[str],
    sheets: Iterable[TextTable],
) -> str:
    """Render a report in the requested format, ending in a newline unless empty.

    Arguments:
        printing: Options for printing.
        found: JSON fields, without the suite name.
        rows: CSV lines, by column.
        columns: CSV columns.
        sheets: Tables; a lazy iterable is only consumed by formats with tables.
    """
    format = printing["format"]
    if format == "json":
        return json_text({**json_head(printing), **found})
    if format == "csv":
        return csv_text(columns, rows)
    console = printing.get("console")
    names = {"title": printing["title"], "suite": printing["suite"]}
    return render_sheets(list(sheets), **names, format=format, console=console)


def json_head(printing: Printing) -> dict[str, Any]:
    """Return the JSON fields that tell what the results belong to."""
    return {"suite": printing["suite"], "set": [*printing.get("changes", ())]}


def json_text(found: object) -> str:
    """Format JSON, ending in a newline.

    Raises:
        ValueError: A number is not finite: JSON has no NaN, and null would have another meaning.
    """
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def render_sheets(
    sheets: Sequence[TextTable],
    *,
    title: str,
    suite: str = "",
    format: Literal["table", "markdown", "latex", "html"],
    console: Console | None,
) -> str:
    """Render text tables under a heading; see `Printing` for the arguments."""
    if format == "markdown":
        return _markdown(sheets, title)
    if format == "latex":
        return latex_document(sheets, title=title, suite=suite)
    if format == "html":
        return _html(sheets, title)
    # imported here: rich takes a tenth of a second to import, and only this format needs rich
    from rich.console import Console

    from harness.report.render.terminal import terminal_text

    return terminal_text(
        sheets,
        title=title,
        console=console or Console(file=io.StringIO(), force_terminal=False),
    )


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Format a header and a line per row.

    A missing number is an empty field. Text is quoted if a spreadsheet would read a formula.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_field(row[key]) for key in columns])
    return out.getvalue()


def _field(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _markdown(sheets: Sequence[TextTable], title: str) -> str:
    """Format tables for GitHub, with the best number in each column in bold."""
    blocks = [f"# {_markdown_text(one_line(title))}"]
    for sheet in sheets:
        blocks.append(f"## {_markdown_text(sheet.title)}")
        blocks.append(_tabulated(sheet, tablefmt="pipe", escape=_markdown_text, bold="**{}**"))
        blocks.append(_markdown_text(" ".join(sheet.caption)))
        if sheet.notes:
            blocks.append("\n".join(f"- {_markdown_text(note)}" for note in sheet.notes))
    if not sheets:
        blocks.append("There are no results.")
    return "\n\n".join(blocks) + "\n"


def _html(sheets: Sequence[TextTable], title: str) -> str:
    """Format tables as elements for a notebook, with the best number in each column in bold."""
    blocks = [f"<h3>{_html_text(one_line(title))}</h3>"]
    for sheet in sheets:
        lines = "<br>\n".join(map(_html_text, [*sheet.caption, *sheet.notes]))
        table = _tabulated(sheet, tablefmt="unsafehtml", escape=_html_text, bold="<b>{}</b>")
        blocks += [f"<h4>{_html_text(sheet.title)}</h4>", table, f"<p><small>{lines}</small></p>"]
    if not sheets:
        blocks.append("<p>There are no results.</p>")
    return "\n".join(blocks) + "\n"


def _html_text(words: str) -> str:
    return html.escape(printable(words))


def _markdown_text(words: str) -> str:
    return words.translate(MARKDOWN)


def _tabulated(sheet: TextTable, *, tablefmt: str, escape: Callable[[str], str], bold: str) -> str:
    from tabulate import tabulate

    def field(words: CellText) -> str:
        if words.best:
            return bold.format(escape(words.text)) + escape(words.flags + words.beside)
        return escape(words.plain)

    return tabulate(
        [[field(words) for words in row] for row in sheet.body],
        headers=[escape(name) for name in sheet.header],
        tablefmt=tablefmt,
        disable_numparse=True,  # keeps 0.9120 from becoming 0.912, the name 12e4 120000
        colalign=["left"] * sheet.left + ["right"] * (len(sheet.header) - sheet.left),
    )
