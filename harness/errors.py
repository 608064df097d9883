"""Every error that a user can meet; each carries the exit status it ends the command with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_SHOWN = 50
"""So many mistakes of one input are printed."""

OUT_OF_MEMORY = (
    "can't allocate memory",  # torch on a CPU, which has no error of its own for that
    "not enough memory",  # the same on Windows
    "std::bad_alloc",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


class BenchError(Exception):
    """Base of all errors whose text is meant for the user and shown without a traceback."""

    exit_status = 2


@dataclass(frozen=True)
class Problem:
    """One mistake in an input: where it stands and what would be right."""

    message: str
    file: str = ""
    line: int | None = None
    key: str = ""
    hint: str = ""

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [part for part in (where, self.key, self.message) if part]
        return ": ".join(parts) + (f" ({self.hint})" if self.hint else "")


def _listed(problems: Sequence[Problem]) -> str:
    lines = [str(problem) for problem in problems[:MOST_SHOWN]]
    more = len(problems) - MOST_SHOWN
    return "\n".join([*lines, f"and {more:,} more mistakes"] if more > 0 else lines)


class InputError(BenchError):
    """An input that cannot be used: all its problems, at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(_listed(self.problems))


class SuiteError(InputError):
    """A suite that cannot be used."""


class OptionError(InputError):
    """Constructor options that do not fit a plugin's signature."""


class PluginError(BenchError):
    """A plugin that cannot be found, loaded or told from another one."""


class UnsupportedError(BenchError):
    """What a model or statistic cannot do by its nature; the cells are `unsupported`."""


class DomainError(UnsupportedError):
    """A model that cannot be built for a domain; its cells are `unsupported`."""


class DataError(BenchError):
    """Data that is there but cannot be used: damaged, of another shape, or too little of it."""


class MissingDataError(DataError):
    """Data that is not there; its cells are `missing_data`."""


class StoreError(BenchError):
    """A stored result that cannot be read as it was written."""


class TrainingError(BenchError):
    """A training that cannot go on, such as one whose loss is not finite."""

    exit_status = 1


class ScoreError(BenchError):
    """A scorer that cannot be fitted or whose scores are not finite numbers."""

    exit_status = 1


class NotFittedError(BenchError):
    """A scorer asked for scores before `fit`."""

    exit_status = 1


class NothingSelectedError(BenchError):
    """A selection that leaves nothing to do."""

    exit_status = 4


class Interrupted(BaseException):
    """The user or the system asked the command to stop.

    No `Exception`, so that nothing that deals with failures takes it for one.
    """

    exit_status = 130


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of a device or of the CPU."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)
