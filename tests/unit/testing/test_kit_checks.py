"""How checks are run, expected to fail, and asserted."""

from __future__ import annotations

import subprocess
import sys

import pytest

import oodbench.testing
from harness.testing.checks import Fault, NotApplicable, run_checks
from harness.testing.datasets import DATASET_CHECKS
from harness.testing.models import MODEL_CHECKS
from harness.testing.scorers import SCORER_CHECKS
from harness.testing.statistics import STATISTIC_CHECKS
from oodbench.testing import Check, assert_conforms


def good(subject):
    """Always."""


def remarks(subject):
    """With a remark."""
    return f"seen {subject}"


def bad(subject):
    """Never."""
    raise Fault("it is bad")


def breaks(subject):
    """With an error of the plugin's."""
    raise KeyError("loc")


def irrelevant(subject):
    """Not here."""
    raise NotApplicable("it has no wings")


ALL = (good, remarks, bad, breaks, irrelevant)


def run(expected_failures=None, functions=ALL):
    return run_checks(functions, "bird", expected_failures or {})


def test_all_checks_run_whatever_the_others_find():
    good, remarks, bad, breaks, irrelevant = run()
    assert good == Check("good", "passed", "", "Always.")
    assert remarks == Check("remarks", "passed", "seen bird", "With a remark.")
    assert bad == Check("bad", "failed", "it is bad", "Never.")
    assert breaks.outcome == "failed"
    assert breaks.message.startswith("raised KeyError: 'loc' (test_kit_checks.py:")
    assert irrelevant == Check("irrelevant", "skipped", "it has no wings", "Not here.")


def test_an_interrupt_is_no_failure():
    def interrupted(subject):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(functions=(interrupted,))


def test_an_expected_failure_keeps_its_reason():
    checks = run({"bad": "known since 1.2"}, (good, bad))
    message = "known since 1.2 (found: it is bad)"
    assert checks[1] == Check("bad", "expected failure", message, "Never.")
    assert_conforms(checks)


@pytest.mark.parametrize(
    ("name", "outcome"), [("good", "passed"), ("remarks", "passed"), ("irrelevant", "skipped")]
)
def test_an_expected_failure_that_does_not_happen_is_a_failure(name, outcome):
    (check,) = (check for check in run({name: "was bad"}) if check.name == name)
    message = f"{outcome}, but expected to fail (was bad): expect it no longer"
    assert (check.name, check.outcome, check.message) == (name, "failed", message)


def test_an_unknown_expected_failure():
    with pytest.raises(ValueError, match=r"^unknown check 'god' \(did you mean 'good'\?\)$"):
        run({"god": "?"})


def test_the_assertion_lists_every_failure():
    checks = [Check("a", "passed"), Check("b", "failed", "x"), Check("c", "failed", "y")]
    with pytest.raises(AssertionError) as error:
        assert_conforms(checks)
    assert str(error.value) == "2 of 3 checks failed:\n  b: x\n  c: y"


def test_skipped_checks_conform():
    assert_conforms([Check("a", "skipped", "no wings"), Check("b", "passed")])


def test_no_checks_are_no_conformance():
    with pytest.raises(AssertionError, match=r"^no check was run$"):
        assert_conforms([])


@pytest.mark.parametrize("checks", [MODEL_CHECKS, SCORER_CHECKS, STATISTIC_CHECKS, DATASET_CHECKS])
def test_every_check_has_its_name_and_says_what_it_means(checks):
    names = [check.__name__ for check in checks]
    assert len(set(names)) == len(names)
    for check in checks:
        first = check.__doc__.partition("\n")[0]
        assert first.endswith(".")


def test_the_public_names():
    assert oodbench.testing.__all__ == sorted(oodbench.testing.__all__)
    for name in oodbench.testing.__all__:
        assert getattr(oodbench.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'check_bird'"):
        oodbench.testing.check_bird  # noqa: B018


def test_checking_scorers_and_datasets_needs_no_torch():
    code = (
        "import sys; from oodbench.testing import check_scorer, check_dataset; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
