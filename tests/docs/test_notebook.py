"""The notebook is the page "From Python", and its code works in a kernel."""

from __future__ import annotations

import importlib
import json

import pytest

from tests.environments import ROOT


@pytest.fixture
def notebook(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("notebook")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """No file of the user is read or written."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def code(cells):
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def text_of(cell):
    """What a cell shows: its last value as text."""
    values = [item["data"] for item in cell["outputs"] if "data" in item]
    return "".join(values[-1]["text/plain"]) if values else ""


def test_the_written_notebook_has_the_cells_of_the_page(notebook):
    written = json.loads(notebook.NOTEBOOK.read_text(encoding="utf-8"))
    cells = list(notebook.cells(notebook.PAGE.read_text(encoding="utf-8")))
    assert ["".join(cell["source"]) for cell in written["cells"]] == [
        cell["source"] for cell in cells
    ], "run: python scripts/notebook.py"
    assert all(cell["outputs"] for cell in written["cells"] if cell["cell_type"] == "code")
    for path in (str(ROOT), "/tmp"):
        assert path not in notebook.NOTEBOOK.read_text(encoding="utf-8")


def test_the_notebook_runs(notebook, kernel, tmp_path):
    found = notebook.executed(notebook.PAGE.read_text(encoding="utf-8"), tmp_path)
    cells = [cell for cell in found.cells if cell["cell_type"] == "code"]
    shown = dict(zip(code(cells), cells, strict=True))
    (results,) = (cell for source, cell in shown.items() if source.endswith("\nresults"))
    (data,) = (item["data"] for item in results["outputs"] if "data" in item)
    assert "<table>" in data["text/html"]
    assert "AUROC with out-of-distribution as the positive class" in data["text/plain"]
    (note,) = (cell for source, cell in shown.items() if source == "in_memory.notes[0]")
    assert "a suite alone cannot reproduce" in text_of(note)
    assert (tmp_path / "report.html").is_file()
    last = text_of(cells[-1])
    assert last.startswith("array([")
    assert last.count(",") == 2
