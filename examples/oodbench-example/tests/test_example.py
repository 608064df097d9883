"""The example plugins keep the contracts defined by `bench`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from oodbench_example.dataset import CSV
from oodbench_example.scorer import NormAndBits
from oodbench_example.vae import SmallVAE

from oodbench.testing import assert_conforms, check_dataset, check_model, check_scorer


def test_the_scorer_conforms() -> None:
    assert_conforms(check_scorer(NormAndBits))


def test_the_model_conforms() -> None:
    assert_conforms(check_model(partial(SmallVAE, hidden=16)))


def test_the_data_set_conforms(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 10)):
        lines = rng.integers(0, 256, (count, 9))
        np.savetxt(tmp_path / f"{split}.csv", lines, fmt="%d", delimiter=",")
    assert_conforms(check_dataset(partial(CSV, path=tmp_path, size=3)))
