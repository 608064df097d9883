"""LaTeX tables are compiled, where Debian's texlive-latex-recommended and -science are there."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from harness.report.figures.ranking import draw_ranking
from harness.report.figures.style import save, style
from harness.report.ranking import ranking_table
from harness.report.render.epochs import render_epochs
from harness.report.render.formats import render
from harness.report.render.ranking import render_ranking
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
\begin{figure}\includegraphics[width=\linewidth]{ranking-scorers}\end{figure}
\end{document}
"""


def test_all_tables_and_a_figure_compile_without_a_change(tmp_path):
    results = story()
    words = {"suite": "story", "title": "A % title_", "format": "latex"}
    tables = [
        render(results, **words),
        render(results, **words, standard_errors=True, columns=["epoch"]),
        render_epochs(results, **words),
        render_ranking(results, {}, **words),
    ]
    ranked = ranking_table(results).ranked
    looks = {name: {"color": "black", "marker": "o"} for name in ranked.mean_ranks}
    with style():
        save(draw_ranking(ranked, looks, title="Title"), tmp_path / "ranking-scorers")
    path = tmp_path / "paper.tex"
    path.write_text(DOCUMENT.replace("TABLES", "\n".join(tables)), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
    done = subprocess.run([*command, path.name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 20_000
    assert "multiply defined" not in done.stdout
    assert "Missing character" not in (tmp_path / "paper.log").read_text(errors="replace")
