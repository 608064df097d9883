"""Reports: what results say, as tables, files and sentences."""

from __future__ import annotations

from harness.report.epochs_text import render_epochs
from harness.report.formats import Format, render
from harness.report.layers_text import render_layers
from harness.report.ranking_text import render_ranking
from harness.report.summary import summary
from harness.report.tables import Table, auroc_tables

__all__ = [
    "Format",
    "Table",
    "auroc_tables",
    "render",
    "render_epochs",
    "render_layers",
    "render_ranking",
    "summary",
]
