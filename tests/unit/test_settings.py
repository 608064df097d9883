"""Numbers of workers and threads."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness import settings as module
from harness.settings import Settings, share_processors

AUTOMATIC = Settings(store=Path("store"), data=Path("data"))


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch):
    monkeypatch.setattr(module, "processors", lambda: 8)


@pytest.mark.parametrize(("chains", "expected"), [(1, (1, 8)), (3, (3, 2)), (20, (8, 1))])
def test_threads_are_an_equal_share_of_the_processors(monkeypatch, chains, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert share_processors(AUTOMATIC, chains) == expected


@pytest.mark.parametrize(
    ("variable", "threads"),
    [("1", 1), (" 3 ", 3), ("4,2", 4), ("", 2), ("many", 2), ("0", 2), ("-1", 2), ("1.5", 2)],
)
def test_threads_follow_the_variable_of_openmp(monkeypatch, variable, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert share_processors(AUTOMATIC, 3) == (3, threads)


def test_the_option_comes_first(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert share_processors(replace(AUTOMATIC, threads=5), 3) == (3, 5)
