"""What a check is, how a list of checks is run, and how a test asserts them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from harness.errors import NotFittedError
from harness.text import known_names

Outcome: TypeAlias = Literal["passed", "failed", "skipped", "expected failure"]
Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: The check's name, by which a failure can be expected.
        outcome: An expected failure that does not happen is `"failed"`.
        message: What is wrong and how to mend it, why the check was skipped, or a remark on a
            check that passed.
        meaning: What the check holds a plugin to, in a sentence.
    """

    name: str
    outcome: Outcome
    message: str = ""
    meaning: str = ""


class Fault(Exception):
    """Raised by a check: what is wrong, in words that the plugin's author understands."""


class NotApplicable(Exception):
    """Raised by a check: why it says nothing about this plugin."""


def run_checks(
    functions: Sequence[Callable[[Subject], str | None]],
    subject: Subject,
    expected_failures: Mapping[str, str],
) -> list[Check]:
    """Run every check, whatever the others find.

    Arguments:
        functions: The checks; the name of a check is its function's, its meaning the docstring's.
        subject: What they examine.
        expected_failures: Reasons by check names.

    Raises:
        ValueError: A failure is expected of a check that does not exist.
    """
    names = [function.__name__ for function in functions]
    for name in expected_failures:
        if name not in names:
            raise ValueError(f"no check is called {name!r} ({known_names(name, names)})")
    return [
        _strict(_run_one(function, subject), expected_failures.get(function.__name__))
        for function in functions
    ]


def assert_conforms(checks: Iterable[Check]) -> None:
    """Fail a test with the message of every failed check.

    Raises:
        AssertionError: A check failed, or there was none.
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
    """Call something that needs a fit, without one.

    Raises:
        Fault: It raises no NotFittedError.
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
        return Check(name, "failed", _describe(error), meaning)
    return Check(name, "passed", remark or "", meaning)


def _strict(check: Check, reason: str | None) -> Check:
    """The outcome in view of what was expected."""
    if reason is None:
        return check
    if check.outcome == "failed":
        message = f"{reason} (found: {check.message})"
        return replace(check, outcome="expected failure", message=message)
    message = f"{check.outcome}, but expected to fail ({reason}): expect it no longer"
    return replace(check, outcome="failed", message=message)


def _describe(error: Exception) -> str:
    """An error and the line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"raised {type(error).__name__}: {error} ({where})"
