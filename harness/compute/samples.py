"""Samples drawn from a stored checkpoint."""

from __future__ import annotations

from harness.contracts import Samplable
from harness.domain import Examples
from harness.plan.jobs import ChainId
from harness.plan.plan import Plan
from harness.store.records import Store

SIDE = 6
"""Number of rows and columns in a grid of samples."""

SEED = 0
"""Seed for the noise, the same at every epoch, so that grids show how one sample develops."""


def stored_samples(
    plan: Plan, store: Store, chain: ChainId, epoch: int, temperature: float
) -> Examples | None:
    """Draw samples from a stored checkpoint, (n, *shape); None if the model cannot sample.

    Raises:
        StoreError: The checkpoint is damaged.
    """
    import torch  # here, because reports import this module and seldom draw

    from harness.compute.checkpoints import load_model

    planned = plan.chains[chain]
    key = str(plan.checkpoint_key(chain, epoch))
    model = load_model(store, planned.model, planned.domain, key, torch.device("cpu"))
    if not isinstance(model, Samplable):
        return None
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        drawn: Examples = model.sample(SIDE * SIDE, generator, temperature).cpu().numpy()
    return drawn
