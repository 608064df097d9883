"""What README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from harness.suite import load_suite
from oodbench.testing import assert_conforms, check_scorer

README = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return found


def test_the_scorer_of_the_example_conforms():
    names = {}
    exec(block("python"), names)
    (entry,) = names["bench_scorers"]()
    assert entry.name == "relative-norm"
    assert_conforms(check_scorer(names["RelativeNorm"]))


def test_the_suite_of_the_example_is_valid(write_suite):
    suite = load_suite(write_suite(block("toml")))
    (comparison,) = suite.suite.comparisons
    assert suite.out_datasets(comparison, "mine") == ("noise",)


def test_the_commands_are_those_of_ci():
    check = Path(__file__).parents[2].joinpath("scripts", "check").read_text(encoding="utf-8")
    assert "    uv run pytest\n" in README
    assert '\nuv run pytest "$@"\n' in check
    assert "    uv run bench run suites/quickstart.toml\n" in README
