"""Failures of jobs, stored next to the results until the job succeeds."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, get_args

from harness.results import Status
from harness.store.clock import is_written_since
from harness.store.hashing import digest
from harness.store.layout import FAILURES
from harness.store.records import Store, replace_file


@dataclass(frozen=True)
class Failure:
    """Reason why a job has no result; all cells that need the job show `status`.

    A job with the status `unsupported` is not tried again; every other job is.
    """

    job: str
    status: Status
    message: str

    @property
    def text(self) -> str:
        """Job and message in one line."""
        return f"{self.job}: {self.message}"


def record_failure(store: Store, inputs: Any, failure: Failure) -> None:
    """Store the failure of the job with these key inputs."""
    content = json.dumps(asdict(failure), indent=1).encode()
    replace_file(store.root / FAILURES / f"{digest(inputs)}.json", content)


def clear_failure(store: Store, inputs: Any) -> None:
    """Remove the stored failure after the job has succeeded."""
    (store.root / FAILURES / f"{digest(inputs)}.json").unlink(missing_ok=True)


def find_failure(store: Store, inputs: Any) -> Failure | None:
    """Return the stored failure for a job; None if the file is missing or not readable."""
    with suppress(OSError):
        return parse_failure((store.root / FAILURES / f"{digest(inputs)}.json").read_bytes())
    return None


def failed_since(store: Store, inputs: Any, moment: float) -> bool:
    """Check that the failure of a job was stored since a time from `now_at`."""
    return is_written_since(store.root, store.root / FAILURES / f"{digest(inputs)}.json", moment)


def parse_failure(content: bytes) -> Failure | None:
    """Parse a stored failure; None if the content is anything else."""
    try:
        value = json.loads(content)
        failure = Failure(**value)
    except (ValueError, TypeError, RecursionError):
        return None
    is_text = isinstance(failure.job, str) and isinstance(failure.message, str)
    known = [status for status in get_args(Status) if status != "ok"]
    return failure if is_text and failure.status in known else None
