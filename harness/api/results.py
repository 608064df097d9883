"""Results of a suite: tables, rows, scores, comparisons, the page and figures."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from harness.api.compared import ComparedRuns
from harness.api.frames import data_frame
from harness.api.scores import Scores, find_scores
from harness.errors import BenchError
from harness.plan.costs import scorer_costs
from harness.regression.runs import Run
from harness.report.enough import MARGIN
from harness.report.looks import looks
from harness.report.render.documents import Rendered
from harness.report.render.epochs import render_epochs
from harness.report.render.formats import csv_columns, csv_rows, render
from harness.report.render.layers import render_layers
from harness.report.render.ranking import render_model_ranking, render_ranking
from harness.report.summary import summary
from harness.report.tables import provenance_notes
from harness.results import Cell
from harness.run.command import run_command, suite_words
from harness.run.outcome import Outcome
from harness.scoring.baselines import baseline_names
from harness.settings import Settings, data_folder
from harness.store.records import Store, replace_file
from harness.suite import ResolvedSuite
from harness.text import known_names

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console

    from harness.report.figures import Gallery

Report: TypeAlias = Literal["auroc", "epochs", "layers", "scorers", "models"]


class Results:
    """The results of a suite: a number for each cell, or the reason for a missing number.

    A notebook shows the tables; elsewhere the text of the object is that of `bench report`.

    Example:
        >>> import oodbench
        >>> suite = oodbench.load("quickstart")
        >>> try:
        ...     results = suite.run(store="an-empty-store", missing="report")
        ... except oodbench.BenchError as error:
        ...     print(str(error).partition(" are stored")[0])
        no results of quickstart
    """

    def __init__(
        self,
        suite: ResolvedSuite,
        outcome: Outcome,
        settings: Settings,
    ) -> None:
        self._suite, self._outcome, self._settings = suite, outcome, settings

    def __str__(self) -> str:
        """Return the tables, and the sentences below them."""
        return "\n".join([self.text(), *self.summary()]) + "\n"

    def __repr__(self) -> str:
        """Return the text without the line break at its end."""
        return str(self).rstrip("\n")

    def _repr_html_(self) -> str:
        lines = "<br>\n".join(map(html.escape, self.summary()))
        return f"{self.text(format='html')}<p>{lines}</p>\n"

    def __len__(self) -> int:
        """Return the number of results; pending cells have none."""
        return len(self._outcome.results)

    @property
    def cells(self) -> list[Cell]:
        """The cells with a result, in the order of the suite."""
        return [result.cell for result in self._outcome.results]

    @property
    def notes(self) -> list[str]:
        """The remarks on all numbers, as below the tables, each once."""
        return list(provenance_notes(self._outcome.results))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a row for each cell, with the columns of `bench report --format csv`."""
        return csv_rows(self._outcome.results)

    def to_dataframe(self) -> DataFrame:
        """Return the rows of `to_dicts` as a data frame.

        Raises:
            BenchError: pandas is not installed.
        """
        return data_frame(self.to_dicts(), csv_columns())

    def scores(self, cell: Cell | Mapping[str, Any] | None = None, /, **values: Any) -> Scores:
        """Return the scores of a cell, with the numbers of the examples behind each.

        Arguments:
            cell: One of `cells`, or a row of `to_dicts` or of a data frame.
            values: Values that tell the cell apart, for example `scorer="typicality"`; `in_`
                stands for `in`.

        Raises:
            BenchError: A value is unknown, or the cell has no number.
            NothingSelectedError: No cell or several cells have the values.
        """
        row = cell.as_row() if isinstance(cell, Cell) else dict({} if cell is None else cell)
        row |= {key.removesuffix("_"): value for key, value in values.items()}
        results = {result.cell: result for result in self._outcome.results}
        return find_scores(self._outcome.plan, results, row)

    def compare(self, a: str, b: str) -> ComparedRuns:
        """Compare two scorers, or two models, on the examples of both: B minus A.

        Arguments:
            a: Name of a scorer or model.
            b: Name of another one of the same kind.

        Raises:
            BenchError: A name is unknown.
            NothingSelectedError: No cell can be compared.
        """
        for axis in (Cell._fields.index("scorer"), Cell._fields.index("model")):
            of_a, of_b = (
                Run(name, {x.cell: x for x in self._outcome.results if x.cell[axis] == name})
                for name in (a, b)
            )
            if of_a.results and of_b.results:
                return ComparedRuns(of_a, of_b, {a: b})
        raise BenchError(self._unknown(a, b))

    def _unknown(self, a: str, b: str) -> str:
        scorers, models = ({getattr(cell, x) for cell in self.cells} for x in ("scorer", "model"))
        for name in (a, b):
            if name not in scorers | models:
                hint = known_names(name, scorers | models)
                return f"there is no scorer or model {name!r} ({hint})"
        return f"{a!r} and {b!r} are a scorer and a model: compare two of the same kind"

    @property
    def outcome(self) -> Outcome:
        """The plan, the results and the pending cells, in the terms of the harness."""
        return self._outcome

    @property
    def pending_note(self) -> str:
        """Number of cells not computed yet, and the command that computes them; else empty."""
        pending, cells = len(self._outcome.pending), len(self._outcome.plan.cells)
        if not pending:
            return ""
        only = self._suite.only.as_arguments()
        run = run_command(self._suite, self._settings, only)
        return f"{pending} of {cells} cells are not computed yet; {run}"

    def text(
        self,
        report: Report = "auroc",
        *,
        format: Rendered = "table",
        title: str | None = None,
        console: Console | None = None,
        **options: Any,
    ) -> str:
        """Return a report in a format of `bench report`, or as a piece of HTML.

        Arguments:
            report: AUROC tables; `"epochs"`, how early is enough; `"layers"`, which layers carry
                the scores; `"scorers"` or `"models"` ranked.
            format: `"table"`, `"markdown"`, `"latex"`, `"csv"`, `"json"` or `"html"`.
            title: Heading; the suite's title by default.
            console: Console that will print a table, for its width.
            options: For AUROC tables `standard_errors`, `show_all`, and `rows` and `columns`,
                lists of `"model"`, `"in"`, `"out"`, `"scorer"`, `"epoch"` or `"group_size"`;
                `margin` for epochs.
        """
        write = self._report(report)
        return write(
            self._outcome.results,
            suite=self._suite.name,
            changes=self._suite.changes,
            title=self._suite.title if title is None else title,
            format=format,
            console=console,
            **options,
        )

    def _report(self, report: Report) -> Callable[..., str]:
        plan, store = self._outcome.plan, Store(self._settings.store)
        reports: dict[str, Callable[[], Callable[..., str]]] = {
            "auroc": lambda: render,
            "epochs": lambda: render_epochs,
            "layers": lambda: partial(render_layers, plan=plan, store=store),
            "scorers": lambda: partial(render_ranking, costs=scorer_costs(plan, store)),
            "models": lambda: render_model_ranking,
        }
        if report not in reports:
            raise BenchError(f"there is no report {report!r} ({known_names(report, reports)})")
        return reports[report]()

    def summary(self) -> list[str]:
        """Return the sentences below the tables: the best scorer, failures, the next step."""
        outcome = self._outcome
        return summary(outcome.results, baseline_names(outcome.plan), len(outcome.pending))

    def page(
        self,
        path: str | Path,
        *,
        focus: Sequence[str] = (),
        temperature: float | None = None,
    ) -> Path:
        """Write a page with all results, a single HTML file for a browser.

        Arguments:
            path: The file.
            focus: Scorers in colour and shown at first, as for `figures`.
            temperature: Temperature of samples drawn from the models; None for no samples.

        Returns:
            The file.

        Raises:
            BenchError: A scorer in `focus` is unknown, or there are more than six.
        """
        from harness.report.page import render_page

        with data_folder(self._settings.data):
            page = render_page(
                self._suite,
                self._outcome,
                Store(self._settings.store),
                arguments=suite_words(self._suite),
                looks=looks(self._outcome.plan, self._outcome.results, focus),
                temperature=temperature,
            )
        replace_file(Path(path), page.encode())
        return Path(path)

    def figures(
        self,
        folder: str | Path,
        *,
        focus: Sequence[str] = (),
        width: Literal["one", "two"] = "two",
        margin: float = MARGIN,
        temperature: float = 1.0,
    ) -> Gallery:
        """Write the figures, each as PNG and PDF.

        Arguments:
            folder: The folder for the files.
            focus: Scorers in colour, at most six, the others grey; by default the likelihood,
                the paper's score, the best trivial baseline, and the best.
            width: Width of the figures for a paper: one of its two columns, or both.
            margin: The largest loss of AUROC that counts as no loss.
            temperature: Temperature of samples drawn from the models.

        Returns:
            The files, and notes on figures that could not be drawn.

        Raises:
            BenchError: A scorer in `focus` is unknown, or there are more than six.
        """
        from harness.report.figures import Drawing, draw_figures

        plan, results = self._outcome.plan, self._outcome.results
        drawing = Drawing(looks(plan, results, focus), width, margin, temperature)
        with data_folder(self._settings.data):
            return draw_figures(plan, results, Store(self._settings.store), Path(folder), drawing)
