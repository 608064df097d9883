"""`bench report`: print the results for a suite from stored data."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from rich.console import Console

from harness.cli.arguments import (
    DataOption,
    ErrorsOption,
    OnlyOption,
    PluginOption,
    SetOption,
    StoreOption,
    SuitePath,
    suite_words,
)
from harness.cli.output import tell
from harness.errors import BenchError, NothingStoredError
from harness.plan.costs import scorer_costs
from harness.plan.expand import select
from harness.plan.plan import Plan
from harness.report.figures import draw_figures
from harness.report.page import render_page
from harness.report.render.documents import Format
from harness.report.render.epochs import render_epochs
from harness.report.render.formats import render
from harness.report.render.layers import render_layers
from harness.report.render.ranking import render_model_ranking, render_ranking
from harness.run.outcome import Outcome, cached_outcome
from harness.run.prepare import plan_unopened
from harness.settings import Settings
from harness.store.records import Store, replace_file
from harness.suite import load_suite

FormatOption: TypeAlias = Annotated[Format, typer.Option(help="Output format.")]
AllOption: TypeAlias = Annotated[
    bool, typer.Option("--all", help="Print the tables for any number of cells.")
]
EpochsOption: TypeAlias = Annotated[
    bool, typer.Option("--epochs", help="Print how early is enough, instead of the AUROC tables.")
]
MarginOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="With --epochs: the largest loss of AUROC that counts as no loss; 0.01 by default.",
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

Render: TypeAlias = Callable[..., str]
"""Renders results; takes suite, title, format and console by name."""

REPORTS: dict[str, Callable[[Plan, Store], Render]] = {
    "--epochs": lambda plan, store: render_epochs,
    "--layers": lambda plan, store: partial(render_layers, plan=plan, store=store),
    "--ranking scorers": lambda plan, store: partial(
        render_ranking, costs=scorer_costs(plan, store)
    ),
    "--ranking models": lambda plan, store: render_model_ranking,
}
"""Reports printed instead of the AUROC tables, by option."""


def report(
    suite: SuitePath,
    format: FormatOption = "table",
    show_all: AllOption = False,
    errors: ErrorsOption = False,
    epochs: EpochsOption = False,
    margin: MarginOption = None,
    layers: LayersOption = False,
    ranking: RankingOption = None,
    figures: FiguresOption = None,
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
    ranked = ranking is not None
    name = _asked({"--epochs": epochs, "--layers": layers, f"--ranking {ranking}": ranked})
    if samples and html is None:
        raise BenchError("--samples are drawn for the page: name the file with --html FILE")
    if margin is not None and not epochs:
        raise BenchError("--margin is the margin of --epochs: give both")
    resolved = select(load_suite(suite, plugin, changes), only)
    settings, words = Settings(store, data), suite_words(suite, plugin, changes)
    with _no_collection():
        outcome = cached_outcome(plan_unopened(resolved, settings), settings)
        if not outcome.results:
            raise NothingStoredError(str(suite), store, shlex.join(words))
        tables = partial(render, standard_errors=errors, show_all=show_all)
        write = REPORTS[name](outcome.plan, Store(store)) if name else tables
        if margin is not None:
            write = partial(write, margin=margin)
        text = write(
            outcome.results,
            suite=resolved.name,
            changes=changes,
            title=resolved.title,
            format=format,
            console=Console(),
        )
    sys.stdout.write(text)
    if figures is not None:
        _write_figures(outcome, Store(store), figures, temperature)
    if html is not None:
        of_samples = temperature if samples else None
        page = render_page(
            resolved, outcome, Store(store), arguments=words, temperature=of_samples
        )
        _write_page(html, page)
    if outcome.pending:
        tell(
            f"{len(outcome.pending)} of {len(outcome.plan.cells)} cells are not computed yet; "
            f"bench run {shlex.join(words)}"
        )
    raise typer.Exit(outcome.exit_status)


def _asked(options: dict[str, bool]) -> str:
    """Return the option for a report instead of the AUROC tables; empty without such an option."""
    names = [name for name, wanted in options.items() if wanted]
    if len(names) > 1:
        raise BenchError(f"{' and '.join(names)} are different reports: choose one")
    return "".join(names)


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


def _write_page(path: Path, page: str) -> None:
    replace_file(path, page.encode())
    tell(f"{path} has the page, {path.stat().st_size / 1e6:.1f} MB")


def _write_figures(outcome: Outcome, store: Store, folder: Path, temperature: float) -> None:
    drawn = draw_figures(outcome.plan, outcome.results, store, folder, temperature=temperature)
    for note in drawn.notes:
        tell(note)
    tell(f"{len(drawn.files)} files of figures are in {folder}")
