"""The tables on terminals of several widths, asserted whole."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.report import page
from harness.report.render.documents import render_sheets
from harness.report.render.formats import render
from harness.report.render.sheets import CellText, TextTable
from harness.results import Cell
from tests.made_results import made_result

LONG = "gaussian-noise-of-many-levels"
CAPTION_80 = """\
AUROC with out-of-distribution as the positive class: higher is better for
detection, 0.5 is chance.
* is the best of its column; ~ does not differ significantly from the best
(paired test, p > 0.05, corrected for the choice of the best on these same
groups).
"""
COVERAGE_80 = """\
Intervals and tests cover other test examples, but not differences between
trainings.
"""
CAPTION_WIDE = (
    "AUROC with out-of-distribution as the positive class: higher is better for detection, "
    "0.5 is chance.\n"
    "* is the best of its column; ~ does not differ significantly from the best (paired test, "
    "p > 0.05, corrected for the choice of the best on these same groups).\n"
    "4 of 16 numbers could not be compared with the best: fewer than 10 groups on a side, or "
    "scores, refits or some of the seeds are missing.\n"
    "Intervals and tests cover other test examples, but not differences between trainings.\n"
)


def result(scorer, out, auroc=None, *, epoch=10, seed=0, status="failed", message="", **values):
    cell = Cell("glow", "cifar10", out, scorer, epoch, 1, seed)
    if auroc is None:
        return made_result(cell, status, message, provenance=values.get("provenance", {}))
    values = {"auroc_high": 0.9, "n_in": 500, "n_out": 500, "bits_per_dim_in": 3.5} | values
    values = {"auroc_se": 0.012} | values
    return made_result(cell, "ok", auroc=auroc, **values)


def plain():
    """Two scorers, two epochs and four out data sets, one of them with a long name."""
    outs = ["svhn", "celeba", LONG, "textures"]
    return [
        result(scorer, out, level + epoch / 1000 + 0.01 * i, epoch=epoch)
        for scorer, level in (("log-likelihood", 0.1), ("layer-gradients", 0.9))
        for epoch in (20, 0)
        for i, out in enumerate(outs)
    ]


def hostile():
    """Names and messages that a terminal, rich or a spreadsheet could act on; every status."""
    red = "=cmd()\x1b[31m"
    return [
        result("[fisher]", "a|b", 0.9),
        result("[fisher]", "50%_x", 0.8),
        result("[fisher]", "<script>", 0.8),
        result("[/x]", "a|b", 0.91),
        result("[/x]", "50%_x", status="unsupported", message="no [bold]gradient[/bold]\nof it"),
        result(red, "a|b", status="missing_data", message="not here"),
        result(red, "[red]"),
    ]


def seeds():
    """Three seeds of two scorers, one of which failed once."""
    scores = {"scores_in": np.arange(500.0), "scores_out": np.arange(500.0) + 270}
    best = [
        result("a", "svhn", auroc, seed=seed, bits_per_dim_in=3 + seed / 10, **scores)
        for seed, auroc in enumerate((0.9, 0.92, 0.91))
    ]
    other = [(0.5, ""), (None, "boom"), (0.6, "")]
    return best + [
        result("b", "svhn", auroc, seed=seed, message=message, **scores)
        for seed, (auroc, message) in enumerate(other)
    ]


def shown(results, width=None, *, standard_errors=False, title="Suite paper", color_system=None):
    """The text for a terminal of a width, or for a file."""
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=width is not None,
        color_system=color_system,
        legacy_windows=False,
    )
    return render(
        results,
        suite="paper",
        title=title,
        format="table",
        standard_errors=standard_errors,
        console=console,
    )


def assert_shown(text, expected):
    assert text == expected.removeprefix("\n")


def test_wide_terminal_shows_all_columns():
    assert_shown(
        shown(plain(), 200),
        f"""
Suite paper

glow, in-distribution cifar10, group size 1

scorer           epoch  bits/dim    svhn  celeba  gaussian-noise-of-many-levels  textures
─────────────────────────────────────────────────────────────────────────────────────────
log-likelihood       0     3.500  0.100   0.110                          0.120     0.130
log-likelihood      20     3.500  0.120   0.130                          0.140     0.150
layer-gradients      0     3.500  0.900   0.910                          0.920     0.930
layer-gradients     20     3.500  0.920*  0.930*                         0.940*    0.950*

{CAPTION_WIDE}bits/dim is the mean over the in-distribution examples at that epoch.
Groups scored: 500 in, 500 out.
""",
    )


def test_terminal_of_80_columns_folds_a_long_name():
    assert_shown(
        shown(plain(), 80),
        f"""
Suite paper

glow, in-distribution cifar10, group size 1

                                                       gaussian-
                                                  noise-of-many-
scorer           epoch  bits/dim    svhn  celeba          levels  textures
──────────────────────────────────────────────────────────────────────────
log-likelihood       0     3.500  0.100   0.110           0.120     0.130
log-likelihood      20     3.500  0.120   0.130           0.140     0.150
layer-gradients      0     3.500  0.900   0.910           0.920     0.930
layer-gradients     20     3.500  0.920*  0.930*          0.940*    0.950*

{CAPTION_80}4 of 16 numbers could not be compared with the best: fewer than 10 groups on a
side, or scores, refits or some of the seeds are missing.
{COVERAGE_80}bits/dim is the mean over the in-distribution examples at that epoch.
Groups scored: 500 in, 500 out.
""",
    )


def test_heads_are_folded_at_every_hyphen_before_a_table_is_split():
    outs = ["china-inverted", "colour-constant", "colour-noise", "flower"]
    results = [result("s" * 24, out, 0.5 + k / 10) for k, out in enumerate(outs)]
    body = shown(results, 80).partition("AUROC")[0]
    assert body.splitlines()[4:7] == [
        "                                             china-   colour-  colour-",
        "scorer                    epoch  bits/dim  inverted  constant    noise  flower",
        "──────────────────────────────────────────────────────────────────────────────",
    ]


def test_names_are_not_markup_and_every_status_is_a_word():
    assert_shown(
        shown(hostile(), 80, title="[bold] :smile:"),
        f"""
[bold] :smile:

glow, in-distribution cifar10, group size 1

scorer          epoch  bits/dim           a|b   50%_x  <script>   [red]
───────────────────────────────────────────────────────────────────────
[fisher]           10     3.500        0.900   0.800*    0.800*       -
[/x]               10     3.500        0.910*     n/a         -       -
=cmd()\\x1b[31m     10     3.500  missing_data       -         -  failed

{CAPTION_80}1 of 4 numbers could not be compared with the best: fewer than 10 groups on a
side, or scores, refits or some of the seeds are missing.
{COVERAGE_80}bits/dim is the mean over the in-distribution examples at that epoch.
A dash marks a missing result.
Groups scored: 500 in; out: 500 a|b, 500 50%_x, 500 <script>.
n/a (1 result): no [bold]gradient[/bold] of it
missing_data (1 result): not here
failed (1 result)
""",
    )


def test_seeds_are_shown_as_mean_and_spread():
    assert_shown(
        shown(seeds(), 80),
        f"""
Suite paper

glow, in-distribution cifar10, group size 1

scorer  epoch      bits/dim                 svhn
────────────────────────────────────────────────
a          10  3.100 ±0.100  0.910* ±0.010
b          10  3.100 ±0.100  0.550  ±0.071 [2/3]

{CAPTION_80}1 of 2 numbers could not be compared with the best: fewer than 10 groups on a
side, or scores, refits or some of the seeds are missing.
Intervals and tests cover other test examples and other trainings (3 seeds).
Mean ± standard deviation over 3 seeds.
[k/3] is the mean of k seeds: the other seeds have no number.
bits/dim is the mean over the in-distribution examples at that epoch.
Groups scored: 500 in, 500 out.
failed (1 result): boom
""",
    )


def test_seeds_with_standard_errors():
    assert_shown(
        shown(seeds(), 80, standard_errors=True),
        f"""
Suite paper

glow, in-distribution cifar10, group size 1

scorer  epoch      bits/dim                         svhn
────────────────────────────────────────────────────────
a          10  3.100 ±0.100  0.910* ±0.010 (0.009)
b          10  3.100 ±0.100  0.550  ±0.071 (0.009) [2/3]

{CAPTION_80}1 of 2 numbers could not be compared with the best: fewer than 10 groups on a
side, or scores, refits or some of the seeds are missing.
Intervals and tests cover other test examples and other trainings (3 seeds).
Mean ± standard deviation over 3 seeds.
[k/3] is the mean of k seeds: the other seeds have no number.
In parentheses: the standard error of the mean.
bits/dim is the mean over the in-distribution examples at that epoch.
Groups scored: 500 in, 500 out.
failed (1 result): boom
""",
    )


def test_no_results_is_said():
    assert_shown(
        shown([], 80),
        """
Suite paper
There are no results.
""",
    )


def test_off_a_terminal_no_line_is_cut_or_folded():
    wide = [result("s" * 60, "o" * 60, 0.5), result("s" * 60, "p" * 60, 0.6)]
    for results in (plain(), hostile(), seeds(), wide):
        assert shown(results) == shown(results, 400)
        piped = Console(file=io.StringIO(), width=40)
        assert shown(results) == render(
            results, suite="paper", title="Suite paper", format="table", console=piped
        )
        assert shown(results) == render(
            results, suite="paper", title="Suite paper", format="table"
        )


@pytest.mark.parametrize("standard_errors", [False, True])
@pytest.mark.parametrize(
    "results", [plain(), hostile(), seeds()], ids=["plain", "hostile", "seeds"]
)
def test_no_number_is_cropped_at_any_width(results, standard_errors):
    def numbers(text):
        return sorted(word for word in text.split() if word[0] in "0123456789±(" and "." in word)

    def body(text):
        return text.partition("AUROC")[0]

    whole = body(shown(results, 400, standard_errors=standard_errors))
    for width in range(5, 120):
        text = shown(results, width, standard_errors=standard_errors)
        # the numbers that describe a row are repeated in each part of a split table
        assert set(numbers(body(text))) == set(numbers(whole))
        assert "…" not in text
        if width >= 42:
            assert max(len(line) for line in text.splitlines()) <= width


def test_best_is_bold_and_keeps_its_mark():
    text = shown([result("a", "o", 0.9), result("b", "o", 0.5)], 80, color_system="standard")
    assert "\x1b[1m0.900*\x1b[0m" in text
    assert "\x1b[1m0.500" not in text
    shaded = shown([result("a", "o", 0.9), result("b", "o", 0.5)], 80, color_system="truecolor")
    assert re.search(r"\x1b\[1;[\d;]*m0\.900\*\x1b\[0m", shaded)
    assert not re.search(r"\x1b\[1;[\d;]*m0\.500", shaded)


def test_aurocs_have_the_colours_of_the_page(monkeypatch):
    """Paper, ink, tints and their share are read from the page's own files."""
    assets = Path(page.__file__).parent / "assets"
    css = (assets / "page.css").read_text(encoding="utf-8")
    names = ("paper", "ink", "good", "bad")
    pairs = {
        name: re.search(rf"--{name}: light-dark\(#(\w+), #(\w+)\)", css).groups() for name in names
    }
    (share,) = re.findall(
        r"Math\.abs\(auroc - 0\.5\) \* 2 \* (\d+)", (assets / "matrix.js").read_text("utf-8")
    )
    for ground, place in (("15;0", 1), ("0;15", 0)):
        monkeypatch.setenv("COLORFGBG", ground)
        colours = {name: bytes.fromhex(pair[place]) for name, pair in pairs.items()}
        text = shown([result("a", "o", 0.9), result("b", "o", 0.2)], 80, color_system="truecolor")
        for auroc, tint in (("0.900", "good"), ("0.200", "bad")):
            part = round(abs(float(auroc) - 0.5) * 2 * int(share)) / 100
            mixed = [
                int(a + (b - a) * part)
                for a, b in zip(colours["paper"], colours[tint], strict=True)
            ]
            ink = ";".join(map(str, colours["ink"]))
            style = f"38;2;{ink};48;2;{';'.join(map(str, mixed))}m"
            assert re.search(re.escape(style) + rf"( |\x1b\[[\d;]*m)*{auroc}", text)


@pytest.mark.parametrize("ground", ["15;0", "0;15"])
def test_of_256_colours_each_step_is_another_one(monkeypatch, ground):
    monkeypatch.setenv("COLORFGBG", ground)
    results = [result("a", f"o{k}", k / 20) for k in range(21)]
    text = shown(results, 400, color_system="256")
    found = re.findall(r"48;5;(\d+)m", text)
    steps = list(dict.fromkeys(found))
    assert len(steps) == 5 + (ground == "0;15")
    assert found == sorted(found, key=steps.index)
    assert "48;2" not in text


@pytest.mark.parametrize("color_system", ["256", "truecolor"])
def test_a_number_that_is_no_auroc_has_the_strongest_shade(color_system):
    beyond = shown([result("a", "o", -0.5), result("a", "p", 1.5)], 80, color_system=color_system)
    most = shown([result("a", "o", 0.0), result("a", "p", 1.0)], 80, color_system=color_system)
    found = [re.findall(r"48;[\d;]+", text) for text in (beyond, most)]
    assert found[0] == found[1] != []


def test_an_auroc_near_chance_keeps_the_ground_of_the_terminal():
    text = shown([result("a", "o", 0.52), result("b", "o", 0.48)], 80, color_system="truecolor")
    assert "48;" not in text


@pytest.mark.parametrize("color_system", [None, "standard"])
def test_without_enough_colours_nothing_is_shaded(color_system):
    results = [result("a", "o", 0.9), result("b", "o", 0.1, auroc_high=0.2)]
    text = shown(results, 80, color_system=color_system)
    assert "48;" not in text
    assert ("\x1b[31m!\x1b[0m" in text) == (color_system is not None)


def test_names_stand_on_the_ground_and_numbers_at_the_right():
    results = [result("x", "a", 0.5), result("x", "two-part names of it", 0.75)]
    assert shown(results, 44).splitlines()[4:10] == [
        "                                   two-",
        "                                   part",
        "                                  names",
        "scorer  epoch  bits/dim       a   of it",
        "───────────────────────────────────────",
        "x          10     3.500  0.500*  0.750*",
    ]


@pytest.mark.parametrize("width", [30, 34, 46])
def test_a_cell_that_does_not_fit_is_folded_at_blanks_and_keeps_its_styles(width):
    results = [result("a long-name", "o", 0.9, seed=k) for k in range(2)]
    text = shown(results, width, standard_errors=True, color_system="standard")
    assert "\x1b[1m0.900*\x1b[0m" in text
    assert "±0.000" in text
    assert "…" not in text


def test_wide_characters_are_folded_by_their_cells():
    text = shown([result("尤度" * 12, "o", 0.9)], 40)
    assert max(map(cell_len, text.splitlines())) <= 40
    assert "".join(line.split()[0] for line in text.splitlines()[4:] if "尤" in line)
    assert sum(line.count("尤") + line.count("度") for line in text.splitlines()) % 24 == 0


def test_an_encoding_that_lacks_characters_gets_a_question_mark():
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    options = {"suite": "s", "title": "t", "format": "table"}
    text = render([result("ä", "o", 0.9)], **options, console=Console(file=raw))
    assert text.splitlines()[4:7] == [
        "scorer  epoch  bits/dim       o",
        "-------------------------------",
        "?          10     3.500  0.900*",
    ]
    assert text.isascii()


def test_a_stream_that_is_not_unicode_gets_what_it_can_show():
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=raw, width=80, force_terminal=True, color_system=None)
    text = render(
        [result("ä", "o", 0.9)],
        suite="s",
        title="t",
        format="table",
        standard_errors=True,
        console=console,
    )
    raw.write(text)
    raw.flush()
    assert text.splitlines()[4:7] == [
        "scorer  epoch  bits/dim             o",
        "-------------------------------------",
        "?          10     3.500  0.900*?0.012",
    ]


def test_wide_characters_take_two_cells():
    text = shown([result("尤度", "画像", 0.9)])
    assert text.splitlines()[4:7] == [
        "scorer  epoch  bits/dim    画像",
        "───────────────────────────────",
        "尤度       10     3.500  0.900*",
    ]


def test_reasons_and_notes_stand_below_the_table():
    results = [result("s", f"o{i}", message=f"reason {i}") for i in range(22)]
    results += [result("s", "x", 0.5, provenance={"notes": ["fit = in", "limit\n10"], "fit": "f"})]
    text = shown(results)
    assert text.splitlines()[-23:-20] == [
        "Note: fit = in",
        "Note: limit 10",
        "failed (1 result): reason 0",
    ]
    assert text.splitlines()[-2:] == [
        "failed (1 result): reason 19",
        "and 2 more reasons, which --format json lists",
    ]
    assert "['f']" not in text


def test_two_blanks_are_between_columns_wherever_a_table_is_divided():
    names = [CellText("0.900", auroc=0.9), CellText("scorer-x"), CellText("1"), CellText("2")]
    sheet = TextTable("t", ("AUROC", "scorer", "group size", "seed"), [names], 1, 2, (), ())
    options = {"force_terminal": True, "color_system": None, "legacy_windows": False}
    console = Console(file=io.StringIO(), width=23, **options)
    text = render_sheets([sheet], title="t", format="table", console=console)
    assert text.splitlines()[4:11] == [
        "AUROC  scorer",
        "───────────────",
        "0.900  scorer-x",
        "",
        "AUROC  group size  seed",
        "───────────────────────",
        "0.900           1     2",
    ]
