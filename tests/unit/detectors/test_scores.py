"""A detector gives the scores that are stored, and flags at the rate that follows from them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.data.folder import DataFolder
from harness.data.roles import Draw
from harness.detectors.conformal import most_flagged, p_values
from harness.detectors.folder import read_folder
from harness.detectors.scoring import Scoring
from harness.plan.expand import select
from harness.registry.registry import Registry
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.testing.placement.comparison import same_on_both
from oodbench import BenchError, DataError, Detector, ScoreError
from tests.unit.detectors.conftest import SCORERS


def scored(made, scorer, group_size, epoch=2):
    """For each OOD set its name, the result, and the drawn examples of both sides."""
    texts = [f"scorer={scorer}", f"epoch={epoch}", f"group_size={group_size}"]
    plan = plan_unopened(select(made.suite, texts), made.settings)
    results = score_stored(plan, made.settings, lambda event: None).results
    for result, planned in zip(results, plan.cells, strict=True):
        jobs = next(iter(planned.reads.values()))
        drawn = []
        for job in (jobs.in_, jobs.out):
            prepared = plan.prepared[job.draw.dataset]
            drawn.append(prepared.load("test")[job.draw.ids(prepared.counts["test"])])
        yield result.cell.out_dataset, result, drawn


@pytest.mark.parametrize("group_size", [1, 5])
@pytest.mark.parametrize("scorer", SCORERS)
def test_the_scores_are_those_of_the_run(made, scorer, group_size):
    _, detector = made.detector(scorer, group_size)
    sides = list(scored(made, scorer, group_size))
    assert [name for name, _, _ in sides] == ["noise", "photos"]
    for name, result, (in_, out) in sides:
        for images, expected in ((in_, result.scores_in), (out, result.scores_out)):
            np.testing.assert_allclose(detector(images).scores, expected, rtol=1e-5, atol=1e-6)
        assert (detector.calibration == result.scores_in).all()
        (facts,) = (row for row in detector.facts["results"] if row["out"] == name)
        assert facts["auroc"] == result.metrics.auroc


@pytest.mark.parametrize("scorer", ["typicality", "gradient-gaussian", "fisher-diagonal"])
def test_a_detector_works_on_a_second_device(made, scorer):
    folder, _ = made.detector(scorer)
    contents = read_folder(folder)
    ((_, _, (_, photos)),) = (x for x in scored(made, scorer, 1) if x[0] == "photos")
    same_on_both(lambda device: {"scores": Scoring(contents, Registry(), device)(photos[:4])})


def test_photos_are_flagged_at_the_rate_that_the_stored_scores_say(made):
    """The rate is counted anew, one score at a time."""
    _, detector = made.detector("gradient-gaussian")
    ((_, result, (_, photos)),) = (
        x for x in scored(made, "gradient-gaussian", 1) if x[0] == "photos"
    )
    n = len(result.scores_in)
    flagged = [
        1 + sum(calibration >= score for calibration in result.scores_in) <= 0.05 * (n + 1)
        for score in result.scores_out
    ]
    assert any(flagged)
    assert detector(photos).flags(0.05).tolist() == flagged
    (facts,) = (row for row in detector.facts["results"] if row["out"] == "photos")
    assert facts["flagged"] == np.mean(flagged)


def test_held_out_digits_are_flagged_no_more_than_the_level(made):
    """50 divisions into calibration and new examples, of digits that neither fit has seen."""
    _, detector = made.detector("gradient-gaussian")
    prepared = DataFolder(made.settings.data).prepare(made.suite.datasets["digits"])
    test, comparison = prepared.load("test"), made.suite.suite.comparisons[0]
    fit = Draw.of(comparison, "digits", "fit").ids(len(test))
    scores = detector(np.delete(test, fit, axis=0)).scores
    rng, alpha, n, found = np.random.default_rng(0), 0.05, 99, []
    for _ in range(50):
        drawn = rng.permutation(scores)
        found.append(np.mean(p_values(drawn[:n], drawn[n:]) <= most_flagged(alpha, n)))
    assert np.mean(found) <= alpha + 3 * np.std(found) / math.sqrt(50)
    assert np.mean(found) > alpha / 2


def test_p_values_are_counted_shares():
    calibration = np.array([3.0, 1.0, 2.0, 2.0])
    scores = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 3.1])
    literal = [(1 + sum(c >= s for c in calibration)) / 5 for s in scores]
    assert p_values(calibration, scores).tolist() == literal == [1.0, 1.0, 0.8, 0.4, 0.4, 0.2]


def test_rounding_makes_no_other_p_value():
    calibration = np.array([-2e5, -1.0, 0.0, 1.0, 2.0, 2e5])
    expected = p_values(calibration, calibration)
    assert expected.tolist() == [(1 + rank) / 7 for rank in (6, 5, 4, 3, 2, 1)]
    for change in (1 - 1e-7, 1 + 1e-7):
        assert (p_values(calibration, calibration * change) == expected).all()
    assert p_values(calibration, np.array([1.00001]))[0] == 3 / 7  # no rounding


@pytest.mark.parametrize("n", [1, 9, 19, 99, 100, 999])
def test_the_level_is_rounded_down_to_a_p_value(n):
    for rank in range(1, n + 1):
        assert most_flagged(rank / (n + 1), n) == rank / (n + 1)
        between = (rank + 0.5) / (n + 1)
        assert between >= 1 or most_flagged(between, n) == rank / (n + 1)


def test_a_level_that_flags_nothing_is_refused(made):
    _, detector = made.detector("typicality")
    found = detector(np.zeros((2, 1, 8, 8), np.uint8))
    assert found.flags(1 / 31).shape == (2,)
    with pytest.raises(BenchError, match="nothing can be flagged: with 30 calibration scores"):
        found.flags(0.03)
    for alpha in (0, 1, -0.1, math.nan):
        with pytest.raises(BenchError, match="between 0 and 1"):
            found.flags(alpha)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 1, 9, 8), np.uint8), r"found uint8 of shape \(2, 1, 9, 8\), expected"),
        (np.zeros((2, 1, 8, 8)), r"found float64 .*; for numbers from 0 to 1: \(255 \* x\)"),
        (np.zeros((5, 8, 8), np.uint8), r"shape \(N, 1, 8, 8\); x\[:, None\] adds the channel"),
        (np.zeros((5, 8, 8, 1), np.uint8), r"8\); x.transpose\(0, 3, 1, 2\) moves the channels"),
    ],
)
def test_other_images_are_refused(made, images, message):
    with pytest.raises(DataError, match=message):
        made.detector("typicality")[1](images)


def test_no_images_and_an_incomplete_group_have_no_score(made):
    assert len(made.detector("typicality")[1](np.zeros((0, 1, 8, 8), np.uint8)).scores) == 0
    _, detector = made.detector("gradient-gaussian", 5)
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), dtype=np.uint8)
    found = detector(images)
    assert found.scores.tolist() == detector(images[:10]).scores.tolist()
    assert len(found.p_values) == 2


def test_a_value_that_is_not_finite_is_no_score(made, monkeypatch):
    _, detector = made.detector("typicality")
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
    (model,) = detector._score.models
    log_prob = model.log_prob

    def broken(x):
        found = log_prob(x)
        found[1] = math.inf
        return found

    monkeypatch.setattr(model, "log_prob", broken)
    with pytest.raises(ScoreError, match="1 group of 3 without a score: .* is group 1"):
        detector(images)
    statuses = [row.status for row in detector._scored(grouped(images))]
    assert statuses == ["ok", "failed", "ok"]


def grouped(images):
    from harness.detectors.inputs import Group

    return [Group((f"{number}.png",), image[None]) for number, image in enumerate(images)]


def test_make_in_python_writes_and_loads(made, tmp_path):
    detector = Detector.make(
        made.path,
        tmp_path / "mine",
        scorer="typicality",
        epoch=2,
        store=made.settings.store,
        data=made.settings.data,
        device="cpu",
    )
    assert detector.facts["group_size"] == 1  # the smallest
    assert (detector.calibration == made.detector("typicality")[1].calibration).all()
