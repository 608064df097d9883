"""Workers of a run: how many, with how many threads, and on which GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.events import Report
from harness.plan.plan import Plan
from harness.settings import Settings, Share, share_processors
from harness.store.clock import now_at
from harness.suite import ResolvedSuite

if TYPE_CHECKING:
    from harness.compute.work.worker import Worker


def run_workers(suite: ResolvedSuite, settings: Settings, plan: Plan, report: Report) -> None:
    """Compute what is left to do in a plan, by the workers of an executor."""
    from harness.compute.device import gpus_to_share

    workers, threads = processes_and_threads(settings, plan)
    executor = suite.registry.get("executors", settings.executor).load()(workers=workers)
    gpus = gpus_to_share(settings.device) if workers > 1 else []
    worker = _worker(settings, plan, threads)
    made = []
    for number in range(workers):
        share = Share(number, workers)
        command = work_command(suite, settings, threads, share)
        gpu = gpus[number % len(gpus)] if gpus else None
        made.append(replace(worker, number=number, share=share, command=command, gpu=gpu))
    executor.run(made, report)
    plan.look_again()


def work_alone(
    settings: Settings,
    plan: Plan,
    report: Report,
    share: Share,
    stop: Callable[[], bool],
    *,
    until_done: bool,
) -> None:
    """Be one of several workers; arguments as for `Worker.work`."""
    _, threads = processes_and_threads(settings, plan)
    worker = replace(_worker(settings, plan, threads), share=share)
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
    if not suite.path.is_file():
        return None
    options: dict[str, Sequence[object]] = {
        "--store": [settings.store.absolute()],
        "--data": [settings.data.absolute()],
        "--device": [settings.device],
        "--batch-size": [settings.batch_size],
        "--threads": [threads],
        "--share": [share],
        "--plugin": suite.registry.requested,
        "--set": suite.changes,
        "--only": suite.only.as_arguments(),
    }
    words = [str(word) for name, values in options.items() for x in values for word in (name, x)]
    also = ["--compile"] if settings.compile else []
    return ("work", str(suite.path.absolute()), *words, "--until-done", "--allow-missing", *also)


def _worker(settings: Settings, plan: Plan, threads: int) -> Worker:
    from harness.compute.work.worker import Worker

    work = replace(plan, cells=[])
    return Worker(0, Share(), work, settings, threads, now_at(settings.store))
