"""`bench report`: print the results for a suite from stored data."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer
from rich.console import Console

from harness.api.results import Report
from harness.api.suites import load
from harness.cli.arguments import (
    DataOption,
    ErrorsOption,
    OnlyOption,
    PluginOption,
    SetOption,
    StoreOption,
    SuitePath,
)
from harness.cli.output import tell
from harness.errors import BenchError
from harness.report.render.documents import Format

FormatOption: TypeAlias = Annotated[Format, typer.Option(help="Output format.")]
AllOption: TypeAlias = Annotated[
    bool, typer.Option("--all", help="Print the tables for any number of cells.")
]
RowsOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--rows",
        metavar="KEY,...",
        help="Make the rows of AUROC tables by model, in, out, scorer, epoch or group_size.",
        show_default=False,
    ),
]
ColumnsOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--columns",
        metavar="KEY,...",
        help="Make the columns by these keys, for example by epoch; other keys make tables.",
        show_default=False,
    ),
]
EpochsOption: TypeAlias = Annotated[
    bool, typer.Option("--epochs", help="Print how early is enough, instead of the AUROC tables.")
]
MarginOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="With --epochs or --figures: the largest loss of AUROC that counts as no loss; 0.01 "
        "by default.",
        show_default=False,
    ),
]
LayersOption: TypeAlias = Annotated[
    bool, typer.Option("--layers", help="Print which layers carry the scores, instead.")
]
RankingOption: TypeAlias = Annotated[
    Literal["scorers", "models"] | None,
    typer.Option(
        "--ranking",
        help="Print the scorers ranked, with costs, or the models, with bits/dim, instead.",
    ),
]
FiguresOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--figures", metavar="DIR", help="Also write figures, PNG and PDF."),
]
FocusOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--focus",
        metavar="NAME,...",
        help="Scorers in colour in figures and on the page, at most six; the others are grey.",
        show_default=False,
    ),
]
WidthOption: TypeAlias = Annotated[
    Literal["one", "two"],
    typer.Option("--width", help="Width of the figures: columns of a paper with two."),
]
HtmlOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Also write a page with all results."),
]
SamplesOption: TypeAlias = Annotated[
    bool,
    typer.Option("--samples", help="Draw samples from the models for the page; needs PyTorch."),
]
TemperatureOption: TypeAlias = Annotated[
    float,
    typer.Option(min=0.0, help="Temperature for the samples in the figures and on the page."),
]

OPTIONS: dict[Report, str] = {
    "epochs": "--epochs",
    "layers": "--layers",
    "scorers": "--ranking scorers",
    "models": "--ranking models",
}
"""Options for the reports printed instead of the AUROC tables."""


def report(
    suite: SuitePath,
    format: FormatOption = "table",
    show_all: AllOption = False,
    errors: ErrorsOption = False,
    rows: RowsOption = "",
    columns: ColumnsOption = "",
    epochs: EpochsOption = False,
    margin: MarginOption = None,
    layers: LayersOption = False,
    ranking: RankingOption = None,
    figures: FiguresOption = None,
    focus: FocusOption = "",
    width: WidthOption = "two",
    html: HtmlOption = None,
    samples: SamplesOption = False,
    temperature: TemperatureOption = 1.0,
    *,
    only: OnlyOption,
    changes: SetOption,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
) -> None:
    """Print results from stored data.

    Nothing is trained or evaluated.
    """
    asked = _asked({"epochs": epochs, "layers": layers, ranking or "scorers": ranking is not None})
    if samples and html is None:
        raise BenchError("--samples are drawn for the page: name the file with --html FILE")
    if margin is not None and not epochs and figures is None:
        raise BenchError("--margin is the margin of --epochs or --figures: give one of them too")
    given: dict[str, Any] = {} if margin is None else {"margin": margin}
    options = given if epochs else {}
    arranged = {"rows": _names(rows), "columns": _names(columns)}
    if asked == "auroc":
        options |= {"standard_errors": errors, "show_all": show_all, **arranged}
    elif any(arranged.values()):
        raise BenchError(f"--rows and --columns arrange the AUROC tables, not {OPTIONS[asked]}")
    with _no_collection():
        found = load(suite, plugin, changes, only)
        results = found.run(store=store, data=data, missing="report")
        text = results.text(asked, format=format, console=Console(), **options)
    sys.stdout.write(text)
    if figures is not None:
        drawn = results.figures(
            figures, focus=_names(focus), width=width, temperature=temperature, **given
        )
        for note in drawn.notes:
            tell(note)
        tell(f"{len(drawn.files)} files of figures are in {figures}")
    if html is not None:
        drawn_at = temperature if samples else None
        page = results.page(html, focus=_names(focus), temperature=drawn_at)
        tell(f"{page} has the page, {page.stat().st_size / 1e6:.1f} MB")
    if results.pending_note:
        tell(results.pending_note)
    raise typer.Exit(results.outcome.exit_status)


def _names(text: str) -> list[str]:
    """Split a list of names."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _asked(reports: dict[Report, bool]) -> Report:
    """Return the report to print instead of the AUROC tables, which are the default."""
    names = [name for name, wanted in reports.items() if wanted]
    if len(names) > 1:
        options = " and ".join(OPTIONS[name] for name in names)
        raise BenchError(f"{options} are different reports: choose one")
    return names[0] if names else "auroc"


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause garbage collection, and exempt surviving objects later: 100,000 results are slow."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()
