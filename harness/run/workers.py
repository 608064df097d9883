"""Workers of a run: how many, with how many threads, and on which GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.contracts import Executor, WritesScript
from harness.errors import BenchError
from harness.events import Report
from harness.plan.plan import Plan
from harness.run.command import suite_words
from harness.run.event_log import new_run_folder
from harness.run.prepare import plan_unopened
from harness.settings import Settings, Share, share_elsewhere, share_processors
from harness.store.clock import now_at
from harness.suite import ResolvedSuite

if TYPE_CHECKING:
    from harness.compute.workers.worker import Worker


def run_workers(
    suite: ResolvedSuite, settings: Settings, plan: Plan, folder: Path, report: Report
) -> None:
    """Compute what is left to do in a plan, by the workers of an executor.

    Arguments:
        suite: Resolved suite.
        settings: With the name of the executor.
        plan: Plan with opened data sets.
        folder: Folder of the run in the store.
        report: Called with every event.
    """
    executor, workers = _executor_and_workers(
        suite, settings, plan, folder, now_at(settings.store)
    )
    executor.run(workers, report)
    plan.look_again()


def written_script(suite: ResolvedSuite, settings: Settings) -> str:
    """Return the script by which an executor would start the workers of a whole run.

    Raises:
        BenchError: The executor writes no script.
    """
    plan = plan_unopened(suite, settings)
    folder = new_run_folder(settings.store, plan.suite)
    executor, workers = _executor_and_workers(suite, settings, plan, folder, began=0.0)
    if not isinstance(executor, WritesScript):
        raise BenchError(f"executor {settings.executor!r} writes no script that could be shown")
    return executor.script(workers)


def _executor_and_workers(
    suite: ResolvedSuite, settings: Settings, plan: Plan, folder: Path, began: float
) -> tuple[Executor, list[Worker]]:
    from harness.compute.device import gpus_to_share

    elsewhere = suite.runs_elsewhere(settings.executor)
    count, threads = (
        share_elsewhere(settings, len(plan.chains))
        if elsewhere
        else processes_and_threads(settings, plan)
    )
    gpus = gpus_to_share(settings.device) if count > 1 and not elsewhere else []
    worker = replace(_worker(settings, plan, threads, began), folder=folder)
    made = []
    for number in range(count):
        share = Share(number, count)
        command = work_command(suite, settings, threads, share)
        gpu = gpus[number % len(gpus)] if gpus else None
        made.append(replace(worker, number=number, share=share, command=command, gpu=gpu))
    return suite.executor(settings.executor, count), made


def work_alone(
    settings: Settings,
    plan: Plan,
    report: Report,
    share: Share,
    stop: Callable[[], bool],
    *,
    until_done: bool,
) -> None:
    """Run one worker in this process. `Worker.work` describes the arguments."""
    _, threads = processes_and_threads(settings, plan)
    worker = replace(_worker(settings, plan, threads, now_at(settings.store)), share=share)
    worker.work(report, stop, until_done=until_done)
    plan.look_again()


def processes_and_threads(settings: Settings, plan: Plan) -> tuple[int, int]:
    """Choose the number of workers, and of threads per worker, from the machine and the suite."""
    from harness.compute.device import find_device, gpus_to_share

    if find_device(settings.device).type == "cpu":
        return share_processors(settings, len(plan.chains))
    return share_processors(settings, max(1, len(gpus_to_share(settings.device))))


def work_command(
    suite: ResolvedSuite, settings: Settings, threads: int, share: Share
) -> tuple[str, ...] | None:
    """Return the arguments of `bench` for a worker; None for a suite made in memory."""
    absolute = replace(suite, path=suite.path.absolute())
    named = suite_words(absolute, suite.only.as_arguments())
    if named is None:
        return None
    options: dict[str, Sequence[object]] = {
        "--store": [settings.store.absolute()],
        "--data": [settings.data.absolute()],
        "--device": [settings.device],
        "--batch-size": [settings.batch_size],
        "--threads": [threads],
        "--share": [share],
    }
    words = [str(word) for name, values in options.items() for x in values for word in (name, x)]
    also = ["--compile"] if settings.compile else []
    return ("work", *named, *words, "--until-done", "--allow-missing", *also)


def _worker(settings: Settings, plan: Plan, threads: int, began: float) -> Worker:
    from harness.compute.workers.worker import Worker

    work = replace(plan, cells=[])
    return Worker(0, Share(), work, settings, threads, began)
