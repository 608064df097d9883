"""Page assembly: all data is gathered, embedded, and inserted into the template."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from harness.report.epochs import epoch_tables
from harness.report.epochs import to_json as epoch_row
from harness.report.looks import Looks
from harness.report.page.budget import ByteBudget, by_importance
from harness.report.page.distributions import details
from harness.report.page.examples import Examples
from harness.report.page.facts import gather
from harness.report.page.layers import LayerBands
from harness.report.page.rows import look_data, row_data
from harness.report.page.trainings import sample_data, training_data
from harness.report.summary import summary
from harness.results import Cell, Result, bits_unit_of, unit_of
from harness.run.outcome import Outcome
from harness.scoring.baselines import baseline_names
from harness.store.records import Store
from harness.suite import ResolvedSuite
from harness.text import one_line

if TYPE_CHECKING:
    from jinja2 import Environment


STYLES = ("page.css",)
SCRIPTS = (
    *("data.js", "address.js", "table.js", "charts.js", "matrix.js", "models.js"),
    *("cell.js", "training.js", "page.js"),
)

DETAILS, LAYERS, EXAMPLES, SAMPLES = 2_200_000, 2_200_000, 2_200_000, 1_000_000
"""Maximum bytes for each kind of picture; less important cells have no picture."""

MOST_ROWS = 20_000
"""Maximum number of cells for comparing epochs: each comparison needs many tests."""

ACTING = "<>&\u2028\u2029"
"""Characters that could end or change a script element; JSON escapes keep the same meaning."""


def render_page(
    suite: ResolvedSuite,
    outcome: Outcome,
    store: Store,
    *,
    arguments: Sequence[str] | None,
    looks: Looks,
    temperature: float | None = None,
) -> str:
    """Render the report for a suite into a single self-contained HTML file.

    The same results give the same bytes.

    Arguments:
        suite: Resolved suite.
        outcome: Results and pending cells.
        store: Store with statistics and checkpoints.
        arguments: Command-line arguments that name the suite and plugins, not quoted; None if no
            command can compute the results.
        looks: Looks of scorers, models and data sets.
        temperature: Temperature for samples drawn from stored checkpoints, which imports torch;
            None leaves samples out.
    """
    results = {result.cell: result for result in outcome.results}
    data = {
        "suite": one_line(suite.name),
        "command": _command(arguments, ()),
        **row_data(outcome.plan, results),
        "looks": look_data(outcome.plan, looks),
        **_pictures(outcome, results, store),
        "unit": unit_of(outcome.results),
        "bits": bits_unit_of(outcome.results),
        "trainings": training_data(outcome.plan, store),
        "epochs": _epochs(outcome.results),
        "samples": {"sheets": [], "notes": [], "temperature": temperature},
    }
    if temperature is not None:
        sheets, notes = sample_data(outcome.plan, store, temperature, ByteBudget(SAMPLES))
        data["samples"] |= {"sheets": sheets, "notes": notes}
    style, script = _joined(STYLES), _joined(SCRIPTS)
    template = _environment().get_template("page.html")
    return template.render(
        title=one_line(suite.title),
        suite=one_line(suite.name),
        sentences=summary(outcome.results, baseline_names(outcome.plan), len(outcome.pending)),
        facts=gather(suite, outcome.plan, outcome.results, len(outcome.pending)),
        cells=len(outcome.plan.cells),
        command=_command(arguments, outcome.plan.only.as_arguments()),
        only=[one_line(text) for text in outcome.plan.only.as_arguments()],
        reference=one_line(outcome.plan.reference.source) if outcome.plan.reference else "",
        unit=data["unit"],
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=embedded(data),
    )


def _command(arguments: Sequence[str] | None, only: Sequence[str]) -> str:
    """Format the shell command that computes the results on the page; empty if there is none."""
    if arguments is None:
        return ""
    selected = [word for text in only for word in ("--only", text)]
    return shlex.join(["bench", "run", *arguments, *selected])


def embedded(data: Any) -> str:
    """Format JSON for direct use in a script element: no name can end the element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in ACTING:
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _pictures(outcome: Outcome, results: dict[Cell, Result], store: Store) -> dict[str, Any]:
    """Collect the pictures for single cells, most important first, within the byte budgets."""
    plan = outcome.plan
    layers = LayerBands(plan, store, ByteBudget(LAYERS))
    examples = Examples(plan, ByteBudget(EXAMPLES))
    budget, found = ByteBudget(DETAILS), {}
    for row in by_importance(plan, results):
        planned = plan.cells[row]
        result = results[planned.cell]
        assert result.scores_in is not None, "rows by importance have scores"
        assert result.scores_out is not None, "rows by importance have scores"
        if budget.left > 0:
            item = details(result.scores_in, result.scores_out)
            if budget.take(len(embedded(item))):
                found[row] = item
        layers.add(planned)
        examples.add(row, planned, result)
    return {"details": found, "layers": layers.data(), "examples": examples.data()}


def _epochs(results: Sequence[Result]) -> dict[str, Any]:
    """Collect the answers to how early is enough."""
    if len(results) > MOST_ROWS:
        return {"rows": [], "most": MOST_ROWS}
    names = ("model", "in", "out", "scorer")
    rows = [
        epoch_row(table, row, answer)
        for table in epoch_tables(results)
        for row in table.rows
        for answer in row.answers
    ]
    shown = [row | {name: one_line(row[name]) for name in names} for row in rows]
    return {"rows": shown, "most": MOST_ROWS}


def _joined(names: Sequence[str]) -> str:
    folder = resources.files("harness.report.page") / "assets"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _hash(text: str) -> str:
    """Hash a style or script for the content security policy of the page."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("harness.report.page", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
