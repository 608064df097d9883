"""Made-up scores of trainings, as results for the harness and as parts for `literal`."""

from __future__ import annotations

import math

import numpy as np

from harness.metrics.evidence import evidence_of_scores, variances
from harness.results import Cell, Metrics, Result
from tests.statistics.literal import parts_of


def scores(rng, shifts, sizes, *, blocks=0, correlation=0.6, step=0.0, spread=1.2):
    """Scores and AUROCs of refits of several scorers on the same groups; `step` makes ties.

    Each shift is a scorer or training: (ID scores, OOD scores, AUROCs of the refits).
    """
    common = [rng.normal(size=size) for size in sizes]
    of_blocks = rng.normal(size=blocks)
    found = []
    for shift in shifts:
        sides = [
            math.sqrt(correlation) * part + math.sqrt(1 - correlation) * rng.normal(size=len(part))
            for part in common
        ]
        sides[1] = spread * sides[1] + shift
        if step:
            sides = [np.round(side / step) * step for side in sides]
        refits = 0.8 + 0.01 * of_blocks + 0.01 * rng.normal(size=blocks)
        found.append((*sides, refits))
    return found


def result(of, *, scorer="s", seed=0, epoch=0, **values):
    """A result with scores, refits if any, and the numbers that marks depend on."""
    scores_in, scores_out, refits = of
    evidence = evidence_of_scores(scores_in, scores_out, refits if len(refits) else None)
    found = variances(evidence)
    se_examples, se_fit = math.sqrt(found.examples[0]), math.sqrt(found.fit[0])
    numbers = {
        **dict.fromkeys(Metrics._fields, 0.0),
        "auroc": float(evidence.aurocs[0, 0]),
        "auroc_se": math.hypot(se_examples, se_fit),
        "auroc_se_examples": se_examples,
        "auroc_se_fit": se_fit,
        "n_in": len(scores_in),
        "n_out": len(scores_out),
        "n_fit": len(refits) and 40,
    }
    return Result(
        Cell("m", "i", "o", scorer, epoch, 1, seed),
        "ok",
        metrics=Metrics(**numbers),
        scores_in=scores_in,
        scores_out=scores_out,
        refits=refits if len(refits) else None,
        **values,
    )


def row(trainings, **names):
    """The results of a scorer, one per training."""
    return [result(of, seed=seed, **names) for seed, of in enumerate(trainings)]


def literally(trainings):
    """The same trainings for `literal`."""
    return [parts_of(*of) for of in trainings]
