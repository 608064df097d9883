"""Settings of a run that change no number beyond rounding, and so enter no key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchError

BATCH_SIZE = 64
STORE_VARIABLE = "BENCH_STORE"
DATA_VARIABLE = "BENCH_DATA"


@dataclass(frozen=True)
class Settings:
    """Where and how a run computes.

    Attributes:
        store: Root of the store.
        data: Root of the data folder.
        device: `"cpu"`, `"cuda"`, `"cuda:1"` ..., or `"auto"`.
        batch_size: Examples evaluated at once.
        workers: Processes that share the chains; 0 chooses.
        threads: Threads of each process; 0 chooses.
        compile: Train through `torch.compile`, where that works.
        executor: Name of the executor plugin.
    """

    store: Path
    data: Path
    device: str = "auto"
    batch_size: int = BATCH_SIZE
    workers: int = 0
    threads: int = 0
    compile: bool = False
    executor: str = "auto"


def default_store() -> Path:
    """`$BENCH_STORE`, or `bench-store` in the current folder."""
    return Path(os.environ.get(STORE_VARIABLE) or "bench-store")


def default_data() -> Path:
    """`$BENCH_DATA`, or the user's data folder of this platform."""
    import platformdirs

    return Path(os.environ.get(DATA_VARIABLE) or platformdirs.user_data_path("oodbench"))


def raw_root() -> Path:
    """The folder of raw files, which data sets are converted from; it need not exist."""
    return default_data() / "raw"


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_processors(settings: Settings, chains: int) -> tuple[int, int]:
    """Workers and threads per worker.

    Depends on the whole suite, not on what of it is left to do: the number of threads changes
    rounding, and a resumed run should give the numbers of an undisturbed one.

    Arguments:
        settings: `workers` and `threads`, where 0 means: choose.
        chains: Number of chains of the suite.

    Raises:
        BenchError: A number is negative.
    """
    if settings.workers < 0 or settings.threads < 0:
        raise BenchError("--workers and --threads must be at least 1, or 0 to choose")
    workers = settings.workers or max(1, min(processors(), chains))
    threads = settings.threads or max(1, processors() // workers)
    return workers, threads
