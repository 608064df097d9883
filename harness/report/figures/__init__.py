"""Figures for suite results, made from the store; matplotlib is only imported for drawing."""

from __future__ import annotations

from harness.report.figures.gallery import Gallery, draw_figures
from harness.report.figures.style import Drawing

__all__ = ["Drawing", "Gallery", "draw_figures"]
