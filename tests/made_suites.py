"""Made-up results of a shipped suite: nothing is trained, nothing drawn."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np

from harness.domain import Images
from harness.plan.expand import make_plan
from harness.suite import load_suite
from tests.made_results import scored_result

SUITES = Path(__file__).parent.parent / "suites"
GROUPS = 24


def made_plan(name):
    """The plan of a suite, without data."""
    plan = make_plan(load_suite(SUITES / f"{name}.toml"), {})
    for chain in plan.chains.values():
        chain.domain = Images(3, 32, 32)
    return plan


def made_results(plan):
    """A result for each cell of the last training, and of the last epochs of all others."""
    cells = [planned.cell for planned in plan.cells]
    own = cells[-1]
    last = {(cell.model, cell.in_dataset): cell.epoch for cell in cells}  # epochs ascend
    return [
        made_result_of(cell)
        for cell in cells
        if cell[:2] == own[:2] or cell.epoch == last[cell.model, cell.in_dataset]
    ]


def made_result_of(cell):
    """A result whose scores depend on all parts of its cell; later epochs separate better."""
    rng = np.random.default_rng(crc32(repr(cell).encode()))
    steady = np.random.default_rng(crc32(repr((cell.scorer, cell.out_dataset)).encode()))
    shift = steady.uniform(-1, 3) + 0.1 * np.log1p(cell.epoch) + rng.normal(0, 0.2)
    own, other = rng.normal(size=GROUPS), rng.normal(shift, 1.2, GROUPS)
    scale = 10.0 ** steady.integers(-2, 6)
    bits = {"bits_per_dim_in": 7 / (1 + 0.1 * np.log1p(cell.epoch)), "bits_per_dim_out": 8.0}
    known = {"ovl": 0.5, "ovl_scores": steady.uniform(0, 1)}
    return scored_result(cell, scale * own, scale * other, **bits, **known)
