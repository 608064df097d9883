"""Settings that affect numbers only by rounding, and never enter a key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from harness.errors import BenchError, FolderError

T = TypeVar("T")
LocksChoice: TypeAlias = Literal["auto", "os", "lease"]

BATCH_SIZE = 64
STORE_VARIABLE = "BENCH_STORE"
DATA_VARIABLE = "BENCH_DATA"


@dataclass(frozen=True)
class Settings:
    """Places and resources for the computations of a run.

    Attributes:
        store: Root of the store.
        data: Root of the data folder.
        device: `"cpu"`, `"cuda"`, `"cuda:1"` ..., or `"auto"`.
        batch_size: Number of examples evaluated at once.
        workers: Number of processes that share the chains; 0 for an automatic choice.
        threads: Number of threads per process; 0 for `$OMP_NUM_THREADS` or an automatic choice.
        compile: Train with `torch.compile` where possible.
        executor: Name of the executor plugin.
        locks: Kind of locks from now on, `"os"` or `"lease"`; `"auto"` keeps what the store has.
    """

    store: Path
    data: Path
    device: str = "auto"
    batch_size: int = BATCH_SIZE
    workers: int = 0
    threads: int = 0
    compile: bool = False
    executor: str = "auto"
    locks: LocksChoice = "auto"


class Share(NamedTuple):
    """Start of a worker in the list of work: part `number`, from 0, of `of` equal parts.

    The worker goes on with the other parts afterwards, so no work waits for an absent worker.

    Example:
        >>> from harness.settings import Share
        >>> Share(1, 3).rotate(["a", "b", "c", "d"])
        ['b', 'c', 'd', 'a']
    """

    number: int = 0
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Share:
        """Parse `"I/N"` with I from 1 to N.

        Raises:
            BenchError: The text is anything else.
        """
        number, _, of = text.partition("/")
        if number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
            return cls(int(number) - 1, int(of))
        raise BenchError(f"--share {text}: expected I/N with I from 1 to N, for example 2/8")

    def __str__(self) -> str:
        return f"{self.number + 1}/{self.of}"

    def rotate(self, items: list[T]) -> list[T]:
        """Return the items from the beginning of the share on, then those before."""
        first = len(items) * self.number // self.of
        return items[first:] + items[:first]


def default_store() -> Path:
    """Return `$BENCH_STORE`, or `bench-store` in the current folder."""
    return Path(os.environ.get(STORE_VARIABLE) or "bench-store")


_DATA: ContextVar[Path | None] = ContextVar("data folder of the work in progress", default=None)


@contextmanager
def data_folder(data: Path) -> Iterator[None]:
    """Make a folder the default data folder inside the block, for this thread."""
    token = _DATA.set(data.absolute())
    try:
        yield
    finally:
        _DATA.reset(token)


def default_data() -> Path:
    """Return the folder of `data_folder`, `$BENCH_DATA`, or the user data folder here.

    Raises:
        FolderError: This user has no home folder, as in a container with a number as the user.
    """
    import platformdirs

    if named := _DATA.get() or os.environ.get(DATA_VARIABLE):
        return Path(named)
    try:
        found = platformdirs.user_data_path("oodbench")
    except RuntimeError:
        found = Path("~")  # as from an earlier version of platformdirs
    if not found.is_absolute():
        raise FolderError(
            "this user has no home folder, so no data folder: name one with --data or $BENCH_DATA"
        )
    return found


def raw_root() -> Path:
    """Return the folder for raw files, the sources of converted data sets; may not exist yet.

    Example:
        >>> from oodbench import raw_root
        >>> (raw_root() / "mnist").parts[-2:]
        ('raw', 'mnist')
    """
    return default_data() / "raw"


def processors() -> int:
    """Return the number of processors available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_processors(settings: Settings, chains: int) -> tuple[int, int]:
    """Choose the number of workers and the number of threads per worker.

    The choice depends on the whole suite, not on the remaining work: the number of threads changes
    rounding, and a resumed run should give the same numbers as an undisturbed run.

    Arguments:
        settings: With `workers` and `threads`, where 0 means automatic: for threads the number in
            `$OMP_NUM_THREADS`, else an equal share of the processors.
        chains: Number of chains in the suite.

    Raises:
        BenchError: A number is negative.
    """
    _refuse_negative(settings)
    workers = settings.workers or max(1, min(processors(), chains))
    threads = settings.threads or asked_threads() or max(1, processors() // workers)
    return workers, threads


def share_elsewhere(settings: Settings, chains: int) -> tuple[int, int]:
    """Choose the number of workers on other machines, and the number of threads per worker.

    Arguments:
        settings: With `workers` and `threads`; 0 for a worker per chain, and for the number in
            `$OMP_NUM_THREADS`, else one thread.
        chains: Number of chains in the suite.

    Raises:
        BenchError: A number is negative.
    """
    _refuse_negative(settings)
    return settings.workers or max(1, chains), settings.threads or asked_threads() or 1


def _refuse_negative(settings: Settings) -> None:
    if settings.workers < 0 or settings.threads < 0:
        raise BenchError("--workers and --threads must be at least 1, or 0 to choose")


def asked_threads() -> int:
    """Return `$OMP_NUM_THREADS`, which torch and NumPy follow too; 0 without a usable number.

    A thread that waits for another thread keeps its processor busy, so more threads than free
    processors slow a training down many times. Schedulers and users of shared computers set the
    variable for this reason.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0
