"""README is short, and its example works as printed."""

from __future__ import annotations

import re
from pathlib import Path

from oodbench.testing import assert_conforms, check_scorer

ROOT = Path(__file__).parents[2]
README = ROOT.joinpath("README.md").read_text(encoding="utf-8")


def test_the_scorer_of_the_example_conforms():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(code, names)
    (entry,) = names["bench_scorers"]()
    assert entry.name == "relative-norm"
    assert_conforms(check_scorer(names["RelativeNorm"]))


def test_the_commands_are_those_of_ci():
    check = ROOT.joinpath("scripts", "check").read_text(encoding="utf-8")
    assert "    uv run pytest\n" in README
    assert '\nuv run pytest "$@"\n' in check
    assert "    uv run bench run suites/quickstart.toml\n" in README


def test_it_is_read_in_a_few_minutes():
    assert len(README.splitlines()) <= 150


def test_nothing_is_installed_from_a_registry_by_name():
    for path in [ROOT / "README.md", *ROOT.joinpath("docs").rglob("*.md")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pip install '?\"?oodbench(?!-)", text), path
