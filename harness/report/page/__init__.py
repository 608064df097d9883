"""Report page: a self-contained HTML file, made from stored results."""

from __future__ import annotations

from harness.report.page.build import render_page

__all__ = ["render_page"]
