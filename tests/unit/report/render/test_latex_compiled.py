"""LaTeX tables are compiled, where Debian's texlive-latex-recommended and -science are there."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from harness.report.figures.curves import curves_figure
from harness.report.figures.gallery import suite_figures
from harness.report.figures.series import by_seeds, training_results
from harness.report.figures.style import Drawing, save, style
from harness.report.looks import looks
from harness.report.render.epochs import render_epochs
from harness.report.render.formats import render
from harness.report.render.ranking import render_ranking
from tests.made_suites import made_plan, made_results
from tests.unit.report.story import story


def is_installed():
    if not (shutil.which("pdflatex") and shutil.which("kpsewhich")):
        return False
    return all(
        subprocess.run(["kpsewhich", name], capture_output=True).returncode == 0
        for name in ("booktabs.sty", "siunitx.sty")
    )


pytestmark = [
    pytest.mark.latex,
    pytest.mark.skipif(
        not is_installed(),
        reason="no booktabs and siunitx here; "
        "apt-get install texlive-latex-recommended texlive-science",
    ),
]

DOCUMENT = r"""
\documentclass{article}
\usepackage{booktabs}
\usepackage{siunitx}
\usepackage{graphicx}
\begin{document}
TABLES
FIGURES
\end{document}
"""
FIGURE = r"\begin{figure}\includegraphics[width=\linewidth]{NAME}\end{figure}"


def compiled(folder, tables, figures):
    """Compile a paper of tables and figures, and return what LaTeX said."""
    with style():
        for name, figure in figures.items():
            save(figure, folder / name)
    pictures = "\n".join(FIGURE.replace("NAME", name) for name in figures)
    text = DOCUMENT.replace("TABLES", "\n".join(tables)).replace("FIGURES", pictures)
    (folder / "paper.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
    done = subprocess.run([*command, "paper.tex"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "multiply defined" not in done.stdout
    log = (folder / "paper.log").read_text(errors="replace")
    assert "Missing character" not in log
    return log


def test_all_kinds_of_tables_compile_without_a_change(tmp_path):
    results = story()
    words = {"suite": "story", "title": "A % title_", "format": "latex"}
    tables = [
        render(results, **words),
        render(results, **words, standard_errors=True, columns=["epoch"]),
        render_epochs(results, **words),
        render_ranking(results, {}, **words),
    ]
    compiled(tmp_path, tables, {})


def test_three_tables_and_three_figures_of_the_quickstart_make_a_paper(tmp_path):
    plan = made_plan("quickstart")
    results = made_results(plan)
    words = {"suite": "quickstart", "title": "Quickstart", "format": "latex"}
    at_once = [x for x in results if x.cell.group_size == 1 and x.cell.model == "glow-linear"]
    tables = [
        render(at_once, **words, columns=["epoch"]),
        render_epochs(at_once, **words),
        render_ranking(results, {}, **words),
    ]
    assert [table.count(r"\begin{table}") for table in tables] == [1, 1, 1]
    drawing = Drawing(looks(plan, results))
    (seeds,) = [x for x in by_seeds(training_results(plan, results, None)) if len(x[0].epochs) > 1]
    with style():
        found = dict(suite_figures(results, drawing))
        names = "heatmap-b1", "ranking-scorers"
        figures = {name: found[name] for name in names}
        figures["auroc@glow-linear@digits"] = curves_figure(seeds, drawing, "auroc")
        log = compiled(tmp_path, tables, figures)
    for name in figures:
        assert f"{name}.pdf" in log.replace("\n", "")
    assert not [fault for fault in ("Overfull", "Float too large") if fault in log]
