"""Results of a run as files: `results/SUITE/` of the store."""

from __future__ import annotations

import io
import json
from typing import Any

from harness.run.outcome import Outcome
from harness.store.hashing import digest
from harness.store.records import Store, replace_file


def save_results(outcome: Outcome, store: Store) -> None:
    """Keep results and the score of every group under `results/SUITE/`.

    Those of a selection lie in a folder of their own below, and take nothing's place.
    """
    import numpy as np

    scores: dict[str, Any] = {}
    for number, result in enumerate(outcome.results):
        if result.scores_in is not None and result.scores_out is not None:
            scores[f"{number}.in"] = result.scores_in
            scores[f"{number}.out"] = result.scores_out
    buffer = io.BytesIO()
    np.savez(buffer, **scores)
    folder = store.root / "results" / outcome.plan.suite
    only = outcome.plan.only.as_arguments()
    if only:
        folder /= f"only-{digest(only)[:8]}"
    replace_file(folder / "scores.npz", buffer.getvalue())
    results = [item.to_json() for item in outcome.results]
    rows = {"suite": outcome.plan.suite, "only": only, "results": results}
    replace_file(folder / "results.json", json.dumps(rows, indent=1, allow_nan=False).encode())
