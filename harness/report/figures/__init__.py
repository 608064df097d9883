"""Figures of a suite's results, from what is stored; matplotlib is imported when one is drawn."""

from __future__ import annotations

from harness.report.figures.gallery import Gallery, draw_figures

__all__ = ["Gallery", "draw_figures"]
