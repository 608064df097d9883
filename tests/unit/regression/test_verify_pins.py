"""Verifying pins: what holds, what moved, and what cannot be compared."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.cli.display.displays import NoDisplay
from harness.errors import BenchError, ScoreError
from harness.plan.expand import select
from harness.regression.make_pins import changes, make_pins
from harness.regression.pins import Pins, Quantity
from harness.regression.verify_pins import exit_status, unpinned, verify_pins
from harness.suite import load_suite
from plugins.scorers.gradient_gaussian import GradientGaussian
from plugins.scorers.typicality import Typicality


def states(verdicts):
    return {verdict.state for verdict in verdicts}


def of(verdicts, scorer):
    return [verdict for verdict in verdicts if verdict.pin.cell.scorer == scorer]


def test_what_was_pinned_holds(pins, scored):
    plan, results = scored()
    verdicts = verify_pins(pins, plan, results)
    assert len(verdicts) == len(plan.cells) == 12
    assert states(verdicts) == {"holds"}
    assert exit_status(verdicts) == 0
    assert unpinned(pins, plan, results) == []
    assert exit_status([]) == 1  # nothing was verified


def without_log_term(scorer, statistics):
    """Eq. 12 without log 2π v."""
    variance = scorer.variance_[scorer.kept_] + scorer.eps
    return original(scorer, statistics) - 0.5 * np.log(2 * np.pi * variance).sum()


def mean_for_variance(scorer, statistics):
    """Eq. 12 with mean and variance swapped."""
    other = GradientGaussian(eps=scorer.eps)
    other.kept_, other.mean_ = scorer.kept_, scorer.variance_
    other.variance_ = np.abs(scorer.mean_)
    return original(other, statistics)


original = GradientGaussian.score


@pytest.mark.parametrize("fault", [without_log_term, mean_for_variance])
def test_a_wrong_term_of_equation_12_moves_every_value_of_the_score(
    pins, scored, monkeypatch, fault
):
    monkeypatch.setattr(GradientGaussian, "score", fault)
    verdicts = verify_pins(pins, *scored())
    wrong = of(verdicts, "gradient-gaussian")
    assert states(wrong) == {"value moved"}
    assert all("median ID score is " in verdict.message for verdict in wrong)
    assert all("Weights and versions match the pin (" in item.message for item in wrong)
    assert states([item for item in verdicts if item not in wrong]) == {"holds"}
    assert exit_status(verdicts) == 3
    if fault is without_log_term:  # the same for all groups: no AUROC can tell
        assert not any("AUROC is" in verdict.message for verdict in wrong)


def test_an_auroc_that_moved_is_told_in_standard_errors_with_both_provenances(pins, scored):
    pin = next(pin for pin in pins.pins if 0.1 < pin.auroc.value < 0.9)
    old = {**pin.provenance, "versions": {**pin.provenance["versions"], "torch": "1.0"}}
    moved = dataclasses.replace(
        pin, auroc=Quantity(pin.auroc.value + 0.01, 0.004), se=0.002, provenance=old
    )
    (verdict,) = verify_pins(Pins(pins.suite, (moved,)), *scored())
    assert verdict.state == "value moved"
    assert verdict.message.startswith(
        f"AUROC is {pin.auroc.value:.5f}, pinned {moved.auroc.value:.5f}: -0.01000, "
        "5.0 standard errors of 0.0020 (tolerance 0.004). Provenance: versions.torch is 2."
    )
    assert ", was 1.0 (now python 3." in verdict.message
    within = dataclasses.replace(pin, auroc=Quantity(pin.auroc.value - 0.0039, 0.004))
    assert states(verify_pins(Pins(pins.suite, (within,)), *scored())) == {"holds"}


def test_a_changed_setting_is_named(pins, scored):
    other = '[scorers.gradient-gaussian]\nplugin = "gradient-gaussian"\noptions.eps = 0.5\n\n'
    plan, results = scored("[[comparisons]]", f"{other}[[comparisons]]")
    verdicts = verify_pins(pins, plan, results)
    changed = of(verdicts, "gradient-gaussian")
    assert states(changed) == {"key changed"}
    message = "scorer.options.eps is 0.5, was 1e-10. AUROC is "
    assert all(verdict.message.startswith(message) for verdict in changed)
    assert states([item for item in verdicts if item not in changed]) == {"holds"}
    assert exit_status(verdicts) == 1


def fail(scorer, statistics):
    raise ScoreError("by design")


def test_a_cell_that_failed_says_why(pins, scored, monkeypatch):
    monkeypatch.setattr(Typicality, "score", fail)
    verdicts = verify_pins(pins, *scored())
    failed = of(verdicts, "typicality")
    assert {(item.state, item.message) for item in failed} == {
        ("cell failed", "failed: by design")
    }
    assert exit_status(verdicts) == 1


def test_without_a_number_nothing_is_pinned(ran, monkeypatch):
    path, settings = ran
    monkeypatch.setattr(Typicality, "score", fail)
    suite = select(load_suite(path), ("scorer=typicality", "group_size=1", "out=noise"))
    with pytest.raises(BenchError) as error:
        make_pins(suite, settings, NoDisplay(), tolerance=0.1)
    cell = "model=flow,in=digits,out=noise,scorer=typicality,epoch=1,group_size=1,seed=0"
    assert str(error.value) == f"{path}: no cell has a number to pin\n{cell}: by design"


def test_a_cell_that_is_gone_and_one_that_is_not_computed_are_missing(pins, scored):
    verdicts = verify_pins(pins, *scored("group_sizes = [1, 5]", "group_sizes = [1, 3]"))
    gone = [item for item in verdicts if item.pin.cell.group_size == 5]
    message = "the suite does not include the cell; in the nearest cell group_size is 1, not 5"
    assert {(item.state, item.message) for item in gone} == {("cell missing", message)}
    plan, results = scored("learning_rate = 1e-3", "learning_rate = 2e-3")
    assert results == []
    verdicts = verify_pins(pins, plan, results)
    message = "the cell is not computed yet; run bench run"
    assert {(item.state, item.message) for item in verdicts} == {("cell missing", message)}


def redrawn(pin, off_in_errors):
    """A pin made with another draw seed, off by some standard errors beyond its tolerance."""
    examples = {**pin.settings["examples"], "draw_seed": 7}
    for role in ("fit", "in", "out"):
        examples[role] = {**examples[role], "ids": f"other {role}"}
    off = pin.auroc.tolerance + off_in_errors * pin.se
    return dataclasses.replace(
        pin,
        auroc=dataclasses.replace(pin.auroc, value=pin.auroc.value - off),
        score_in=Quantity(0.0, 0.0),
        key="other",
        settings={**pin.settings, "examples": examples},
    )


def test_other_draws_add_the_sampling_error_of_both(pins, scored):
    pin = next(pin for pin in pins.pins if 0.1 < pin.auroc.value < 0.9)
    near, far = redrawn(pin, 1.96 * 2**0.5 - 0.01), redrawn(pin, 1.96 * 2**0.5 + 0.01)
    verdicts = verify_pins(Pins(pins.suite, (near, far)), *scored())
    assert [verdict.state for verdict in verdicts] == ["holds", "value moved"]
    assert "examples drawn with another seed" in verdicts[1].message


def test_changes_are_a_line_for_each_cell(pins):
    first, second, third, *_ = pins.pins
    old = Pins(pins.suite, (first, second))
    new = Pins(pins.suite, (dataclasses.replace(second, auroc=Quantity(0.25, 0.5)), third))
    gone, moved, added = changes(old, new)
    assert gone.startswith("- model=flow,in=digits,out=noise,scorer=log-likelihood")
    assert moved.endswith(f": AUROC {second.auroc.value:.5f} -> 0.25000; tolerance 0.004 -> 0.5")
    assert added.startswith("+ ")
    assert changes(new, new) == []
