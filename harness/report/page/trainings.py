"""Trainings on the page: losses by epoch and, on request, samples."""

from __future__ import annotations

from typing import Any

from harness.errors import StoreError
from harness.plan.jobs import ChainId
from harness.plan.meaning import log_prob_unit, loss_unit
from harness.plan.plan import Plan
from harness.report.figures.samples import try_to_sample
from harness.report.page.atlas import sheet, sheet_bytes
from harness.report.page.budget import ByteBudget
from harness.report.page.rows import rounded
from harness.store.layout import CHECKPOINTS
from harness.store.records import Store
from harness.text import one_line

SAMPLES = 16
"""Number of samples per epoch."""


def training_data(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """Collect the losses at stored epochs, for each training.

    `train` is the mean training loss during the epoch, `own` minus the mean log-probability after
    the epoch of examples from the test split of the training data set; both are None if unknown.
    Checkpoints of earlier versions have no `own`: they store the density in the middle of the bin.
    `likelihood` names the kind of density computed by the model.
    """
    found = []
    for chain, planned in plan.chains.items():
        facts = {
            epoch: known
            for epoch in sorted(planned.epochs)
            if (known := _facts(plan, store, chain, epoch)) is not None
        }
        likelihood: Any = next((x["likelihood"] for x in facts.values()), "")
        found.append(
            {
                "model": one_line(chain.model),
                "in": one_line(chain.dataset),
                "seed": chain.seed,
                "asked": sorted(planned.epochs),
                "epochs": list(facts),
                "train": [rounded(x.get("train_bits_per_dim")) for x in facts.values()],
                "own": [rounded(x.get("own_dequantised_bits_per_dim")) for x in facts.values()],
                "train_unit": loss_unit(likelihood, planned.domain.unit),
                "own_unit": log_prob_unit(likelihood, planned.domain.unit),
                "likelihood": likelihood,
            }
        )
    return found


def sample_data(
    plan: Plan, store: Store, temperature: float, budget: ByteBudget
) -> tuple[list[dict[str, Any]], list[str]]:
    """Draw samples for each training by epoch, always from the same noise.

    Loading checkpoints imports torch.

    Arguments:
        plan: Plan with known data sets.
        store: Store with the checkpoints.
        temperature: Sampling temperature.
        budget: Byte budget for the samples.

    Returns:
        The samples, and the reasons for missing samples.
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
    """Return a sheet of samples, or None and a reason."""
    samples, note = try_to_sample(plan, store, chain, epoch, temperature)
    if samples is None:
        return None, note
    domain = plan.chains[chain].domain
    if not budget.take(SAMPLES * sheet_bytes(domain)):
        return None, f"samples of some {plan.unit(chain)}s are left out to keep the page small"
    return sheet(samples[:SAMPLES], domain), ""


def _facts(plan: Plan, store: Store, chain: ChainId, epoch: int) -> dict[str, Any] | None:
    """Read the measurements stored with an epoch; None if the epoch is missing or damaged."""
    if not plan.keys(store).has_checkpoint(chain, epoch):
        return None
    try:
        return store.manifest(CHECKPOINTS, str(plan.checkpoint_key(chain, epoch))).facts
    except StoreError:
        return None
