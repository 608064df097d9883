"""A store of made-up statistics, as large as asked for: nothing is trained, nothing evaluated."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np

from harness.plan.jobs import Chain, StatisticJob
from harness.plan.keys import checkpoint_key
from harness.plan.plan import Plan
from harness.run.prepare import plan_opened
from harness.settings import Settings
from harness.store.hashing import digest
from harness.store.layout import CHECKPOINTS, STATISTICS
from harness.store.records import Store, array_bytes
from harness.suite import ResolvedSuite, load_suite

SUITE = """
title = "Made up"
[training.t]
[models]
{models}
[datasets]
{datasets}
[[comparisons]]
models = [{names}]
in = [{ins}]
out = "others"
epochs = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500]
group_sizes = [1, 2, 5, 10, 20]
scorers = ["log-likelihood", "typicality", "gradient-gaussian"]
n_in = {examples}
n_fit = {examples}
n_out = {examples}
"""

LAYERS = 10


@contextmanager
def filled(rows: int, kept: Path | None) -> Iterator[tuple[ResolvedSuite, Settings]]:
    """Make a suite of so many cells and fill its store.

    Arguments:
        rows: Least number of cells.
        kept: Folder for both, which the next call finds filled; a temporary one if None.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = kept or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        suite = suite_with(rows, folder)
        settings = Settings(store=folder / "store", data=folder / "data")
        if not settings.store.exists():
            fill(suite, settings)
        yield suite, settings


def suite_with(rows: int, folder: Path, examples: int = 400):
    """A suite of at least so many cells: ten data sets, each against the others."""
    count = -(-rows // (10 * 9 * 10 * 5 * 3))
    models, sets = (
        [f"{kind}-{k}" for k in range(n)] for kind, n in (("model", count), ("set", 10))
    )
    glow = 'plugin = "glow", training = "t", options = {{ levels = 1, steps = 1, width = {} }}'
    noise = 'plugin = "noise", options = {{ n_train = 100, n_test = {}, seed = {} }}'
    path = folder / "made-up.toml"
    path.write_text(
        SUITE.format(
            models="\n".join(
                f"{name} = {{ {glow.format(8 + k)} }}" for k, name in enumerate(models)
            ),
            datasets="\n".join(
                f"{name} = {{ {noise.format(2 * examples, k)} }}" for k, name in enumerate(sets)
            ),
            names=", ".join(f'"{name}"' for name in models),
            ins=", ".join(f'"{name}"' for name in sets),
            examples=examples,
        )
    )
    return load_suite(path)


def fill(suite, settings: Settings) -> Plan:
    """Store what a run of the suite would, with random numbers for values; OOD ones lie higher."""
    plan = plan_opened(suite, settings, lambda event: None)
    store, rng = Store(settings.store), np.random.default_rng(0)
    with patch.object(os, "fsync", lambda descriptor: None):  # nobody minds losing it
        for chain in plan.chains.values():
            _store_checkpoints(plan, chain, store, rng)
            shifts = {
                (name, epoch): rng.uniform(-0.5, 2)
                for name in plan.prepared
                for epoch in chain.epochs
            }
            for job in chain.jobs:
                is_out = job.draw.role == "out"
                shift = shifts.get((job.draw.dataset, job.epoch), 1.0) if is_out else 0.0
                _store_statistic(plan, job, store, rng.normal, shift)
    return plan


def _store_checkpoints(plan: Plan, chain: Chain, store: Store, rng: np.random.Generator) -> None:
    for epoch in sorted(chain.epochs):
        store.write(
            CHECKPOINTS,
            checkpoint_key(str(plan.train_key(chain.id)), epoch),
            {"model.safetensors": rng.bytes(16)},
            inputs=plan.train_inputs(chain.id) or {},
            facts={
                "likelihood": "exact",
                "plugin": chain.model.registered.provenance(),
                "train_bits_per_dim": rng.uniform(2, 8),
            },
        )


def _store_statistic(plan: Plan, job: StatisticJob, store: Store, normal, shift: float) -> None:
    _, count = plan.examples(job.draw, plan.prepared[job.draw.dataset])
    if job.group_size is None:
        features, values = ["log_prob"], -300 - 20 * normal(shift, 1.2, (count, 1))
    else:
        features = [f"layer.{k}" for k in range(LAYERS)]
        values = np.exp(normal(shift, 1.2, (count // job.group_size, LAYERS)))
    inputs = plan.keys(store).statistic_inputs(job) or {}
    facts = {
        "features": features,
        "seconds": 1.0,
        "plugin": plan.chains[job.chain].jobs[job].registered.provenance(),
        "versions": {},
    }
    files = {"values.npy": array_bytes(values)}
    store.write(STATISTICS, digest(inputs), files, inputs=inputs, facts=facts)
