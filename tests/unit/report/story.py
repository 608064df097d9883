"""Results with a bit of everything, made of fixed scores: nothing is trained, nothing drawn."""

from __future__ import annotations

import numpy as np

from harness.results import Cell, Published
from harness.scoring.baselines import flag_beaten
from tests.made_results import estimated, made_result, scored_result

TITLE = "Story: a|b, 50 % of [bold]it[/bold]"
BASELINES = ("mean-intensity",)
OUTS = {
    "svhn": 1.0,
    "<script>alert(1)</script>": 0.3,
    "a|b": 1.4,
    "textures": 0.6,
    "gaussian-noise-of-many-levels": 2.0,
    "flipped": 0.05,
}
"""OOD sets, and how far their scores lie from those of the ID set, in units of their range."""

SCORERS = {
    "log-likelihood": (-0.5, 0.02),
    "50%_x": (0.6, 0.03),
    "[red]typicality": (0.4, 0.05),
    "mean-intensity": (0.5, 0.0),
}
"""How much of that distance a scorer sees at epoch 0, and what each epoch adds."""

FAILED = "the loss is nan at epoch 16, step 3; try a lower learning rate"


def story():
    """Two models, two group sizes, three epochs, four scorers, six OOD sets."""
    found = [
        _result(Cell(model, "cifar10", out, scorer, epoch, size, 0), groups)
        for model, epochs in (("glow", (0, 4, 16)), ("glow-<b>big</b>", (0,)))
        for size, groups in ((1, 90), (5, 18))
        for scorer in SCORERS
        for epoch in epochs
        for out in OUTS
    ]
    return flag_beaten(found, BASELINES)


def _result(cell, groups):
    if cell.group_size == 5 and cell.epoch == 16 and cell.scorer == "50%_x":
        return made_result(cell, "failed", FAILED)
    if cell.model == "glow" and cell.out_dataset == "flipped" and cell.group_size == 5:
        return made_result(cell, "missing_data", "data set 'flipped': no `raw/x_[1].mat` here")
    sees, learns = SCORERS[cell.scorer]
    shift = OUTS[cell.out_dataset] * (sees + learns * cell.epoch) * cell.group_size**0.5
    spread = _spread(groups, len(cell.scorer))
    scores_in, scores_out = spread, spread[::-1] * 0.9 + shift
    published = None
    if cell.scorer == "50%_x" and cell.out_dataset in ("svhn", "a|b") and cell.group_size == 1:
        difference = estimated(scores_in, scores_out).auroc - 0.8
        published = Published(0.8, 0.02, 0.76, 0.84, difference, difference < 0.05, "Table_1")
    return scored_result(
        cell,
        scores_in,
        scores_out,
        bits_per_dim_in=4.0 - cell.epoch / 16,
        published=published,
        provenance={"notes": ["trained on 1,000 examples & no more"]},
    )


def _spread(groups, order):
    """Even steps from 0 to 1 in an order of their own: every scorer errs elsewhere."""
    steps = np.arange(groups, dtype=np.float64)
    return ((steps * (order * 2 + 1) + order) % groups + steps / groups / 8) / groups
