"""Write `examples/python.ipynb`, the notebook of the tutorial "From Python", with its outputs.

The page is the source: its text and code blocks are the cells. A test compares both and runs the
notebook.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import v4

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tutorials" / "python.md"
NOTEBOOK = ROOT / "examples" / "python.ipynb"


def cells(text: str) -> Iterator[Any]:
    """The cells of a notebook with the text and the code of a page."""
    for number, part in enumerate(re.split(r"^```python\n(.*?)^```\n", text, flags=re.M | re.S)):
        if part.strip():
            cell = v4.new_code_cell if number % 2 else v4.new_markdown_cell
            yield cell(part.strip(), id=f"cell-{number}")


def executed(text: str, folder: Path) -> Any:
    """The notebook of a page, run in a folder; an error in a cell is raised."""
    notebook = v4.new_notebook(cells=list(cells(text)))
    places = {"BENCH_STORE": str(folder / "store"), "BENCH_DATA": str(folder / "data")}
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    return client.execute(env={**os.environ, **places})


def without_progress(notebook: Any) -> Any:
    """The notebook without progress, times and the version of Python, which differ each time."""
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [item for item in cell.outputs if item.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        found = without_progress(executed(PAGE.read_text(encoding="utf-8"), Path(made)))
    nbformat.write(found, NOTEBOOK)
    sys.stdout.write(f"{NOTEBOOK.relative_to(ROOT)}\n")
