"""Follow a run in TensorBoard: `bench run SUITE -p plugins.trackers.tensorboard`.

The tracker writes losses epoch by epoch and, at the end, every cell's AUROC, as scalars over the
epochs, into the subfolder `tensorboard` in the run's folder; `tensorboard --logdir STORE/runs`
shows all runs. Model options and recipes are included as text. The tracker needs the distribution
`tensorboard`, which the wheel of oodbench installs with its extra `tensorboard`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from oodbench import CellFinished, EpochFinished, RunFinished, RunStarted, hookimpl

try:
    from tensorboard.compat.proto.event_pb2 import Event as Record
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.text.summary import text_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ImportError as error:
    raise ImportError(
        "TensorBoard is not installed: pip install tensorboard, or install the wheel of oodbench "
        f"with its extra [tensorboard] ({error})"
    ) from error

FOLDER = "tensorboard"


class Tracker:
    """Event file writer for a run; a new run closes the files from the last."""

    def __init__(self) -> None:
        self.writer: Any = None

    def begin(self, event: RunStarted) -> None:
        """Open the files for a run, and describe the models."""
        self.end()
        self.writer = EventFileWriter(str(Path(event.folder) / FOLDER))
        for training in event.trainings:
            text = "    " + json.dumps(training, indent=2).replace("\n", "\n    ")  # as code
            self._write(0, text_pb(f"training/{_training(training)}", text))

    def scalar(self, tag: str, value: float, epoch: int) -> None:
        """Write a point on a curve over the epochs."""
        self._write(epoch, Summary(value=[Summary.Value(tag=tag, simple_value=value)]))

    def _write(self, step: int, summary: Any) -> None:
        if self.writer is not None:
            self.writer.add_event(Record(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Flush to disk, because the run may be killed before the end."""
        if self.writer is not None:
            self.writer.flush()

    def end(self) -> None:
        """Close the files for the run."""
        if self.writer is not None:
            self.writer.close()
        self.writer = None


TRACKER = Tracker()


@hookimpl
def bench_run_started(event: RunStarted) -> None:
    """Open the files for a run."""
    TRACKER.begin(event)


@hookimpl
def bench_epoch_finished(event: EpochFinished) -> None:
    """Write the mean training loss for an epoch, in bits per dimension."""
    place = {"model": event.model, "in": event.dataset, "seed": event.seed}
    TRACKER.scalar(f"train_bits_per_dim/{_training(place)}", event.train_bits_per_dim, event.epoch)
    TRACKER.flush()


@hookimpl
def bench_cell_finished(event: CellFinished) -> None:
    """Write the AUROC for a cell, unless the cell has failed or is undefined."""
    result = event.result
    if result["auroc"] is not None:
        where = f"{_training(result)}/{result['out']}/{result['scorer']}"
        TRACKER.scalar(
            f"auroc/{where} (b={result['group_size']})", result["auroc"], result["epoch"]
        )


@hookimpl
def bench_run_finished(event: RunFinished) -> None:
    """Close the files for the run."""
    del event
    TRACKER.end()


def _training(place: dict[str, Any]) -> str:
    return f"{place['model']} on {place['in']} (seed {place['seed']})"
