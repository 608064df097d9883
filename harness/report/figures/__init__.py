"""Figures for suite results, made from the store; matplotlib is only imported for drawing."""

from __future__ import annotations

from harness.report.figures.gallery import Gallery, draw_figures

__all__ = ["Gallery", "draw_figures"]
