"""Markdown, LaTeX, CSV and JSON, asserted whole."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import BenchError, ScoreError
from harness.report.render.formats import render
from harness.report.render.latex import latex_text
from harness.results import Cell
from tests.made_results import made_result


def result(
    scorer, out, auroc=None, *, status="failed", message="", seed=0, model="glow", **values
):
    cell = Cell(model, "cifar10", out, scorer, 10, 1, seed)
    if auroc is None:
        return made_result(cell, status, message)
    values = {"auroc_se": 0.012, "n_in": 500, "n_out": 500, "bits_per_dim_in": 3.5} | values
    return made_result(cell, "ok", auroc=auroc, **values)


def hostile():
    """Names that each of the formats could act on; every status; a note and reasons."""
    return [
        result("[fisher]", "a|b", 0.9, provenance={"notes": ["limit_10 & more"], "fit": "secret"}),
        result("[fisher]", "50%_x", 0.8),
        result("=cmd()", "a|b", 0.5, auroc_se=None),
        result("=cmd()", "50%_x", status="unsupported", message="no <b>gradient\n{x}"),
        result("*12e4*", "a|b", status="missing_data", message="~/data\\svhn: $HOME"),
        result("*12e4*", "<script>", message="-1^2 #3"),
    ]


def rendered(results, format, *, standard_errors=False):
    return render(
        results,
        suite="paper",
        title="A # title_\nof two lines",
        format=format,
        standard_errors=standard_errors,
    )


def test_markdown():
    expected = r"""
# A \# title\_ of two lines

## glow, in-distribution cifar10, group size 1

| scorer     |   epoch |   bits/dim |            a\|b |          50%\_x |   &lt;script> |
|:-----------|--------:|-----------:|----------------:|----------------:|--------------:|
| \[fisher\] |      10 |      3.500 | **0.900**±0.012 | **0.800**±0.012 |             - |
| =cmd()     |      10 |      3.500 |     0.500±0.250 |             n/a |             - |
| \*12e4\*   |      10 |      3.500 |   missing\_data |               - |        failed |

AUROC with out-of-distribution as the positive class: higher is better for detection, 0.5 is chance. Bold is the best of its column; \~ does not differ significantly from the best (paired test, p > 0.05, corrected for the choice of the best on these same groups). 1 of 3 numbers could not be compared with the best: fewer than 10 groups on a side, or scores, refits or some of the seeds are missing. Intervals and tests cover other test examples, but not differences between trainings. ± is the standard error. bits/dim is the mean over the in-distribution examples at that epoch. A dash marks a missing result. Groups scored: 500 in; out: 500 a\|b, 500 50%\_x.

- Note: limit\_10 &amp; more
- n/a (1 result): no &lt;b>gradient {x}
- missing\_data (1 result): \~/data\\svhn: \$HOME
- failed (1 result): -1^2 \#3
"""  # noqa: E501 (as printed)
    assert rendered(hostile(), "markdown", standard_errors=True) == expected.removeprefix("\n")


def test_latex():
    expected = r"""
% A # title_ of two lines
% needs \usepackage{booktabs}, \usepackage{siunitx} and \usepackage{graphicx}

\begin{table}
\centering\small\setlength{\tabcolsep}{4pt}
\caption{glow, in-distribution cifar10, group size 1.}
\label{tab:paper-glow-in-distribution-cifar10-group-size-1}
\sbox0{\begin{tabular}{l S[table-format=2.0] S[table-format=1.3] r r r}
\toprule
scorer & {epoch} & {bits/dim} & a\textbar{}b & 50\%\_x & \textless{}script\textgreater{} \\
\midrule
{[}fisher{]} & 10 & 3.500 & \textbf{0.900}$\pm$0.012 & \textbf{0.800}$\pm$0.012 & - \\
=cmd() & 10 & 3.500 & 0.500$\pm$0.250 & n/a & - \\
{*}12e4{*} & 10 & 3.500 & missing\_data & - & failed \\
\bottomrule
\end{tabular}}
\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi

\smallskip
\begin{minipage}{\linewidth}\footnotesize
AUROC with out-of-distribution as the positive class: higher is better for detection, 0.5 is chance.
Bold is the best of its column; $\sim$ does not differ significantly from the best (paired test, $p > 0.05$, corrected for the choice of the best on these same groups).
1 of 3 numbers could not be compared with the best: fewer than 10 groups on a side, or scores, refits or some of the seeds are missing.
Intervals and tests cover other test examples, but not differences between trainings.
$\pm$ is the standard error.
bits/dim is the mean over the in-distribution examples at that epoch.
A dash marks a missing result.
Groups scored: 500 in; out: 500 a\textbar{}b, 500 50\%\_x.
Note: limit\_10 \& more
n/a (1 result): no \textless{}b\textgreater{}gradient \{x\}
missing\_data (1 result): $\sim$/data\textbackslash{}svhn: \$HOME
failed (1 result): -1\textasciicircum{}2 \#3
\end{minipage}
\end{table}
"""  # noqa: E501 (as printed)
    assert rendered(hostile(), "latex", standard_errors=True) == expected.removeprefix("\n")


def test_latex_aligns_numbers_at_the_point_beside_their_marks():
    noise = np.random.default_rng(0).normal(size=(4, 40))
    sides = [{"scores_in": noise[k], "scores_out": noise[k + 1] + 1} for k in (0, 2)]
    results = [
        result("a", "o", 0.75, n_in=40, n_out=40, auroc_low=0.6, auroc_high=0.8, **sides[0]),
        result("b", "o", 0.76, n_in=40, n_out=40, **sides[1]),
        result("c", "o", 0.1, auroc_low=0.05, auroc_high=0.2),
        result("d", "o", status="unsupported"),
    ]
    bound = {"provenance": {"likelihood": "lower_bound"}}
    results.append(result("a", "p", 0.5, bits_per_dim_in=13.5, **bound))
    lines = rendered(results, "latex").splitlines()
    (head,) = (line for line in lines if r"\begin{tabular}" in line)
    bold = "detect-weight=true, mode=text"
    assert head.count("S[") == 4
    assert r"S[table-format=1.3, table-space-text-pre={$\le$}]" in head
    assert rf"S[table-format=1.3, table-space-text-post={{$^{{\sim}}$}}, {bold}]" in head
    assert r"a & 10 & {$\le$}3.500 & 0.750{$^{\sim}$} & \bfseries 0.500 \\" in lines
    assert r"b & 10 & {$\le$}3.500 & \bfseries 0.760 & {--} \\" in lines
    assert r"c & 10 & {$\le$}3.500 & 0.100{!} & {--} \\" in lines
    assert r"d & 10 & {$\le$}3.500 & {n/a} & {--} \\" in lines


def test_latex_names_a_block_of_rows_once_and_labels_each_table():
    results = [
        replace(one, cell=one.cell._replace(epoch=epoch, model=model))
        for model in ("m", "M")
        for epoch in (4, 16)
        for one in (result("a", "o", 0.9), result("b", "o", 0.8))
    ]
    lines = rendered(results, "latex").splitlines()
    labels = [line for line in lines if line.startswith(r"\label")]
    name = "tab:paper-m-in-distribution-cifar10-group-size-1"
    assert labels == [rf"\label{{{name}}}", rf"\label{{{name}-1}}"]
    begin = lines.index(r"\midrule") + 1
    starts = [line.split("&")[0].strip() for line in lines[begin : begin + 5]]
    assert starts == ["a", "", r"\addlinespace", "b", ""]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("p <= 0.05", r"$p \le 0.05$"),
        ("(Nemenyi, p = 0.05).", "(Nemenyi, $p = 0.05$)."),
        ("p = 2.3e-05.", r"$p = \num{2.3e-05}$."),
        ("map > 0.5", r"map \textgreater{} 0.5"),
    ],
)
def test_latex_prints_p_values_as_mathematics(words, expected):
    assert latex_text(words) == expected


def arranged(rows=(), columns=()):
    results = [
        replace(one, cell=one.cell._replace(epoch=epoch, scorer=scorer))
        for scorer, aurocs in (("s", {16: 0.9, 4: 0.8}), ("a", {16: 0.7, 4: 0.95}))
        for epoch, auroc in aurocs.items()
        for one in (result("", "o", auroc), result("", "p", auroc - 0.1))
    ]
    text = render(results, suite="x", title="t", format="markdown", rows=rows, columns=columns)
    return [line for line in text.splitlines() if line.startswith(("|", "##"))]


def test_rows_and_columns_are_arranged_and_keep_their_marks():
    assert arranged(columns=["epoch"]) == [
        "## glow, in-distribution cifar10, group size 1",
        "| out   | scorer   |   epoch 4 |   epoch 16 |",
        "|:------|:---------|----------:|-----------:|",
        "| o     | s        |     0.800 |      0.900 |",
        "| o     | a        | **0.950** |      0.700 |",
        "| p     | s        |     0.700 |      0.800 |",
        "| p     | a        | **0.850** |      0.600 |",
    ]
    tables = arranged(rows=["scorer"], columns=["out"])
    assert [line for line in tables if line.startswith("##")] == [
        "## glow, in-distribution cifar10, epoch 4, group size 1",
        "## glow, in-distribution cifar10, epoch 16, group size 1",
    ]
    assert tables[1] == "| scorer   |         o |         p |"
    every = arranged(rows=["model", "in", "group_size"], columns=["scorer", "epoch", "out"])
    assert every[0] == "## AUROC"
    assert every[1].startswith("| model   | in      | b   |   s, epoch 4, o |   s, epoch 4, p |")


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (["score"], [], r"--rows: there is no 'score' .*did you mean 'scorer'"),
        ([], ["seed"], "--columns: there is no 'seed' to arrange by"),
        (["out"], ["out"], "out cannot make both rows and columns"),
    ],
)
def test_axes_that_make_no_table(rows, columns, expected):
    with pytest.raises(BenchError, match=expected):
        arranged(rows, columns)


def test_rows_of_csv_are_results():
    with pytest.raises(BenchError, match="csv has a row for each result"):
        render([], suite="x", title="t", format="csv", columns=["epoch"])


def test_markdown_and_latex_show_seeds_and_spread():
    results = [
        result("a", "o", auroc, seed=seed, model=model)
        for model in ("m", "n")
        for seed, auroc in enumerate((0.9, 0.92, 0.91))
    ]
    results.append(result("b", "o", 0.5, seed=0, model="n"))
    shown = {
        format: [
            line
            for line in rendered(results, format, standard_errors=True).splitlines()
            if line.lstrip("| ").startswith(("a ", "b "))
        ]
        for format in ("markdown", "latex")
    }
    assert shown == {
        "markdown": [
            "| a        |      10 | 3.500 ±0.000 | **0.910** ±0.010 |",
            "| a        |      10 | 3.500 ±0.000 |      **0.910** ±0.010 |",
            r"| b        |      10 | 3.500 ±0.000 | 0.500 (0.012) \[1/3\] |",
        ],
        "latex": [
            r"a & 10 & 3.500 $\pm$0.000 & \textbf{0.910} $\pm$0.010 \\",
            r"a & 10 & 3.500 $\pm$0.000 & \textbf{0.910} $\pm$0.010 \\",
            r"b & 10 & 3.500 $\pm$0.000 & 0.500 (0.012) {[}1/3{]} \\",
        ],
    }


def test_tied_numbers_keep_their_mark():
    noise = np.random.default_rng(0).normal(size=(4, 40))
    sides = [{"scores_in": noise[k], "scores_out": noise[k + 1] + 1} for k in (0, 2)]
    results = [
        result(name, "o", auroc, n_in=40, n_out=40, **scores)
        for (name, auroc), scores in zip((("a", 0.75), ("b", 0.76)), sides, strict=True)
    ]
    assert "| a        |      10 |      3.500 |   0.750\\~ |\n" in rendered(results, "markdown")
    assert r"0.750{$^{\sim}$} \\" in rendered(results, "latex")


def test_no_results():
    title = r"# A \# title\_ of two lines"
    assert rendered([], "markdown") == f"{title}\n\nThere are no results.\n"
    assert rendered([], "latex").startswith("% A # title_ of two lines\n% needs ")
    assert rendered([], "json") == '{\n  "suite": "paper",\n  "set": [],\n  "results": []\n}\n'
    assert rendered([], "csv").startswith("model,in,out,")
    assert rendered([], "csv").count("\n") == 1


def test_csv_has_a_row_per_result_and_no_formula():
    expected = r"""
model,in,out,scorer,epoch,group_size,seed,status,message,auroc,auroc_se,auroc_se_examples,auroc_se_fit,auroc_low,auroc_high,aupr,fpr95,n_in,n_out,n_fit,bits_per_dim_in,bits_per_dim_out,ovl,ovl_scores,aupr_in,bits_per_dim_midpoint_in,bits_per_dim_midpoint_out,likelihood,over_seeds_seeds,over_seeds_se,over_seeds_auroc,over_seeds_se_examples,over_seeds_se_fit,over_seeds_se_training,over_seeds_low,over_seeds_high,published_value,published_se,published_low,published_high,published_difference,published_within_error,published_source,beaten_by
glow,cifar10,a|b,[fisher],10,1,0,ok,,0.9,0.012,0.012,0.0,0.9,0.9,0.5,0.5,500,500,0,3.5,,,0.5,0.5,,,,,,,,,,,,,,,,,,,
glow,cifar10,50%_x,[fisher],10,1,0,ok,,0.8,0.012,0.012,0.0,0.8,0.8,0.5,0.5,500,500,0,3.5,,,0.5,0.5,,,,,,,,,,,,,,,,,,,
glow,cifar10,a|b,'=cmd(),10,1,0,ok,,0.5,0.25,0.25,0.0,0.5,0.5,0.5,0.5,500,500,0,3.5,,,0.5,0.5,,,,,,,,,,,,,,,,,,,
glow,cifar10,50%_x,'=cmd(),10,1,0,unsupported,"no <b>gradient
{x}",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
glow,cifar10,a|b,*12e4*,10,1,0,missing_data,~/data\svhn: $HOME,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
glow,cifar10,<script>,*12e4*,10,1,0,failed,'-1^2 #3,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
"""
    assert rendered(hostile(), "csv") == expected.removeprefix("\n")


def test_csv_holds_what_json_does():
    names = ["=a", "+a", "-a", "@a", "\ta", "a=", "a,b", 'a"b', "1e5", " =a"]
    results = [result(name, "o", -0.25, aupr=1e-17, message="=x") for name in names]
    rows = list(csv.DictReader(io.StringIO(rendered(results, "csv"))))
    found = json.loads(rendered(results, "json"))["results"]
    published = ("value", "se", "low", "high", "difference", "within_error", "source")
    apart = ("published", "provenance", "beaten_by", "over_seeds")
    over_seeds = ("seeds", "se", "auroc", "se_examples", "se_fit", "se_training", "low", "high")
    assert list(rows[0]) == [
        *(key for key in found[0] if key not in apart),
        *(f"over_seeds_{name}" for name in over_seeds),
        *(f"published_{name}" for name in published),
        "beaten_by",
    ]
    for name, row, values in zip(names, rows, found, strict=True):
        assert row["scorer"] == (f"'{name}" if name[0] in "=+-@\t" else name)
        assert (float(row["auroc"]), float(row["aupr"])) == (values["auroc"], values["aupr"])
        assert row["ovl"] == ""


def test_json_is_every_result_in_full():
    expected = r"""
{
  "suite": "paper",
  "set": [],
  "results": [
    {
      "model": "glow",
      "in": "cifar10",
      "out": "a|b",
      "scorer": "[fisher]",
      "epoch": 10,
      "group_size": 1,
      "seed": 0,
      "status": "ok",
      "message": "",
      "auroc": 0.9,
      "auroc_se": 0.012,
      "auroc_se_examples": 0.012,
      "auroc_se_fit": 0.0,
      "auroc_low": 0.9,
      "auroc_high": 0.9,
      "aupr": 0.5,
      "fpr95": 0.5,
      "n_in": 500,
      "n_out": 500,
      "n_fit": 0,
      "bits_per_dim_in": 3.5,
      "bits_per_dim_out": null,
      "ovl": null,
      "ovl_scores": 0.5,
      "aupr_in": 0.5,
      "bits_per_dim_midpoint_in": null,
      "bits_per_dim_midpoint_out": null,
      "likelihood": null,
      "published": null,
      "beaten_by": [],
      "provenance": {
        "notes": [
          "limit_10 & more"
        ],
        "fit": "secret"
      },
      "over_seeds": null
    },
    {
      "model": "glow",
      "in": "cifar10",
      "out": "50%_x",
      "scorer": "=cmd()",
      "epoch": 10,
      "group_size": 1,
      "seed": 0,
      "status": "unsupported",
      "message": "no <b>gradient\n{x}",
      "auroc": null,
      "auroc_se": null,
      "auroc_se_examples": null,
      "auroc_se_fit": null,
      "auroc_low": null,
      "auroc_high": null,
      "aupr": null,
      "fpr95": null,
      "n_in": null,
      "n_out": null,
      "n_fit": null,
      "bits_per_dim_in": null,
      "bits_per_dim_out": null,
      "ovl": null,
      "ovl_scores": null,
      "aupr_in": null,
      "bits_per_dim_midpoint_in": null,
      "bits_per_dim_midpoint_out": null,
      "likelihood": null,
      "published": null,
      "beaten_by": [],
      "provenance": {},
      "over_seeds": null
    }
  ]
}
"""
    assert rendered(hostile()[:4:3], "json") == expected.removeprefix("\n")


@pytest.mark.parametrize(
    ("likelihood", "sign", "about"),
    [
        ("exact", "", "examples at that epoch; the log-probability is exact."),
        (
            "lower_bound",
            "≤",
            "≤ is an upper bound of bits/dim, from a lower bound of the log-prob",
        ),
        ("estimate", "≈", "≈ is an estimate, no bound; models with another sign are not ranked"),
    ],
)
def test_bits_per_dim_have_the_sign_of_the_likelihood(likelihood, sign, about):
    """A lower bound of the log-probability is an upper bound of bits per dimension."""
    results = [result("s", "o", 0.9, provenance={"likelihood": likelihood})]
    text = " ".join(rendered(results, "table").split())
    assert f" {sign}3.500 " in text
    assert about in text
    bound_of_noise = "in expectation, at least the bits/dim of the integer images."
    assert (bound_of_noise in text) == (likelihood != "estimate")
    assert [each for each in "≤≈" if each in text] == list(sign)
    markdown = rendered(results, "markdown")
    assert f"{sign}3.500 |" in markdown
    others = render(results, suite="x", title="t", format="markdown", columns=["epoch"])
    words = {"exact": "exact", "lower_bound": "a lower bound", "estimate": "an estimate"}
    assert f"The log-probability is {words[likelihood]} (glow)." in others
    latex = rendered(results, "latex")
    assert {"": "& 3.500", "≤": r"& {$\le$}3.500", "≈": r"& {$\approx$}3.500"}[sign] in re.sub(
        " +", " ", latex
    )
    (row,) = csv.DictReader(io.StringIO(rendered(results, "csv")))
    assert (row["likelihood"], row["bits_per_dim_in"]) == (likelihood, "3.5")
    assert json.loads(rendered(results, "json"))["results"][0]["likelihood"] == likelihood


def test_an_unnormalised_model_has_no_bits_per_dim():
    values = {"bits_per_dim_in": None, "provenance": {"likelihood": "unnormalized"}}
    text = " ".join(rendered([result("s", "o", 0.9, **values)], "table").split())
    assert 'There is no bits/dim: glow does not declare likelihood = "exact"' in text
    assert "bits/dim is the mean" not in text


def test_the_same_results_give_the_same_bytes():
    for format in ("table", "markdown", "latex", "csv", "json"):
        assert rendered(hostile(), format) == rendered(hostile(), format)
        assert rendered(hostile(), format).endswith("\n")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_json_refuses_what_is_not_finite_and_says_where(bad):
    fine = result("s", "o", 0.5)
    with pytest.raises(ScoreError) as raised:
        rendered([fine, result("t", "o", 0.5, fpr95=bad)], "json")
    assert str(raised.value) == (
        "glow, cifar10 against o, t, epoch 10, group size 1, seed 0: fpr95 is not finite"
    )
    with pytest.raises(ScoreError) as raised:
        rendered([result("s", "o", 0.5, provenance={"a": [bad]})], "json")
    assert str(raised.value).endswith("seed 0: provenance is not finite")


def test_reports_import_neither_torch_nor_sklearn_nor_what_another_format_needs():
    code = (
        "import sys, harness.report\n"
        "loaded = {'torch', 'torchvision', 'sklearn', 'scipy', 'matplotlib', 'rich', 'tabulate'}\n"
        "print(sorted(loaded & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
