"""Plan, store, device and reporting, shared by the pieces of work in a chain."""

from __future__ import annotations

import platform
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from typing import Any

import torch

from harness import events
from harness.compute.device import find_device, machine_kind
from harness.compute.workers.remaining import Remaining
from harness.contracts import DensityModel
from harness.errors import BenchError, is_out_of_memory
from harness.events import Report
from harness.plan.jobs import Chain
from harness.plan.missing import missing_epochs
from harness.plan.plan import Keys, training_failure_inputs
from harness.settings import Settings
from harness.store.failures import Failure, record_failure
from harness.store.layout import CHECKPOINTS
from harness.suite import Component


class ChainContext:
    """Plan, store, device and reporting of a chain at work.

    Arguments:
        task: Name of the work in events.
        chain: Chain to compute.
        remaining: The plan, with all data sets of the chain, the store, and what is left to do.
        settings: Settings of the run.
        report: Receives every event.
        stop: Returns True once the worker is asked to end.
    """

    def __init__(
        self,
        task: str,
        chain: Chain,
        remaining: Remaining,
        settings: Settings,
        report: Report,
        stop: Callable[[], bool],
    ) -> None:
        self.task, self.chain, self.settings = task, chain, settings
        self.remaining, self.plan, self.store = remaining, remaining.plan, remaining.store
        self.report, self.stop = report, stop
        self.device = find_device(settings.device)

    @property
    def keys(self) -> Keys:
        """The keys of the plan in the store."""
        return self.plan.keys(self.store)

    def key(self, epoch: int) -> str:
        """Return the key of the checkpoint for an epoch."""
        key = self.plan.checkpoint_key(self.chain.id, epoch)
        assert key is not None, "data sets are prepared before chains start"
        return key

    def is_stored(self, epoch: int) -> bool:
        """Return True if the checkpoint for an epoch is stored."""
        return self.keys.has_checkpoint(self.chain.id, epoch)

    def missing_epochs(self) -> list[int]:
        """List the missing epochs, ascending."""
        return missing_epochs(self.plan, self.store, self.chain)

    def failure_of(self, epoch: int) -> Any:
        """Identify the failure of a checkpoint."""
        return training_failure_inputs(self.plan, self.chain.id, epoch)

    def store_checkpoint(
        self, epoch: int, model: DensityModel, files: dict[str, bytes], facts: dict[str, Any]
    ) -> None:
        """Store the files of a checkpoint, with facts and the origin."""
        self.store.write(
            CHECKPOINTS,
            self.key(epoch),
            files,
            inputs=self.plan.checkpoint_inputs(self.chain.id, epoch) or {},
            facts={
                **facts,
                "likelihood": model.likelihood,
                "threads": torch.get_num_threads(),
                "chain": str(self.chain.id),
                **self.origin(self.chain.model),
            },
        )
        self.report(events.JobFinished(self.task, f"{self.unit} {epoch}"))

    @property
    def unit(self) -> str:
        """Unit of the numbers on the epochs axis."""
        return self.plan.unit(self.chain.id)

    def note(self, text: str) -> None:
        """Send a message to the user."""
        self.report(events.Message(text))

    def unsupported(self, job: str, what: str, failures: list[Any], error: Exception) -> None:
        """Record that the model cannot do a job; `what` names the training or the statistic.

        What a model lacks by its nature is the same for all epochs, seeds and examples, so the
        stored text does not name them.
        """
        place = f"{self.chain.id.model} on {self.chain.id.dataset}"
        failure = Failure(f"{place}: {what}", "unsupported", str(error))
        for inputs in failures:
            record_failure(self.store, inputs, failure)
        self.report(events.JobUnsupported(self.task, job, failure.text))

    def failed(self, job: str, failures: list[Any], error: Exception, memory: str) -> None:
        """Record a failure; `memory` is the advice to give after an out-of-memory error."""
        expected = isinstance(error, BenchError)
        message = str(error) if expected else f"{type(error).__name__}: {error}"
        if is_out_of_memory(error):
            message = f"out of memory; {memory} ({message})"
        for inputs in failures:
            record_failure(self.store, inputs, Failure(job, "failed", message))
        details = "" if expected else traceback.format_exc()
        self.report(events.JobFailed(self.task, job, message, details))

    def origin(self, component: Component) -> dict[str, Any]:
        """Return the origin of a number: plugin, versions and machine."""
        return {
            "plugin": component.registered.provenance(),
            "versions": _versions(),
            "device": str(self.device),
            "machine": machine_kind(self.device),
        }

    @contextmanager
    def step(self, step: str, total: int, of: str = "examples") -> Iterator[Callable[[int], None]]:
        """Report the start and end of a step, and yield a function that reports progress."""
        self.report(events.StepStarted(self.task, step, total, of))
        try:
            yield lambda amount: self.report(events.StepAdvanced(self.task, amount))
        finally:
            self.report(events.StepFinished(self.task))


@cache
def _versions() -> dict[str, str]:
    packages = ("oodbench", "torch", "numpy", "pillow")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
