"""Results of checks, a function that runs a list of checks, and an assertion for tests."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from harness.errors import NotFittedError
from harness.text import known_names

UINT8 = re.compile(r"Byte|unsigned char|uint8")
SINGLE, DOUBLE = re.compile(r"\b([Ff]loat|float32)\b"), re.compile(r"\b([Dd]ouble|float64)\b")
"""Names of dtypes in the messages of torch."""
NO_KERNEL = "from the 'Lazy' backend"
"""In the messages of torch about an operation on an emulated device that torch runs by itself."""

Outcome: TypeAlias = Literal["passed", "failed", "skipped", "expected failure"]
Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Check:
    """The outcome of one conformance check.

    Attributes:
        name: Name of the check, used in `expected_failures`.
        outcome: `"passed"`, `"failed"`, `"skipped"` or `"expected failure"`. If a failure was
            expected and the check does not fail, the outcome is `"failed"`.
        message: The problem and its remedy, the reason for skipping, or a remark on a check with
            outcome `"passed"`.
        meaning: The requirement that the check tests, in one sentence.

    Examples:
        >>> from oodbench.testing import Check
        >>> check = Check("finite", "failed", "2 of 40 scores are NaN or infinite")
        >>> check.outcome
        'failed'
        >>> check.message
        '2 of 40 scores are NaN or infinite'
    """

    name: str
    outcome: Outcome
    message: str = ""
    meaning: str = ""


class Fault(Exception):
    """A failed check: describes the problem and its remedy for the author of the plugin."""


class NotApplicable(Exception):
    """A skipped check: says why the check does not apply to the plugin."""


def run_checks(
    functions: Sequence[Callable[[Subject], str | None]],
    subject: Subject,
    expected_failures: Mapping[str, str],
) -> list[Check]:
    """Run every check, independently of the results from the others.

    Arguments:
        functions: The checks. A check has the name of its function, and its meaning is the first
            line of the docstring.
        subject: The object under test, passed to every check.
        expected_failures: Reasons for expected failures, by check name.

    Raises:
        ValueError: `expected_failures` names a check that does not exist.
    """
    names = [function.__name__ for function in functions]
    for name in expected_failures:
        if name not in names:
            raise ValueError(f"unknown check {name!r} ({known_names(name, names)})")
    return [
        _strict(_run_one(function, subject), expected_failures.get(function.__name__))
        for function in functions
    ]


def assert_conforms(checks: Iterable[Check]) -> None:
    """Fail a test with the messages from all failed checks.

    Arguments:
        checks: Results from one of the `check_*` functions.

    Raises:
        AssertionError: A check failed, or the list is empty.

    Examples:
        >>> from oodbench.testing import Check, assert_conforms
        >>> assert_conforms([Check("finite", "passed"), Check("refit", "skipped")])
        >>> assert_conforms([Check("finite", "failed", "a score is NaN")])
        Traceback (most recent call last):
            ...
        AssertionError: 1 of 1 checks failed:
          finite: a score is NaN
    """
    checks = list(checks)
    if not checks:
        raise AssertionError("no check was run")
    failed = [check for check in checks if check.outcome == "failed"]
    if failed:
        lines = [f"  {check.name}: {check.message}" for check in failed]
        head = f"{len(failed)} of {len(checks)} checks failed:"
        raise AssertionError("\n".join([head, *lines]))


def check_not_fitted(name: str, call: Callable[[], object]) -> None:
    """Check that a call made before `fit` raises NotFittedError.

    Arguments:
        name: Name of the call in the message.
        call: Makes the call on a new, unfitted object.

    Raises:
        Fault: The call returns, or raises another error.
    """
    try:
        call()
    except NotFittedError:
        return
    except Exception as error:
        found = f"raises {type(error).__name__}"
    else:
        found = "returns values"
    raise Fault(f"{name} before fit {found}: raise oodbench.NotFittedError")


def _run_one(function: Callable[[Subject], str | None], subject: Subject) -> Check:
    name, meaning = function.__name__, (function.__doc__ or "").partition("\n")[0]
    try:
        remark = function(subject)
    except Fault as fault:
        return Check(name, "failed", str(fault), meaning)
    except NotApplicable as reason:
        return Check(name, "skipped", str(reason), meaning)
    except Exception as error:
        return Check(name, "failed", describe(error), meaning)
    return Check(name, "passed", remark or "", meaning)


def _strict(check: Check, reason: str | None) -> Check:
    """Return the outcome, adjusted for an expected failure."""
    if reason is None:
        return check
    if check.outcome == "failed":
        message = f"{reason} (found: {check.message})"
        return replace(check, outcome="expected failure", message=message)
    message = f"{check.outcome}, but expected to fail ({reason}): expect it no longer"
    return replace(check, outcome="failed", message=message)


def describe(error: Exception) -> str:
    """Describe an error and the last line outside torch; errors about dtypes come with advice."""
    frames = traceback.extract_tb(error.__traceback__)
    torch = str(getattr(sys.modules.get("torch"), "__file__", "") or "none")
    outside = [
        frame for frame in frames if not Path(frame.filename).is_relative_to(Path(torch).parent)
    ]
    frame = (outside or frames)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    text = str(error)
    advice = _advice(text) if isinstance(error, RuntimeError) else ""
    if NO_KERNEL in text:  # torch adds pages about its build
        text = text.partition(". ")[0]
    return f"{advice}raised {type(error).__name__}: {text} ({where})"


def _advice(text: str) -> str:
    """Say what to do about an error of torch about dtypes or devices; empty for other errors."""
    if "device type not an accelerator" in text:
        return (
            "a generator on the device draws other numbers on each kind of GPU: draw on the CPU, "
            "then move the numbers with .to(x.device); "
        )
    if NO_KERNEL in text:
        return "the operation cannot be emulated; "
    if UINT8.search(text):
        return (
            "the examples are uint8 where floating-point numbers are needed: convert the examples "
            "first, for example x.to(next(self.parameters()).dtype); "
        )
    if SINGLE.search(text) and DOUBLE.search(text):
        return (
            "float32 meets float64: convert the examples to the dtype of the parameters, for "
            "example x.to(next(self.parameters()).dtype), keep constants in buffers, and create "
            "no tensor without dtype=x.dtype; "
        )
    return ""
