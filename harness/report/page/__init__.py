"""The report page: one HTML file with everything in it, made from what is stored."""

from __future__ import annotations

from harness.report.page.build import render_page

__all__ = ["render_page"]
