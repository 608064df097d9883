"""The saved epochs of a model that was trained elsewhere, read into the store."""

from __future__ import annotations

from collections.abc import Callable

from harness.compute.checkpoints import build_model, tensor_bytes
from harness.compute.saved.loading import load_saved
from harness.compute.workers.context import ChainContext
from harness.errors import DataError, UnsupportedError
from harness.store.failures import clear_failure
from harness.store.layout import CHECKPOINTS, WEIGHTS

READING_MEMORY = "the file has to fit into memory: leave the optimiser out of it"


class SavedReader:
    """Reads the missing epochs of a model that was trained elsewhere, and trains nothing."""

    def __init__(self, context: ChainContext) -> None:
        self._context, self._chain = context, context.chain

    def read(self) -> None:
        """Store the missing epochs, then refuse epochs with equal weights."""
        context = self._context
        if not (missing := context.missing_epochs()):
            return
        with context.step(f"reading saved {context.unit}s", len(missing), "files") as advance:
            for epoch in missing:
                self._try(epoch, self._read)
                advance(1)
        for epoch in sorted(self._chain.epochs):
            self._try(epoch, self._refuse_copy)
            if context.is_stored(epoch):
                clear_failure(context.store, context.failure_of(epoch))

    def _try(self, epoch: int, do: Callable[[int], None]) -> None:
        job = f"{self._context.task}: {self._context.unit} {epoch}"
        try:
            do(epoch)
        except UnsupportedError as error:
            failures = [self._context.failure_of(epoch)]
            self._context.unsupported(job, "saved epochs", failures, error)
        except Exception as error:
            failures = [self._context.failure_of(epoch)]
            self._context.failed(job, failures, error, READING_MEMORY)

    def _read(self, epoch: int) -> None:
        chain, saved = self._chain, self._chain.model.saved
        if self._context.store.has(CHECKPOINTS, self._context.key(epoch)):
            return  # a copy of another epoch
        assert saved is not None, "only of models with saved epochs"
        inputs = self._context.plan.checkpoint_inputs(chain.id, epoch) or {}
        model = build_model(chain.model, chain.domain, 0)
        way = load_saved(model, saved, chain.id.seed, epoch, inputs["saved"]["content"])
        facts = {"file": str(saved.paths[chain.id.seed, epoch]), "found": way, "unit": saved.unit}
        files = {WEIGHTS: tensor_bytes(model.state_dict())}
        self._context.store_checkpoint(epoch, model, files, facts)

    def _refuse_copy(self, epoch: int) -> None:
        if (why := self._context.keys.refusal(self._chain.id, epoch)) is not None:
            raise DataError(why)
