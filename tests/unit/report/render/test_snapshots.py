"""What `bench report` and the end of `bench run` print, at several widths, whole."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from statistics import median

import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.metrics.estimates import Estimate
from harness.plan.costs import Cost
from harness.report.epochs import early_enough, epoch_tables
from harness.report.layers import CellLayers, Layer, LayerTable
from harness.report.render.digest import MOST_CELLS
from harness.report.render.documents import render_sheets
from harness.report.render.epochs import render_epochs
from harness.report.render.formats import render
from harness.report.render.layers import sheet as layer_sheet
from harness.report.render.published import published_sheets
from harness.report.render.ranking import render_ranking
from harness.report.render.terminal import wrapped
from harness.report.summary import summary
from tests.unit.report.render.snapshots import assert_snapshot
from tests.unit.report.story import OUTS, SCORERS, TITLE, story

STYLES = re.compile(r"\x1b\[[0-9;]*m")


def bare(text):
    """The text without styles, and so without blanks that have no ground of their own."""
    return "".join(f"{line.rstrip()}\n" for line in STYLES.sub("", text).splitlines())


def console_of(width=None, **environment):
    """A terminal of a width, or a pipe."""
    options = {"force_terminal": True, "legacy_windows": False} if width else {}
    return Console(
        file=io.StringIO(),
        width=width,
        color_system="truecolor" if width else None,
        _environ={"TERM": "xterm-256color"} | environment,
        **options,
    )


def shown(console, **options):
    results = story()
    text = render(results, suite="story", title=TITLE, format="table", console=console, **options)
    return text + "\n" + wrapped(summary(results), console)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal(width):
    text = shown(console_of(width))
    assert_snapshot(f"report-tty-{width}", text)
    plain = STYLES.sub("", text)
    assert max(cell_len(line) for line in plain.splitlines()) <= width
    assert "…" not in plain
    assert "\x1b" not in plain


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_pipe_knows_no_width(width):
    """`COLUMNS` is that of the terminal, not of the pipe."""
    assert_snapshot("report-pipe", shown(console_of(COLUMNS=str(width))))


def shown_epochs(console):
    return render_epochs(story(), suite="story", title=TITLE, format="table", console=console)


def shown_layers(console):
    """Two cells of a scorer, with six layers each."""
    cells = [
        CellLayers(
            result.cell,
            result.metrics.auroc,
            [
                Layer(
                    f"blocks.{k}.coupling.weight",
                    Estimate(auroc, 0.02, 0.0, None, auroc - 0.04, auroc),
                )
                for k, auroc in enumerate((1.0, 0.871, 0.652, 0.5, 0.333, 0.1))
            ],
            90,
            90,
        )
        for result in story()[2:4]
    ]
    table = LayerTable("glow", "cifar10", 1, "50%_x", None, cells, "epoch")
    return render_sheets([layer_sheet(table)], title=TITLE, format="table", console=console)


def shown_ranking(console):
    costs = {"50%_x": Cost(0.0123, 0.0, 0), "[red]typicality": Cost(12.0, 1234.4, 3)}
    return render_ranking(
        story(), costs, suite="story", title=TITLE, format="table", console=console
    )


def shown_published(console):
    return render_sheets(published_sheets(story()), title=TITLE, format="table", console=console)


def shown_digest(console):
    """Eleven stories, as of eleven seeds."""
    results = [
        replace(result, cell=result.cell._replace(seed=seed))
        for seed in range(11)
        for result in story()
    ]
    assert len(results) > MOST_CELLS
    return render(results, suite="story", title=TITLE, format="table", console=console)


KINDS = {
    "epochs": shown_epochs,
    "layers": shown_layers,
    "ranking": shown_ranking,
    "published": shown_published,
    "digest": shown_digest,
}


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_other_tables_with_and_without_colour(kind, width):
    text = KINDS[kind](console_of(width))
    plain = KINDS[kind](console_of(width, NO_COLOR="1"))
    assert_snapshot(f"{kind}-tty-{width}", text)
    assert_snapshot(f"{kind}-tty-{width}-no-colour", plain)
    assert bare(plain) == bare(text)
    assert max(cell_len(line) for line in STYLES.sub("", text).splitlines()) <= width
    assert "…" not in text
    assert "48;2" not in plain
    assert ("48;2" in text) == (kind != "published")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_auroc_tables_without_colour(width):
    assert_snapshot(f"report-tty-{width}-no-colour", shown(console_of(width, NO_COLOR="1")))


def test_a_digest_names_the_ways_to_all_results():
    """It has the ranking, the extremes and the epochs, and is left aside where all are wanted."""
    text = shown_digest(console_of())
    titles = ["Scorers by mean rank", "Best cells", "Worst cells", "How early is enough"]
    assert [line for line in text.splitlines() if line in titles] == titles
    assert text.splitlines()[-1] == (
        "This is a digest of 2,112 cells: --format csv has all numbers, --html FILE makes a page "
        "that sorts and filters them, and --all prints all tables."
    )
    assert "failed (66 results): the loss is nan at epoch 16, step 3" in text


def test_extremes_are_those_of_all_cells():
    blocks = shown_digest(console_of()).split("\n\n")
    best, worst = (
        [line.split()[0] for line in blocks[blocks.index(title) + 1].splitlines()[2:]]
        for title in ("Best cells", "Worst cells")
    )
    numbers = {}
    for found in story():
        if found.metrics is not None:
            cell = found.cell
            place = (cell.scorer, cell.model, cell.out_dataset)
            numbers.setdefault(place, []).append(f"{found.metrics.auroc:.3f}")
    assert [word[:5] for word in best] == sorted(map(max, numbers.values()), reverse=True)[:10]
    assert [word[:5] for word in worst] == sorted(map(min, numbers.values()))[:10]
    assert all("!" in word for word in worst)
    assert not any("!" in word for word in best)


def test_all_results_are_shown_if_asked_for_and_below_the_limit():
    few = story() * 5  # 960, the later of the same cell counts
    options = {"suite": "s", "title": "t", "format": "table"}
    assert render(few, **options) == render(few, **options, show_all=True)
    many = story() * 11
    assert render(many, **options, show_all=True) == render(few, **options)
    assert render(many, **options) != render(few, **options)
    for format in ("csv", "json", "markdown", "latex"):
        assert "This is a digest" not in render(many, suite="s", title="t", format=format)


def test_the_early_enough_summary_has_the_medians_of_its_rows():
    (table,) = epoch_tables(story()[:72])  # of glow, for groups of one
    found, judged, places = early_enough(story()[:72], 5_000)
    assert (judged, places) == (6, 6)
    assert [early.scorer for early in found] == list(SCORERS)
    for early in found:
        rows = [row for row in table.rows if row.scorer == early.scorer]
        answers = [answer for row in rows for answer in row.answers if answer.rule == "last"]
        shown = [answer for answer in answers if answer.training_saved is not None]
        assert (early.rows, early.shown) == (len(answers), len(shown))
        if shown:
            assert early.epoch == median(answer.epoch for answer in shown)
            assert early.saved == median(answer.training_saved for answer in shown)
    few, judged, places = early_enough(story()[:72], 24)
    assert (judged, places) == (2, 6)
    assert {early.rows for early in few} == {2}
    assert few == early_enough(story()[:72], 24)[0]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_standard_errors(width):
    assert_snapshot(f"report-errors-tty-{width}", shown(console_of(width), standard_errors=True))


def test_every_width_has_the_same_numbers():
    """Splitting and stacking loses none and repeats none but those that describe a row."""

    def numbers(text):
        return sorted(re.findall(r"0\.\d{3}[*~]?!?#?", STYLES.sub("", text)))

    whole = numbers(shown(console_of()))
    for width in (40, 60, 80, 100, 200):
        assert numbers(shown(console_of(width))) == whole


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_colour_leaves_no_colour(width):
    text = shown(console_of(width, NO_COLOR="1"))
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", text) for code in found.split(";")}
    assert codes <= {"0", "1"}  # bold is no colour
    assert bare(text) == bare(shown(console_of(width)))


def test_a_dumb_terminal_gets_no_escape_sequence():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, _environ={"TERM": "dumb"})
    text = shown(console)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_names_come_out_as_themselves():
    """No name of a suite is markup, a formula, a comment, a row or a column."""
    pipe = shown(console_of())
    markdown = render(story(), suite="story", title=TITLE, format="markdown")
    latex = render(story(), suite="story", title=TITLE, format="latex")
    for name in (TITLE, *OUTS, *SCORERS):
        assert name in pipe
        escaped = markdown.replace("\\", "").replace("&lt;", "<").replace("&amp;", "&")
        assert name in escaped
    assert "<script>" not in markdown
    assert "[red]typ" not in markdown.replace("\\[", "")
    assert "50\\%\\_x" in latex
    tables = latex.partition(r"\begin{table}")[2]
    labels = re.compile(r"\\label\{tab:[a-z0-9-]+\}")
    assert not re.search(r"(?<!\\)[%_#]", labels.sub("", tables))
    assert r"a\textbar{}b" in latex
    assert r"\textless{}script\textgreater{}alert(1)" in latex
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    first = [row for row in rows if "log-likelihood" in row]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in first} == {3 + len(OUTS) + 1}
