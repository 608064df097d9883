"""TensorBoard: what its own reader finds is what the store has."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness import events
from harness.cli.display.session import session
from harness.run.run import run
from harness.store.layout import CHECKPOINTS
from harness.suite import load_suite
from tests.unit import stored

MODULE = "plugins.trackers.tensorboard"


def scalars(folder):
    """All curves of a run, (epoch, value) each, and the texts."""
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    tags = accumulator.Tags()
    curves = {
        tag: [(point.step, point.value) for point in accumulator.Scalars(tag)]
        for tag in tags["scalars"]
    }
    texts = {
        tag: accumulator.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in tags["tensors"]
    }
    return curves, texts


def tracked(tmp_path, write_suite, settings):
    """Run a small suite with the tracker; its results and what was written."""
    suite = load_suite(write_suite(stored.SMALL, "small.toml"), (MODULE,))
    log = tmp_path / "small.log"
    with session(suite.registry, "none", log) as report:
        outcome = run(suite, settings, report)
    assert log.read_text() == ""  # where a hook that fails is named
    (folder,) = (settings.store / "runs" / "small").iterdir()
    return outcome, folder


def test_curves_are_those_of_the_store(tmp_path, write_suite, settings):
    outcome, folder = tracked(tmp_path, write_suite, settings)
    curves, texts = scalars(folder / "tensorboard")
    store = stored.store(tmp_path)
    facts = {
        int(key.rpartition("-")[2]): store.manifest(CHECKPOINTS, key).facts
        for key in store.keys(CHECKPOINTS)
    }
    losses = curves.pop("train_bits_per_dim/flow on digits (seed 0)")
    assert [epoch for epoch, _ in losses] == [1, 2]
    assert dict(losses)[2] == pytest.approx(facts[2]["train_bits_per_dim"], rel=1e-6)
    expected = {}
    for item in outcome.results:
        tag = f"auroc/flow on digits (seed 0)/noise/{item.cell.scorer} (b=1)"
        expected.setdefault(tag, []).append((item.cell.epoch, pytest.approx(item.metrics.auroc)))
    assert curves == expected
    assert len(expected) == 2
    (text,) = texts.values()
    assert '"learning_rate": 0.001' in text
    assert (folder / "events.jsonl").exists()


def test_an_interrupted_run_keeps_the_losses_so_far(tmp_path):
    from plugins.trackers import tensorboard

    tensorboard.bench_run_started(events.RunStarted("s", 1, 1, folder=str(tmp_path / "a")))
    tensorboard.bench_epoch_finished(events.EpochFinished("t", "m", "d", 3, 1, 2.5, 1.0))
    curves, _ = scalars(tmp_path / "a" / "tensorboard")
    assert curves == {"train_bits_per_dim/m on d (seed 3)": [(1, 2.5)]}
    tensorboard.bench_cell_finished(
        events.CellFinished(
            {"model": "m", "in": "d", "seed": 0, "out": "o", "scorer": "s", "group_size": 1}
            | {"epoch": 1, "auroc": None}
        )
    )
    tensorboard.bench_run_finished(events.RunFinished("s", {}))
    tensorboard.bench_epoch_finished(events.EpochFinished("t", "m", "d", 3, 2, 2.0, 1.0))
    assert scalars(tmp_path / "a" / "tensorboard")[0] == curves


def test_it_is_imported_only_if_asked_for(write_suite):
    path = write_suite(stored.SMALL)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from harness.suite import load_suite\n"
        f"load_suite(Path({str(path)!r}), REQUESTED)\n"
        "print([m for m in ('tensorboard', 'google.protobuf', 'torch') if m in sys.modules])\n"
    )
    for requested, found in (((), "[]"), ((MODULE,), "['tensorboard', 'google.protobuf']")):
        script = code.replace("REQUESTED", repr(requested))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.stdout.strip() == found, done.stderr


def test_without_the_package_it_says_what_to_install(write_suite):
    path = write_suite(stored.SMALL)
    code = (
        "import sys\n"
        "sys.modules['tensorboard'] = None\n"
        f"sys.argv = ['bench', 'plan', {str(path)!r}, '-p', {MODULE!r}]\n"
        "from oodbench._start import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install tensorboard, or install the wheel of oodbench" in done.stderr
