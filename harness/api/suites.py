"""Suites in Python: read from a file, selected, planned and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from harness.errors import BenchError, NothingStoredError
from harness.plan.expand import select
from harness.run.command import run_command, spelled
from harness.run.outcome import Outcome, cached_outcome
from harness.run.prepare import fetch_missing, plan_unopened
from harness.settings import (
    BATCH_SIZE,
    LocksChoice,
    Settings,
    Share,
    data_folder,
    default_data,
    default_store,
    share_processors,
)
from harness.store.layout import LOGS
from harness.store.records import Store
from harness.suite import ResolvedSuite, build_suite, load_suite
from harness.text import known_names

if TYPE_CHECKING:
    from harness.api.planned import PlannedWork
    from harness.api.results import Results
    from harness.cli.display.displays import Shown
    from harness.run.work import WorkDone

Missing: TypeAlias = Literal["run", "report", "error"]
MISSING = ("run", "report", "error")
Place: TypeAlias = str | Path | None
"""A folder; None for the default."""


def load(
    path: str | Path,
    plugins: Sequence[str] = (),
    changes: Sequence[str] = (),
    only: Sequence[str] = (),
) -> Suite:
    """Read a suite; no data is touched and no model is built.

    Arguments:
        path: A TOML file, or the name of a shipped suite.
        plugins: Plugin files or modules, or `no:NAME`, as after `-p`.
        changes: Values set, as after `--set`: `"training.NAME.learning_rate=3e-3"`.
        only: Selected cells, as after `--only`: `"in=digits"`.

    Raises:
        SuiteError: The suite has mistakes; lists all with file, line and key.

    Example:
        >>> import oodbench
        >>> suite = oodbench.load("quickstart", only=["in=digits", "scorer=typicality"])
        >>> suite.title
        'Quickstart: three small flows on embedded real data'
    """
    resolved = select(load_suite(Path(path), plugins, changes), only)
    return Suite._of(resolved)


class Suite:
    """A suite: models, data sets, scorers and the comparisons to compute.

    The tables have the keys of a suite file, and the same code validates them.

    Arguments:
        sections: Tables by name; names of files are relative to the current folder.
        name: Name of the suite, and of the folder for its results in the store.
        plugins: Plugin files or modules, or `no:NAME`, as after `-p`.
        tables: More tables by name.

    Raises:
        SuiteError: The suite has mistakes; lists all with their keys.

    Example:
        >>> import oodbench
        >>> suite = oodbench.Suite(
        ...     training={"short": {"learning_rate": 1e-3}},
        ...     models={"flow": {"plugin": "glow", "training": "short"}},
        ...     datasets={"noise": {"plugin": "noise", "options": {"channels": 1, "height": 8,
        ...                                                        "width": 8}}},
        ...     comparisons=[{"models": "flow", "in": "digits", "out": "noise", "epochs": [0, 4],
        ...                   "scorers": ["log-likelihood", "typicality"]}])
        >>> suite.select(scorer="typicality", epoch=4).plan().to_dict()["cells"]["all"]
        1
    """

    def __init__(
        self,
        sections: Mapping[str, Any] = MappingProxyType({}),
        /,
        *,
        name: str = "suite",
        plugins: Sequence[str] = (),
        **tables: Any,
    ) -> None:
        self._resolved: ResolvedSuite = build_suite({**sections, **tables}, name, plugins)

    @classmethod
    def _of(cls, resolved: ResolvedSuite) -> Suite:
        made = cls.__new__(cls)
        made._resolved = resolved
        return made

    @property
    def name(self) -> str:
        """Name of the suite; the store has a folder with this name."""
        return self._resolved.name

    @property
    def title(self) -> str:
        """Title of reports."""
        return self._resolved.title

    def select(self, **values: Any) -> Suite:
        """Return the suite with the selected cells only, and the jobs that they need.

        Arguments:
            values: A value, or a list of alternatives, for `model`, `in_`, `out`, `scorer`,
                `epoch`, `group_size` or `seed`; different keys combine.

        Raises:
            BenchError: A key or value is unknown.
            NothingSelectedError: The selection is empty.
        """
        texts = [
            f"{key.removesuffix('_')}={value}"
            for key, given in values.items()
            for value in (given if isinstance(given, list | tuple) else [given])
        ]
        only = self._resolved.only.as_arguments()
        kept = {text.partition("=")[0] for text in texts}
        texts += [text for text in only if text.partition("=")[0] not in kept]
        return self._of(select(self._resolved, texts))

    def plan(self, *, store: Place = None, data: Place = None, why: bool = False) -> PlannedWork:
        """List stored and new jobs, and estimate the time; nothing is computed.

        Arguments:
            store: Store; `$BENCH_STORE`, else `bench-store`, by default.
            data: Data folder; `$BENCH_DATA`, else the user's data folder, by default.
            why: Whether to give the reason for each new job.
        """
        from harness.api.planned import PlannedWork

        settings = settings_of(store, data)
        with data_folder(settings.data):
            plan = plan_unopened(self._resolved, settings)
            workers, _ = share_processors(settings, len(plan.chains))
            return PlannedWork(plan, Store(settings.store), why, workers)

    def run(
        self,
        *,
        store: Place = None,
        data: Place = None,
        missing: Missing = "run",
        device: str = "auto",
        batch_size: int = BATCH_SIZE,
        workers: int = 1,
        threads: int = 0,
        compile: bool = False,
        executor: str = "auto",
        locks: LocksChoice = "auto",
        allow_missing: bool = False,
        download: bool = False,
        display: Shown = "auto",
    ) -> Results:
        """Return the results; what is not stored is trained, evaluated and scored first.

        Arguments:
            store: Store; `$BENCH_STORE`, else `bench-store`, by default.
            data: Data folder; `$BENCH_DATA`, else the user's data folder, by default.
            missing: What to do with cells that are not stored: `"run"` computes them, `"report"`
                leaves them out, `"error"` refuses them. The last two compute nothing.
            device: `"cpu"`, `"cuda"`, `"cuda:1"` ...; `"auto"` takes a GPU if available.
            batch_size: Examples evaluated at once; changes rounding only.
            workers: Processes; 0 chooses. With more than one, a script must not run at its import
                (`if __name__ == "__main__":`), because workers import the script.
            threads: Threads per process; 0 chooses.
            compile: Whether to train through `torch.compile`, where possible.
            executor: Name of an executor plugin.
            locks: Locks by the system, `"os"`, or by `"lease"`, from now on; `"auto"` keeps the
                kind that the store has, and else chooses by the file system.
            allow_missing: Whether to run the cells with available data if a data set is missing.
            download: Whether to download missing data sets first.
            display: How progress is shown, on stderr; or a function, called with each event.

        Raises:
            MissingDataError: A data set is missing.
            NothingStoredError: Nothing is stored, with `missing="report"` or `"error"`.
            BenchError: Some cells are not stored, with `missing="error"`.
        """
        from harness.api.results import Results

        if missing not in MISSING:
            raise BenchError(f"missing={missing!r}: {known_names(missing, MISSING)}")
        settings = settings_of(
            store,
            data,
            device=device,
            batch_size=batch_size,
            workers=workers,
            threads=threads,
            compile=compile,
            executor=executor,
            locks=locks,
        )
        with data_folder(settings.data):
            if missing == "run":
                outcome = compute(
                    self._resolved,
                    settings,
                    display,
                    allow_missing=allow_missing,
                    download=download,
                )
            else:
                outcome = self._stored(settings)
        results = Results(self._resolved, outcome, settings)
        if missing == "error" and outcome.pending:
            raise BenchError(results.pending_note)
        return results

    def script(
        self,
        *,
        executor: str,
        store: Place = None,
        data: Place = None,
        device: str = "auto",
        batch_size: int = BATCH_SIZE,
        workers: int = 0,
        threads: int = 0,
        compile: bool = False,
    ) -> str:
        """Return the script by which an executor would start workers; nothing is started.

        Arguments:
            executor: Name of an executor plugin that writes a script.
            store: As for `run`.
            data: As for `run`.
            device: As for `run`.
            batch_size: As for `run`.
            workers: As for `run`.
            threads: As for `run`.
            compile: As for `run`.

        Raises:
            BenchError: The executor writes no script, or the suite is not in a file.
        """
        from harness.run.workers import written_script

        settings = settings_of(
            store,
            data,
            device=device,
            batch_size=batch_size,
            workers=workers,
            threads=threads,
            compile=compile,
            executor=executor,
        )
        with data_folder(settings.data):
            return written_script(self._resolved, settings)

    def work(
        self,
        *,
        store: Place = None,
        data: Place = None,
        share: str = "1/1",
        until_done: bool = False,
        stop: Callable[[], bool] = lambda: False,
        device: str = "auto",
        batch_size: int = BATCH_SIZE,
        threads: int = 0,
        compile: bool = False,
        locks: LocksChoice = "auto",
        allow_missing: bool = False,
        display: Shown = "auto",
    ) -> WorkDone:
        """Be one of any number of workers that share a store; nothing is scored.

        The worker takes trainings, and statistics of stored checkpoints, that are not stored and
        that no other worker holds, one after another.

        Arguments:
            store: As for `run`; on a file system that all workers share.
            data: As for `run`.
            share: `"I/N"`: begin with part I of N equal parts of the work; then go on with others.
            until_done: Wait while other workers hold work, and end when everything is done.
                By default, end when no work is free.
            stop: Asked often; once True, the worker stores the progress of its training and ends.
            device: As for `run`.
            batch_size: As for `run`.
            threads: As for `run`; the same for all workers, or numbers differ by rounding.
            compile: As for `run`.
            locks: As for `run`.
            allow_missing: As for `run`.
            display: As for `run`.

        Raises:
            MissingDataError: A data set is missing.
            Interrupted: `stop` returned True.
        """
        from harness.cli.display.session import session
        from harness.run.work import work

        settings = settings_of(
            store,
            data,
            device=device,
            batch_size=batch_size,
            threads=threads,
            compile=compile,
            locks=locks,
        )
        log = settings.store / LOGS / f"{self.name}.log"
        with (
            data_folder(settings.data),
            session(self._resolved.registry, display, log) as report,
        ):
            return work(
                self._resolved,
                settings,
                report,
                Share.parse(share),
                stop,
                until_done=until_done,
                allow_missing=allow_missing,
            )

    def _stored(self, settings: Settings) -> Outcome:
        outcome = cached_outcome(plan_unopened(self._resolved, settings), settings)
        if not outcome.results:
            run = run_command(self._resolved, settings, self._resolved.only.as_arguments())
            raise NothingStoredError(spelled(self._resolved), settings.store, run)
        return outcome


def compute(
    suite: ResolvedSuite,
    settings: Settings,
    display: Shown,
    *,
    allow_missing: bool = False,
    download: bool = False,
) -> Outcome:
    """Run a suite, with progress on stderr; arguments as in `Suite.run`."""
    # Imported here, because importing PyTorch takes seconds and reports need none.
    from harness.cli.display.session import session
    from harness.run.run import run

    log = settings.store / LOGS / f"{suite.name}.log"
    with session(suite.registry, display, log) as report:
        if download:
            fetch_missing(suite, settings.data, report)
        return run(suite, settings, report, allow_missing)


def settings_of(store: Place, data: Place, **others: Any) -> Settings:
    """Return settings, with the default places where none is given."""
    return Settings(
        default_store() if store is None else Path(store),
        default_data() if data is None else Path(data),
        **others,
    )
