"""Results as text in every format that `bench report` knows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.errors import ScoreError
from harness.report.render import sheets as text
from harness.report.render.published import published_sheets
from harness.report.render.sheets import CellText, TextTable
from harness.report.tables import auroc_tables
from harness.results import Cell, Published, Result
from harness.text import one_line

if TYPE_CHECKING:
    from rich.console import Console


Format: TypeAlias = Literal["table", "markdown", "latex", "csv", "json"]

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A spreadsheet takes text that begins with one of these, some wide ones too, for a formula."""

MARKDOWN = str.maketrans(
    {char: f"\\{char}" for char in "\\|*_`[]~$#"} | {"<": "&lt;", "&": "&amp;"}
)

LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    # [ and * after the end of a row would be taken for its options
    | {char: f"{{{char}}}" for char in "[]*"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"$\sim$",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "±": r"$\pm$",
    }
)


def render(
    results: Sequence[Result],
    *,
    suite: str,
    title: str,
    format: Format,
    standard_errors: bool = False,
    console: Console | None = None,
) -> str:
    """Results in one of the formats, ending in a newline unless empty.

    The same results give the same bytes: nothing tells the time or the machine.

    Arguments:
        results: In the order in which scorers, data sets and rows shall stand.
        suite: Name of the suite, which JSON records.
        title: Heading of the tables.
        format: `csv` and `json` hold one row or object per result; the others AUROC tables, and
            tables of the results for which values were published.
        standard_errors: Whether the tables show the DeLong standard errors.
        console: Where a `table` will be printed; decides its width, styles and encoding. Without
            one, lines are as long as they need to be. Write the text to `console.file` as it is.

    Raises:
        ScoreError: A number that is not finite, which JSON could not hold.
    """
    if format == "json":
        return _json(results, suite)
    if format == "csv":
        return _csv(results)
    best = "*" if format == "table" else "Bold"
    sheets = [
        text.sheet(table, standard_errors=standard_errors, best=best)
        for table in auroc_tables(results)
    ]
    sheets += published_sheets(results)
    return render_sheets(sheets, title=title, format=format, console=console)


def render_sheets(
    sheets: Sequence[TextTable],
    *,
    title: str,
    format: Literal["table", "markdown", "latex"],
    console: Console | None,
) -> str:
    """Tables in words under a heading; see `render`."""
    if format == "markdown":
        return _markdown(sheets, title)
    if format == "latex":
        return _latex(sheets, title)
    return _terminal(sheets, title, console)


def _terminal(sheets: Sequence[TextTable], title: str, console: Console | None) -> str:
    # here, because rich takes a tenth of a second that no other format needs
    from rich.console import Console

    from harness.report.render.terminal import terminal_text

    return terminal_text(
        sheets,
        title=title,
        console=console or Console(file=io.StringIO(), force_terminal=False),
    )


def _json(results: Sequence[Result], suite: str) -> str:
    """`{"suite", "results"}`; NaN is not JSON, and null would be read as something else."""
    found = [result.to_json() for result in results]
    try:
        return json.dumps({"suite": suite, "results": found}, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        for result, values in zip(results, found, strict=True):
            for key, value in values.items():
                if _not_finite(value):
                    raise ScoreError(f"{_name(result.cell)}: {key} is not finite") from error
        raise


def _not_finite(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return True
    return False


def _name(cell: Cell) -> str:
    return (
        f"{cell.model}, {cell.in_dataset} against {cell.out_dataset}, {cell.scorer}, "
        f"epoch {cell.epoch}, group size {cell.group_size}, seed {cell.seed}"
    )


def _csv(results: Sequence[Result]) -> str:
    """A row per result: what JSON holds, without the provenance."""
    blank = Result(Cell("", "", "", "", 0, 0, 0), "failed")
    columns = [key for key in _flat(blank) if key != "provenance"]
    return csv_text(columns, [_flat(result) for result in results])


def _flat(result: Result) -> dict[str, object]:
    """The result as JSON has it, what was published in columns of its own."""
    values = result.to_json()
    published = values.pop("published") or {}
    values.pop("beaten_by")
    names = [field.name for field in fields(Published)]
    values |= {f"published_{name}": published.get(name) for name in names}
    return values | {"beaten_by": "; ".join(beaten.scorer for beaten in result.beaten_by)}


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A header and a line per row; no number is an empty field, and no text a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_field(row[key]) for key in columns])
    return out.getvalue()


def _field(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _markdown(sheets: Sequence[TextTable], title: str) -> str:
    """GitHub's tables, the best number of a column in bold."""
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


def _latex(sheets: Sequence[TextTable], title: str) -> str:
    """A table environment each, without packages, the best number of a column in bold."""
    blocks = [f"% {one_line(title)}"]
    for sheet in sheets:
        caption = [f"{sheet.title}.", *sheet.caption, *sheet.notes]
        tabular = _tabulated(
            sheet, tablefmt="latex_raw", escape=_latex_text, bold=r"\textbf{{{}}}"
        )
        lines = "\n".join(_latex_text(line) for line in caption)
        blocks.append(
            f"\\begin{{table}}\n\\centering\n{tabular}\n\\caption{{{lines}}}\n\\end{{table}}"
        )
    return "\n\n".join(blocks) + "\n"


def _markdown_text(words: str) -> str:
    return words.translate(MARKDOWN)


def _latex_text(words: str) -> str:
    return words.translate(LATEX)


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
        disable_numparse=True,  # it would turn 0.9120 into 0.912 and the name 12e4 into 120000
        colalign=["left"] * sheet.left + ["right"] * (len(sheet.header) - sheet.left),
    )
