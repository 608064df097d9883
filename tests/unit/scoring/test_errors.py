"""What the error of a number is made of: examples, copies of images, and the fit."""

from __future__ import annotations

import numpy as np
import pytest

from harness.cli.display.displays import NoDisplay
from harness.metrics.placements import win_counts
from harness.metrics.roc import auroc
from harness.run.run import run
from harness.scoring.reader import StatisticReader
from harness.store.records import Store
from harness.suite import load_suite
from plugins.scorers.typicality import Typicality

INVERTED = """
    [datasets.inverted]
    plugin = "transformed"
    options = { source = "digits", transform = "invert" }

    [datasets.twice]
    plugin = "transformed"
    options = { source = "inverted", transform = "rotate-90" }
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run with an OOD set of changed copies, one of copies of copies, and two others."""
    from tests.conftest import TINY_SUITE
    from tests.places import settings_in

    folder = tmp_path_factory.mktemp("errors")
    path = folder / "tiny.toml"
    path.write_text(TINY_SUITE + INVERTED)
    settings = settings_in(folder)
    return run(load_suite(path), settings, NoDisplay()), Store(settings.store)


def by_image(result):
    """The standard error by its definition, a loop over the images."""
    v, w = win_counts(*result.scores)
    n, m = len(result.scores_in), len(result.scores_out)
    v, w = v / (2 * n), w / (2 * m)
    area = v.mean()
    apart = [(v[i] - area) / m + (w[i] - area) / n for i in range(n)]
    return np.sqrt(n / (n - 1) * sum(x * x for x in apart))


def test_copies_have_errors_by_image_and_others_do_not(ran):
    outcome, _ = ran
    found = {out: [] for out in ("noise", "photos", "inverted", "twice")}
    for result in outcome.results:
        assert result.status == "ok"
        same = result.metrics.auroc_se_examples == pytest.approx(by_image(result), abs=1e-12)
        assert result.is_by_image == (result.cell.out_dataset in ("inverted", "twice"))
        found[result.cell.out_dataset].append((same, result.metrics.auroc not in (0.0, 1.0)))
    assert all(same for out in ("inverted", "twice") for same, _ in found[out])
    assert not all(same for same, is_inside in found["noise"] if is_inside)


def test_copies_are_drawn_in_the_order_of_their_images(ran):
    plan = ran[0].plan
    (planned, *_) = [x for x in plan.cells if x.cell.out_dataset == "inverted"]
    jobs = next(iter(planned.reads.values()))
    images = plan.prepared["digits"].load("test")
    copies = plan.prepared["inverted"].load("test")
    levels = plan.chains[jobs.in_.chain].domain.levels
    ins = images[jobs.in_.draw.ids(len(images))]
    outs = copies[jobs.out.draw.ids(len(copies))]
    np.testing.assert_array_equal(outs, levels - 1 - ins[: len(outs)])


def test_refits_leave_out_each_tenth_of_the_fit_groups(ran):
    outcome, store = ran
    reader = StatisticReader(outcome.plan, store)
    results = {result.cell: result for result in outcome.results}
    planned = next(x for x in outcome.plan.cells if x.cell.scorer == "typicality")
    result, size = results[planned.cell], planned.cell.group_size
    jobs = planned.reads["log_prob"]
    fit, in_, out = (reader.groups(job, size) for job in (jobs.fit, jobs.in_, jobs.out))
    blocks = min(10, len(fit))
    expected = []
    for block in range(blocks):
        kept = [group for number, group in enumerate(fit) if number % blocks != block]
        scorer = Typicality().fit({"log_prob": np.stack(kept)})
        expected.append(auroc(scorer.score({"log_prob": in_}), scorer.score({"log_prob": out})))
    np.testing.assert_allclose(result.refits, expected, atol=1e-12)
    assert result.metrics.n_fit == len(fit)
    se = np.sqrt((blocks - 1) / blocks * sum((x - np.mean(expected)) ** 2 for x in expected))
    assert result.metrics.auroc_se_fit == pytest.approx(se, abs=1e-12)
    assert result.metrics.auroc_se == pytest.approx(
        np.hypot(se, result.metrics.auroc_se_examples), abs=1e-12
    )


def test_a_scorer_that_fits_nothing_has_no_refits(ran):
    for result in ran[0].results:
        if result.cell.scorer == "log-likelihood":
            assert (result.refits, result.metrics.n_fit) == (None, 0)
            assert result.metrics.auroc_se_fit == 0.0
