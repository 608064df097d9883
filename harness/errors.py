"""Errors that users can meet, each with the exit status for the command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_SHOWN = 50
"""Maximum number of mistakes printed per input."""

OUT_OF_MEMORY = (
    "can't allocate memory",  # torch on a CPU, where torch has no dedicated error
    "not enough memory",  # the same on Windows
    "std::bad_alloc",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


class BenchError(Exception):
    """Base class of all errors with a message for the user, shown without a traceback.

    Example:
        >>> from oodbench import BenchError
        >>> error = BenchError("levels of at most 3 would fit")
        >>> print(error, "- exit status", error.exit_status)
        levels of at most 3 would fit - exit status 2
    """

    exit_status = 2


@dataclass(frozen=True)
class Problem:
    """A mistake in an input: the place, the message and a hint at the correction."""

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
    """An unusable input, with all problems at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(_listed(self.problems))


class SuiteError(InputError):
    """An unusable suite."""


class OptionError(InputError):
    """Constructor options that do not match the signature of a plugin."""


class PluginError(BenchError):
    """A plugin that is unknown, ambiguous or cannot be loaded."""


class PluginFileError(PluginError):
    """A plugin file that cannot be used."""

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        super().__init__(message)


class UnsupportedError(BenchError):
    """A request that a model or statistic can never meet; the cells are `unsupported`.

    Tables show `n/a`. The job is not tried again before the plugin has a new version, so never
    raise this error for a lack of memory or of a device.

    Example:
        >>> from oodbench import UnsupportedError
        >>> def terms_of(model):
        ...     if not hasattr(model, "log_prob_terms"):
        ...         raise UnsupportedError("the statistic needs a model with log_prob_terms")
        >>> try:
        ...     terms_of(object())
        ... except UnsupportedError as error:
        ...     print(error)
        the statistic needs a model with log_prob_terms
    """


class DomainError(UnsupportedError):
    """A model that cannot be built for a domain; the cells are `unsupported`.

    Example:
        >>> from oodbench import DomainError, Images
        >>> def gray_model(domain):
        ...     if domain.channels != 1:
        ...         raise DomainError(f"one channel is needed, not {domain.channels}")
        >>> try:
        ...     gray_model(Images(channels=3, height=32, width=32))
        ... except DomainError as error:
        ...     print(error)
        one channel is needed, not 3
    """


class DataError(BenchError):
    """Data that is available but unusable: damaged, with a wrong shape, or too few examples.

    Example:
        >>> from oodbench import BenchError, DataError
        >>> isinstance(DataError("a.png is 3x8x8, not 1x8x8"), BenchError)
        True
    """


class MissingDataError(DataError):
    """Data that is not available; the cells are `missing_data`.

    Example:
        >>> from oodbench import DataError, MissingDataError
        >>> try:
        ...     raise MissingDataError("faces.zip: download the file by hand")
        ... except DataError as error:
        ...     print(error)
        faces.zip: download the file by hand
    """


class StoreError(BenchError):
    """A stored result that is damaged or unreadable."""


class FolderError(BenchError):
    """A folder for results or data that is unknown, or that a run must write and cannot."""

    exit_status = 74


class TrainingError(BenchError):
    """A training that cannot continue, for example because the loss is not finite.

    Example:
        >>> from oodbench import TrainingError
        >>> TrainingError("the loss is nan in epoch 2").exit_status
        1
    """

    exit_status = 1


class ScoreError(BenchError):
    """A scorer that cannot be fitted or returns scores that are not finite numbers.

    Example:
        >>> from oodbench import ScoreError
        >>> ScoreError("a fit needs at least two groups, not 1").exit_status
        1
    """

    exit_status = 1


class NotFittedError(BenchError):
    """A request for scores before `fit`.

    Example:
        >>> from oodbench import NotFittedError
        >>> NotFittedError("call fit before score").exit_status
        1
    """

    exit_status = 1


class NothingSelectedError(BenchError):
    """A command with nothing to work on, for example because the selection is empty."""

    exit_status = 4


class NothingStoredError(NothingSelectedError):
    """A store without results for a suite."""

    def __init__(self, suite: str, store: Path, run: str) -> None:
        """Name the suite, the store, and the command or call that computes results."""
        super().__init__(f"no results of {suite} are stored in {store.absolute()}; run: {run}")


class Interrupted(BaseException):
    """A request by the user or the system to stop the command.

    Derives from `BaseException`, so that handlers of `Exception` do not swallow the request.
    """

    exit_status = 130


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports that memory ran out, on a device or on the CPU.

    Example:
        >>> from oodbench import is_out_of_memory
        >>> is_out_of_memory(RuntimeError("CUDA out of memory"))
        True
        >>> is_out_of_memory(RuntimeError("shapes do not match"))
        False
    """
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)
