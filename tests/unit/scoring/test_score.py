"""Scoring and running: statuses, notes, failures that stay in their cell."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from harness import events
from harness.cli.display.displays import NoDisplay
from harness.compute.checkpoints import load_model
from harness.errors import MissingDataError, SuiteError
from harness.metrics.overlap import overlap
from harness.results import Metrics
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.run.saved import read_results
from harness.store.layout import STATISTICS
from harness.store.records import Store
from harness.suite import load_suite
from oodbench import fixed_noise

PLUGIN = """
import math
import numpy as np
import torch
from oodbench import DomainError, Entry, Images, hookimpl


@hookimpl
def bench_scorers():
    return [Entry(name, f":{target}", "test") for name, target in (
        ("broken", "Broken"), ("infinite", "Infinite"), ("constant", "Constant"),
        ("other-epoch", "OtherEpoch"), ("too-many", "TooMany"), ("untold", "Untold"))]


@hookimpl
def bench_datasets():
    return [Entry("corrupt", ":Corrupt", "test")]


class Corrupt:
    domain = Images(1, 8, 8)
    splits = ("train", "test")

    def load(self, split):
        raise ValueError("corrupt header")


@hookimpl
def bench_models():
    return [Entry("picky", ":Picky", "test"), Entry("diverging", ":Diverging", "test"),
            Entry("energy", ":Energy", "test"), Entry("gaps", ":Gaps", "test"),
            Entry("greedy", ":Greedy", "test"), Entry("insatiable", ":Insatiable", "test")]


class LogProb:
    inputs = ("log_prob",)

    def fit(self, statistics):
        self.fitted = statistics["log_prob"]
        return self

    def score(self, statistics):
        return -statistics["log_prob"].mean((1, 2))


class Broken(LogProb):
    def score(self, statistics):
        raise ZeroDivisionError("by design")


class Infinite(LogProb):
    def score(self, statistics):
        scores = super().score(statistics)
        scores[3] = math.inf
        return scores


class Constant(LogProb):
    def score(self, statistics):
        return np.zeros(len(statistics["log_prob"]))


class TooMany(LogProb):
    def score(self, statistics):
        return -statistics["log_prob"].reshape(-1, 1)


class Untold(LogProb):
    def fit_info(self):
        return {"it": object()}


class OtherEpoch(LogProb):
    inputs = ("log_prob", "log_prob@flow:0")

    def score(self, statistics):
        difference = statistics["log_prob"] - statistics["log_prob@flow:0"]
        return -difference.mean((1, 2))


class Picky(torch.nn.Module):
    def __init__(self, domain):
        raise DomainError(f"only for images of the moon, not {domain}")


class Energy(torch.nn.Module):
    likelihood = "unnormalized"

    def __init__(self, domain, sharpness: float = 0.0):
        super().__init__()
        self.domain = domain
        self.sharpness = sharpness
        self.weight = torch.nn.Parameter(torch.zeros(domain.dims))

    def log_prob(self, x):
        pixels = x.flatten(1).to(self.weight.dtype)
        return pixels @ self.weight + self.sharpness * pixels.mean(1)


class Gaps(Energy):
    # No density for examples whose first pixel is odd.

    def log_prob(self, x):
        holes = torch.where(x[:, 0, 0, 0] % 2 == 1, -math.inf, 0.0)
        return super().log_prob(x) + holes


class Greedy(Energy):
    # Has memory for 16 examples of evaluation at most.

    def log_prob(self, x):
        if not self.training and len(x) > 16:
            raise RuntimeError(f"DefaultCPUAllocator: can't allocate memory: {len(x)}")
        return super().log_prob(x)


class Insatiable(Energy):
    def log_prob(self, x):
        raise RuntimeError("CUDA error: out of memory")


class Diverging(Energy):
    def log_prob(self, x):
        return super().log_prob(x) * (1 if self.weight.abs().max() == 0 else math.nan)
"""


@pytest.fixture
def suite_with(tiny_suite):
    """The tiny suite with plugins for tests and some text replaced."""

    def build(*replacements):
        (tiny_suite.parent / "plugin.py").write_text(PLUGIN)
        text = tiny_suite.read_text()
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        tiny_suite.write_text('plugins.paths = ["plugin.py"]\n' + text)
        return load_suite(tiny_suite)

    return build


def outcome_of(suite, settings, **options):
    return run(suite, settings, NoDisplay(), **options)


def by_scorer(outcome):
    return {result.cell.scorer: result for result in outcome.results}


TWO_SCORERS = """
[scorers.over-epochs]
plugin = "waic"
options = { epochs = [0, 2] }

[scorers.both]
plugin = "ensemble"
options = { scorers = ["typicality", "over-epochs"] }

"""
SCORERS = '["log-likelihood", "typicality", "gradient-gaussian"]'


def test_a_scorer_that_fails_stays_in_its_cells(suite_with, settings):
    suite = suite_with((SCORERS, '["log-likelihood", "broken", "infinite", "constant"]'))
    outcome = outcome_of(suite, settings)
    found = by_scorer(outcome)
    assert outcome.exit_status == 1
    assert found["log-likelihood"].status == "ok"
    assert (found["broken"].status, found["broken"].message) == (
        "failed",
        "ZeroDivisionError: by design",
    )
    assert found["infinite"].message == (
        "infinite returned non-finite scores for 1 of 6 ID groups; the first is inf, for group 3"
    )
    assert found["broken"].metrics is None
    assert found["constant"].metrics.auroc == 0.5


def test_a_statistic_of_another_epoch_is_read(suite_with, settings):
    outcome = outcome_of(suite_with((SCORERS, '["log-likelihood", "other-epoch"]')), settings)
    results = {(r.cell.scorer, r.cell.epoch): r for r in outcome.results if r.cell.group_size == 1}
    assert outcome.exit_status == 0
    assert results["other-epoch", 0].metrics.auroc == 0.5  # its difference is 0 everywhere
    assert results["other-epoch", 2].metrics.auroc != results["log-likelihood", 2].metrics.auroc


def test_a_model_that_cannot_be_built_is_unsupported(suite_with, settings):
    suite = suite_with(
        ('plugin = "glow"\n', 'plugin = "picky"\n'),
        ("options = { levels = 1, steps = 1, width = 4 }\n", ""),
    )
    outcome = outcome_of(suite, settings)
    assert {result.status for result in outcome.results} == {"unsupported"}
    assert outcome.results[0].message == (
        "flow on digits: training: only for images of the moon, not 1x8x8"
    )
    again = score_stored(plan_unopened(suite, settings), settings, NoDisplay())
    assert [r.to_json() for r in again.results] == [r.to_json() for r in outcome.results]


def test_a_diverging_training_keeps_the_epochs_before(suite_with, settings):
    suite = suite_with(
        ('plugin = "glow"\n', 'plugin = "diverging"\n'),
        ("options = { levels = 1, steps = 1, width = 4 }\n", ""),
        (SCORERS, '["log-likelihood"]'),
    )
    outcome = outcome_of(suite, settings)
    statuses = {(result.cell.epoch, result.status) for result in outcome.results}
    assert statuses == {(0, "ok"), (2, "failed")}
    failed = next(result for result in outcome.results if result.status == "failed")
    assert "the loss is nan at epoch 1, step 2" in failed.message


def test_a_model_without_a_density_has_no_bits_per_dimension(suite_with, settings):
    suite = suite_with(
        ('plugin = "glow"\n', 'plugin = "energy"\n'),
        ("options = { levels = 1, steps = 1, width = 4 }\n", ""),
        (SCORERS, '["log-likelihood"]'),
    )
    seen = []
    results = run(suite, settings, seen.append).results
    assert {e.unit for e in seen if isinstance(e, events.EpochFinished)} == {"loss"}
    of_bits = [name for name in Metrics._fields if name.startswith("bits_per_dim")]
    assert len(of_bits) == 4
    for result in results:
        assert {getattr(result.metrics, name) for name in (*of_bits, "ovl")} == {None}
        assert result.provenance["likelihood"] == "unnormalized"
        assert not any("bits/dim" in note for note in result.provenance["notes"])


def test_a_score_that_lacks_the_constants_of_a_model_is_not_applicable(suite_with, settings):
    suite = suite_with(
        ('plugin = "glow"\n', 'plugin = "energy"\n'),
        ("options = { levels = 1, steps = 1, width = 4 }\n", ""),
        (SCORERS, '["log-likelihood", "likelihood-regret", "over-epochs", "both"]'),
        ("[models.flow]", TWO_SCORERS + "[models.flow]"),
    )
    outcome = outcome_of(suite, settings)
    found = {result.cell.scorer: (result.status, result.message) for result in outcome.results}
    assert outcome.exit_status == 0
    assert found["log-likelihood"] == ("ok", "")
    for name in ("likelihood-regret", "over-epochs", "both"):
        assert found[name] == (
            "unsupported",
            f"{name} has no meaning for an unnormalized log-probability, which lacks another "
            "constant for each set of weights; a model that is normalized declares its likelihood",
        )


def of_the_scored_examples(outcome, settings, statistic):
    """Bits per dimension of both sides by OOD set and epoch, from checkpoints and images."""
    plan, store, found = outcome.plan, Store(settings.store), {}
    for planned in plan.cells:
        cell = planned.cell
        sides = []
        for job in planned.midpoint:
            chain = plan.chains[job.chain]
            key = plan.checkpoint_key(job.chain, cell.epoch)
            model = load_model(store, chain.model, chain.domain, key, torch.device("cpu"))
            prepared = plan.prepared[job.draw.dataset]
            ids = job.draw.ids(prepared.counts["test"])
            x = torch.from_numpy(prepared.load("test")[ids])
            with torch.no_grad():
                sides.append(-statistic(model, x).double().numpy() / (64 * np.log(2)))
        found[cell.out_dataset, cell.epoch] = sides
    return found


def test_bits_per_dim_is_of_the_density_with_noise_in_the_bin(tiny_suite, settings):
    """And not of the density in the middle of the bin, which has metrics of its own."""
    outcome = outcome_of(load_suite(tiny_suite), settings)
    noisy = of_the_scored_examples(
        outcome,
        settings,
        lambda model, x: model.log_density(x + torch.from_numpy(fixed_noise(x.numpy())).float()),
    )
    middle = of_the_scored_examples(outcome, settings, lambda model, x: model.log_prob(x))
    assert {result.cell.scorer for result in outcome.results} > {"log-likelihood"}
    for result in outcome.results:
        metrics, place = result.metrics, (result.cell.out_dataset, result.cell.epoch)
        for side, (dequantised, midpoint) in enumerate(
            zip(noisy[place], middle[place], strict=True)
        ):
            end = ("in", "out")[side]
            found = getattr(metrics, f"bits_per_dim_{end}")
            assert found == pytest.approx(dequantised.mean(), rel=5e-7)
            found_middle = getattr(metrics, f"bits_per_dim_midpoint_{end}")
            assert found_middle == pytest.approx(midpoint.mean(), rel=5e-7)
            assert abs(found - found_middle) > 1.5e-5
        assert result.provenance["likelihood"] == "exact"
        assert metrics.ovl == pytest.approx(overlap(*noisy[place]), rel=1e-3)


def test_scores_are_of_the_middle_of_the_bin(tiny_suite, settings):
    outcome = outcome_of(load_suite(tiny_suite), settings)
    for result in outcome.results:
        if result.cell.scorer == "log-likelihood" and result.cell.group_size == 1:
            for scores, side in zip(result.scores, ("in", "out"), strict=True):
                found = getattr(result.metrics, f"bits_per_dim_midpoint_{side}")
                assert found == pytest.approx(scores.mean() / (64 * np.log(2)), rel=1e-12)


def test_without_the_dequantised_statistic_a_score_stands_and_bits_are_unknown(
    tiny_suite, settings
):
    """A store of an earlier version; a run computes the statistic, and a report says so."""
    before = outcome_of(load_suite(tiny_suite), settings)
    plan, store = before.plan, Store(settings.store)
    for job in {job for planned in plan.cells for job in planned.dequantised}:
        shutil.rmtree(store.path(STATISTICS, plan.keys(store).statistic_key(job)))
    again = score_stored(plan_unopened(load_suite(tiny_suite), settings), settings, NoDisplay())
    assert not again.pending
    note = "bits/dim are unknown: dequantised_log_prob is not stored; bench run computes it"
    for result, earlier in zip(again.results, before.results, strict=True):
        assert result.provenance["notes"] == [*earlier.provenance["notes"], note]
        unknown = dict.fromkeys(("bits_per_dim_in", "bits_per_dim_out", "ovl"))
        assert result.metrics == earlier.metrics._replace(**unknown)
    after = outcome_of(load_suite(tiny_suite), settings)
    assert [x.to_json() for x in after.results] == [x.to_json() for x in before.results]


def test_ovl_is_that_of_the_scored_examples_for_every_scorer_and_group_size(tiny_suite, settings):
    results = outcome_of(load_suite(tiny_suite), settings).results
    expected = {(x.cell.out_dataset, x.cell.epoch): x.metrics.ovl for x in results}
    for result in results:
        assert result.metrics.ovl == expected[result.cell.out_dataset, result.cell.epoch]
        assert result.to_json()["ovl"] == result.metrics.ovl
    assert len(set(expected.values())) > 1


def test_overlap_of_scores_and_aupr_of_either_class_are_those_of_the_scores(tiny_suite, settings):
    results = outcome_of(load_suite(tiny_suite), settings).results
    for result in results:
        is_in = np.repeat([1, 0], [len(side) for side in result.scores])
        scores = np.concatenate(result.scores)
        aupr_in = average_precision_score(is_in, -scores)  # in-distribution is the positive class
        assert result.metrics.aupr_in == pytest.approx(aupr_in, abs=1e-12)
        aupr = average_precision_score(1 - is_in, scores)
        assert result.metrics.aupr == pytest.approx(aupr, abs=1e-12)
        assert result.metrics.ovl_scores == overlap(*result.scores)
    assert len({result.metrics.ovl_scores for result in results}) > 10
    assert any(abs(x.metrics.aupr_in - x.metrics.aupr) > 0.05 for x in results)


def test_groups_are_made_of_consecutive_examples(tiny_suite, settings):
    results = outcome_of(load_suite(tiny_suite), settings).results
    scores = {
        result.cell.group_size: result.scores_in
        for result in results
        if result.cell.scorer == "log-likelihood" and result.cell.epoch == 2
    }
    assert scores[5] == pytest.approx(scores[1].reshape(6, 5).mean(1), rel=1e-12)


def test_missing_data_stops_a_run_unless_that_is_allowed(tiny_suite, settings):
    text = tiny_suite.read_text()
    folder = (
        '[datasets.mine]\nplugin = "folder"\noptions = { path = "absent", size = 8, channels = 1 }'
    )
    tiny_suite.write_text(text.replace("[[comparisons]]", f"{folder}\n[[comparisons]]"))
    suite = load_suite(tiny_suite)
    with pytest.raises(MissingDataError) as caught:
        outcome_of(suite, settings)
    assert str(caught.value).startswith("12 of 36 cells lack data:\n  data set 'mine': ")
    outcome = outcome_of(suite, settings, allow_missing=True)
    assert outcome.exit_status == 1
    statuses = {(result.cell.out_dataset, result.status) for result in outcome.results}
    assert statuses == {("noise", "ok"), ("photos", "ok"), ("mine", "missing_data")}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_in = 30", "n_in = 601", "n_in = 601, but the test split of 'digits' has 600"),
        ("n_out = 30", "n_out = 41", "n_out = 41, but the test split of 'noise' has 40"),
        ("[1, 5]", "[31]", "a group needs 31 examples, but role 'fit' in 'digits' has only 30"),
        ("[1, 5]", "[30]", "1 ID score has no standard error: at least 2 are needed"),
        ("n_fit = 30", "n_fit = 1", "gradient-gaussian needs at least two fit groups, not 1"),
    ],
)
def test_too_few_examples_fail_their_cells_with_a_clear_message(
    suite_with, settings, old, new, message
):
    outcome = outcome_of(suite_with((old, new)), settings)
    failed = [result for result in outcome.results if result.status == "failed"]
    assert failed
    assert any(message in result.message for result in failed), {r.message for r in failed}


def test_overlap_and_limits_are_noted(suite_with, settings):
    suite = suite_with(("n_fit = 30", 'fit_overlap = "paper"'))
    (notes,) = {tuple(r.provenance["notes"]) for r in outcome_of(suite, settings).results}
    assert notes == (
        "scorers were fitted on ID test examples that include the scored examples "
        '(fit_overlap = "paper"), which flatters them; intervals and tests do not hold',
        "flow was trained on 256 random examples of the train split only",
    )


def test_every_number_names_the_plugins_that_made_it(suite_with, settings):
    outcome = outcome_of(suite_with((SCORERS, '["gradient-gaussian", "constant"]')), settings)
    found = by_scorer(outcome)
    built_in = found["gradient-gaussian"].provenance
    read = built_in["statistics"]["layer_gradient_sq_norms"]
    assert read["version"] == "1"
    assert read["model"]["distribution"] == "oodbench"
    assert read["epoch"] == 2
    assert built_in["fit"]["layers"] == 17
    of_file = found["constant"].provenance["scorer"]
    assert of_file["distribution"] == "file"
    assert len(of_file["version"]) == 12


def test_scores_of_every_group_are_kept(tiny_suite, settings):
    outcome = outcome_of(load_suite(tiny_suite), settings)
    folder = settings.store / "results" / "tiny"
    rows = json.loads((folder / "results.json").read_text())["results"]
    assert rows == [result.to_json() for result in outcome.results]
    for saved, result in zip(read_results(folder).results(), outcome.results, strict=True):
        assert saved.cell == result.cell
        assert np.array_equal(saved.scores_in, result.scores_in)
        assert np.array_equal(saved.scores_out, result.scores_out)


def test_a_damaged_statistic_fails_its_cells_and_is_computed_again(tiny_suite, settings):
    suite = load_suite(tiny_suite)
    sound = outcome_of(suite, settings)
    path = next((settings.store / "statistics").glob("*/values.npy"))
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(bytes(content))
    again = outcome_of(suite, settings)
    assert [r.to_json() for r in again.results] == [r.to_json() for r in sound.results]


def test_a_report_of_a_damaged_statistic_says_so(tiny_suite, settings):
    suite = load_suite(tiny_suite)
    outcome_of(suite, settings)
    next((settings.store / "statistics").glob("*/values.npy")).write_bytes(b"")
    damaged = score_stored(plan_unopened(suite, settings), settings, NoDisplay())
    (failed,) = [result for result in damaged.results if result.status == "failed"]
    assert "damaged: its checksum does not match; set aside, run again" in failed.message
    assert damaged.pending


def test_a_damaged_checkpoint_is_trained_again_in_the_same_run(tiny_suite, settings):
    sound = outcome_of(load_suite(tiny_suite), settings)
    path = next((settings.store / "checkpoints").glob("*/epoch-000002/model.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    for old in (settings.store / "statistics").iterdir():
        shutil.rmtree(old)
    again = outcome_of(load_suite(tiny_suite), settings)
    assert [r.to_json() for r in again.results] == [r.to_json() for r in sound.results]


def test_models_with_equal_weights_do_not_share_statistics(suite_with, settings):
    """The key of a statistic holds the model, not only its weights."""
    suite = suite_with(
        ('plugin = "glow"\n', 'plugin = "energy"\n'),
        ("options = { levels = 1, steps = 1, width = 4 }\n", "options = { sharpness = 1.0 }\n"),
        ("[datasets.digits]", OTHER_ENERGY + "[datasets.digits]"),
        ('models = "flow"', 'models = ["flow", "other"]'),
        (SCORERS, '["log-likelihood"]'),
        ("[0, 2]", "[0]"),
    )
    found = {r.cell.model: r.metrics.auroc for r in outcome_of(suite, settings).results}
    assert found["flow"] == pytest.approx(1 - found["other"])
    assert found["flow"] != found["other"]


OTHER_ENERGY = """[models.other]
plugin = "energy"
options = { sharpness = -1.0 }
training = "brief"

"""


def test_two_comparisons_of_one_cell_on_other_examples_are_refused(tiny_suite, settings):
    text = tiny_suite.read_text()
    again = text[text.index("[[comparisons]]") :].replace("n_in = 30", "n_in = 20")
    tiny_suite.write_text(text + again)
    with pytest.raises(
        SuiteError, match="flow, digits against noise, log-likelihood on different"
    ):
        plan_unopened(load_suite(tiny_suite), settings)


@pytest.mark.parametrize("scorer", ["too-many", "untold"])
def test_a_scorer_that_breaks_its_contract_fails_its_cells(suite_with, settings, scorer):
    outcome = outcome_of(suite_with((SCORERS, f'["log-likelihood", "{scorer}"]')), settings)
    found = [r for r in outcome.results if r.cell.scorer == scorer and r.cell.group_size == 5]
    messages = {
        "too-many": "too-many returned scores of shape (30, 1), not (6,)",
        "untold": "fit_info: Object of type object is not JSON serializable",
    }
    assert {(r.status, r.message) for r in found} == {("failed", messages[scorer])}


def test_a_data_set_that_raises_fails_its_own_cells_only(suite_with, settings):
    suite = suite_with(
        (
            '[datasets.photos]\nplugin = "photos"\noptions = { n_train = 10, n_test = 40 }',
            '[datasets.photos]\nplugin = "corrupt"',
        ),
    )
    results = outcome_of(suite, settings).results
    assert {(r.cell.out_dataset, r.status) for r in results} == {
        ("noise", "ok"),
        ("photos", "failed"),
    }
    assert {r.message for r in results if r.status == "failed"} == {
        "data set 'photos': ValueError: corrupt header"
    }


def test_the_failure_of_one_epoch_does_not_speak_for_another(suite_with, settings):
    replacements = (
        ('plugin = "glow"\n', 'plugin = "diverging"\n'),
        ("options = { levels = 1, steps = 1, width = 4 }\n", ""),
        (SCORERS, '["log-likelihood"]'),
    )
    suite = suite_with(*replacements, ("[0, 2]", "[2]"))
    outcome_of(suite, settings)
    suite.path.write_text(suite.path.read_text().replace("epochs = [2]", "epochs = [0]"))
    other = score_stored(plan_unopened(load_suite(suite.path), settings), settings, NoDisplay())
    assert other.results == []
    assert len(other.pending) == 4


def test_the_batch_size_changes_rounding_only(tiny_suite, settings, tmp_path):
    suite = load_suite(tiny_suite)
    first = outcome_of(suite, settings)
    other = dataclasses.replace(settings, store=tmp_path / "other", batch_size=7)
    for one, two in zip(first.results, outcome_of(suite, other).results, strict=True):
        assert one.scores_in == pytest.approx(two.scores_in, rel=1e-2, abs=1e-3)
        assert abs(one.metrics.auroc - two.metrics.auroc) <= 0.01


def test_events_tell_the_story_of_a_run(tiny_suite, settings):
    seen = []
    outcome = run(load_suite(tiny_suite), settings, seen.append)
    started = next(event for event in seen if isinstance(event, events.RunStarted))
    finished = [event for event in seen if isinstance(event, events.JobFinished)]
    assert started.jobs == len(finished) == 2 + 2 * (4 + 3 + 8)
    epochs = [(e.epoch, e.unit) for e in seen if isinstance(e, events.EpochFinished)]
    assert epochs == [(1, "bits/dim"), (2, "bits/dim")]
    cells = [event.result for event in seen if isinstance(event, events.CellFinished)]
    assert cells == [result.to_json() for result in outcome.results]
    assert seen[-1] == events.RunFinished("tiny", {"ok": 24})
    steps = [event for event in seen if isinstance(event, events.StepStarted)]
    advanced = sum(event.amount for event in seen if isinstance(event, events.StepAdvanced))
    assert advanced == sum(step.total for step in steps)


ENERGY = ('plugin = "glow"\noptions = { levels = 1, steps = 1, width = 4 }', 'plugin = "energy"')
LIKELIHOOD = (SCORERS, '["log-likelihood"]')


def with_model(name):
    return (ENERGY[0], f'plugin = "{name}"'), LIKELIHOOD


def test_a_statistic_that_is_not_finite_names_the_example(suite_with, settings):
    outcome = outcome_of(suite_with(*with_model("gaps")), settings)
    results = [r for r in outcome.results if r.cell.group_size == 1 and r.cell.epoch == 0]
    found = {r.cell.out_dataset: r for r in results}
    assert found["noise"].status == "failed"
    job = outcome.plan.cells[0].reads["log_prob"].out
    assert job.draw.dataset == "noise"
    ids = job.draw.ids(40)
    images = outcome.plan.prepared["noise"].load("test")
    bad = [n for n in ids if images[n, 0, 0, 0] % 2 == 1]
    assert 0 < len(bad) < 30
    assert found["noise"].message == (
        f"log_prob of noise (out) is not finite in {len(bad)} of 30 groups: the first is -inf for "
        f"'log_prob' at test example {bad[0]}"
    )


def test_equal_scores_are_chance_and_marked(suite_with, settings):
    outcome = outcome_of(suite_with((SCORERS, '["constant", "log-likelihood"]')), settings)
    found = by_scorer(outcome)
    assert (found["constant"].metrics.auroc, found["constant"].metrics.auroc_se) == (0.5, 0.0)
    cell = found["constant"].cell
    note = f"constant at epoch 2 against {cell.out_dataset}: all scores are equal, so the AUROC is"
    assert found["constant"].provenance["notes"][-1] == f"{note} 0.5 and says nothing"
    assert not any("equal" in note for note in found["log-likelihood"].provenance["notes"])


def test_statistics_go_on_in_smaller_chunks_when_memory_runs_out(suite_with, settings, tmp_path):
    greedy = outcome_of(suite_with(*with_model("greedy")), settings)
    assert {r.status for r in greedy.results} == {"ok"}
    frugal = dataclasses.replace(settings, batch_size=4, store=tmp_path / "other")
    same = outcome_of(greedy_suite := load_suite(tmp_path / "tiny.toml"), frugal)
    assert greedy_suite.name == "tiny"
    assert [r.metrics.auroc for r in greedy.results] == [r.metrics.auroc for r in same.results]


def test_a_training_without_memory_says_what_to_change(suite_with, settings):
    outcome = outcome_of(suite_with(*with_model("insatiable")), settings)
    messages = {r.cell.epoch: r.message for r in outcome.results}
    assert messages[2] == (
        "flow on digits: training: out of memory; try a smaller minibatch (a new training), a "
        "smaller model or another --device (RuntimeError: CUDA error: out of memory)"
    )
