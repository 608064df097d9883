"""`bench report`: the results of a suite from what is stored."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli.arguments import DataOption, OnlyOption, PluginOption, StoreOption, SuitePath

if TYPE_CHECKING:
    from harness.run.outcome import Outcome
    from harness.settings import Settings
    from harness.suite import ResolvedSuite


def report(
    suite: SuitePath,
    format: Annotated[
        Literal["table", "markdown", "latex", "csv", "json"],
        typer.Option(help="What to print."),
    ] = "table",
    errors: Annotated[bool, typer.Option("--errors", help="Show standard errors.")] = False,
    epochs: Annotated[
        bool,
        typer.Option("--epochs", help="How early is enough, instead of the AUROC tables."),
    ] = False,
    layers: Annotated[
        bool,
        typer.Option("--layers", help="Which layers carry the scores, instead of the tables."),
    ] = False,
    ranking: Annotated[
        bool,
        typer.Option("--ranking", help="The scorers ranked, with their costs, instead."),
    ] = False,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="DIR", help="Also write figures there, PNG and PDF."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write a page with all of it there."),
    ] = None,
    samples: Annotated[
        bool,
        typer.Option("--samples", help="Draw samples of the models for the page; takes PyTorch."),
    ] = False,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Of the samples in the figures and on the page.")
    ] = 1.0,
    only: OnlyOption = None,
    plugin: PluginOption = None,
    store: StoreOption = None,
    data: DataOption = None,
) -> None:
    """Print results from what is stored.

    Nothing is trained or evaluated.
    """
    from rich.console import Console

    from harness.errors import BenchError, NothingSelectedError
    from harness.plan.costs import scorer_costs
    from harness.plan.expand import select
    from harness.report.render.epochs import render_epochs
    from harness.report.render.formats import render
    from harness.report.render.layers import render_layers
    from harness.report.render.ranking import render_ranking
    from harness.run.outcome import cached_outcome
    from harness.run.prepare import plan_unopened
    from harness.settings import Settings, default_data, default_store
    from harness.store.records import Store
    from harness.suite import load_suite

    asked = {"--epochs": epochs, "--layers": layers, "--ranking": ranking}
    reports = [name for name, wanted in asked.items() if wanted]
    if len(reports) > 1:
        raise BenchError(f"{' and '.join(reports)} are two reports: ask for one of them")
    if samples and html is None:
        raise BenchError("--samples are drawn for the page: name its file by --html FILE")
    resolved = select(load_suite(suite, plugin or ()), only or ())
    settings = Settings(store=store or default_store(), data=data or default_data())
    with _no_collection():
        outcome = cached_outcome(plan_unopened(resolved, settings), settings)
    if not outcome.results:
        raise NothingSelectedError(f"nothing of {suite} is stored yet; bench run {suite}")
    write = render_epochs if epochs else partial(render, standard_errors=errors)
    if layers:
        write = partial(render_layers, plan=outcome.plan, store=Store(settings.store))
    if ranking:
        costs = scorer_costs(outcome.plan, Store(settings.store))
        write = partial(render_ranking, costs=costs)
    with _no_collection():
        text = write(
            outcome.results,
            suite=resolved.name,
            title=resolved.suite.title or resolved.name,
            format=format,
            console=Console(),
        )
    sys.stdout.write(text)
    if figures is not None:
        _write_figures(outcome, settings, figures, temperature)
    if html is not None:
        arguments = [str(suite), *(f"--plugin={name}" for name in plugin or ())]
        of_samples = temperature if samples else None
        _write_page(resolved, outcome, settings, html, arguments, of_samples)
    if outcome.pending:
        sys.stderr.write(
            f"{len(outcome.pending)} of {len(outcome.plan.cells)} cells are not computed yet; "
            f"bench run {suite}\n"
        )
    raise typer.Exit(outcome.exit_status)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage meanwhile, nor later in what stays: among 100,000 results it is slow."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()


def _write_figures(outcome: Outcome, settings: Settings, folder: Path, temperature: float) -> None:
    from harness.cli.output import tell
    from harness.report.figures import draw_figures
    from harness.store.records import Store

    drawn = draw_figures(
        outcome.plan, outcome.results, Store(settings.store), folder, temperature=temperature
    )
    for note in drawn.notes:
        tell(note)
    tell(f"{len(drawn.files)} files of figures are in {folder}")


def _write_page(
    suite: ResolvedSuite,
    outcome: Outcome,
    settings: Settings,
    path: Path,
    arguments: list[str],
    temperature: float | None,
) -> None:
    from harness.cli.output import tell
    from harness.report.page import render_page
    from harness.store.records import Store, replace_file

    store = Store(settings.store)
    page = render_page(suite, outcome, store, arguments=arguments, temperature=temperature)
    replace_file(path, page.encode())
    tell(f"{path} has the page, {path.stat().st_size / 1e6:.1f} MB")
