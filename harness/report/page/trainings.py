"""Each training: its losses along the epochs and, if asked for, samples."""

from __future__ import annotations

from typing import Any

from harness.errors import StoreError
from harness.plan.jobs import ChainId
from harness.plan.keys import checkpoint_key
from harness.plan.plan import Plan
from harness.report.figures.samples import try_to_sample
from harness.report.page.atlas import atlas
from harness.report.page.budget import ByteBudget
from harness.report.page.rows import rounded
from harness.store.layout import CHECKPOINTS
from harness.store.records import Store
from harness.text import one_line

SAMPLES = 16
"""Of an epoch."""


def training_data(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """Epochs that are stored and their bits per dimension, training by training.

    `train` is the mean training loss of the epoch, `own` that of examples of the own test split
    after it; None where it is not known. `likelihood` says what kind of density the model gives.
    """
    found = []
    for chain, planned in plan.chains.items():
        facts = {
            epoch: known
            for epoch in sorted(planned.epochs)
            if (known := _facts(plan, store, chain, epoch)) is not None
        }
        found.append(
            {
                "model": one_line(chain.model),
                "in": one_line(chain.dataset),
                "seed": chain.seed,
                "asked": sorted(planned.epochs),
                "epochs": list(facts),
                "train": [rounded(x.get("train_bits_per_dim")) for x in facts.values()],
                "own": [rounded(x.get("own_bits_per_dim")) for x in facts.values()],
                "likelihood": next((str(x.get("likelihood")) for x in facts.values()), ""),
            }
        )
    return found


def sample_data(
    plan: Plan, store: Store, temperature: float, budget: ByteBudget
) -> tuple[list[dict[str, Any]], list[str]]:
    """Samples of each training by epoch, from the same noise, and why some are not there.

    Loads checkpoints, and so imports torch.

    Arguments:
        plan: With its data sets found.
        store: Where the checkpoints are.
        temperature: Of the samples.
        budget: What the images may take.
    """
    samples: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for chain, planned in plan.chains.items():
        for epoch in sorted(planned.epochs):
            if not plan.keys(store).has_checkpoint(chain, epoch):
                continue
            sheet, note = _sheet(plan, store, chain, epoch, temperature, budget)
            if note:
                notes[one_line(note)] = None
            if sheet:
                place = {"model": one_line(chain.model), "in": one_line(chain.dataset)}
                samples.append({**place, "seed": chain.seed, "epoch": epoch, **sheet})
    return samples, list(notes)


def _sheet(
    plan: Plan, store: Store, chain: ChainId, epoch: int, temperature: float, budget: ByteBudget
) -> tuple[dict[str, Any] | None, str]:
    """An atlas of samples, or why there is none."""
    images, note = try_to_sample(plan, store, chain, epoch, temperature)
    if images is None:
        return None, note
    images = images[:SAMPLES]
    if not budget.take(images.size):
        return None, "samples of some epochs are left out to keep the page small"
    return atlas(images, plan.chains[chain].domain.levels), ""


def _facts(plan: Plan, store: Store, chain: ChainId, epoch: int) -> dict[str, Any] | None:
    """What was measured when an epoch was stored; None if it is not there or damaged."""
    if not plan.keys(store).has_checkpoint(chain, epoch):
        return None
    try:
        key = checkpoint_key(str(plan.train_key(chain)), epoch)
        return store.manifest(CHECKPOINTS, key).facts
    except StoreError:
        return None
