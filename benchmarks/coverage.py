"""Simulates how often 95 % intervals cover the true value, and how often tests are wrong.

    uv run python benchmarks/coverage.py --part examples
    uv run python benchmarks/coverage.py --part fits --runs 100

Prints tables in Markdown, row by row. The draws of a cell depend on its row and column alone, so
every part can be repeated by itself. `--runs` replaces the number of runs of a part; cells with
1,000 groups a side get a quarter, slow scorers a quarter, both together a twentieth. The standard
error of a share near .95 is .0034 with 4,000 runs, .0069 with 1,000, and .022 with 100.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import product
from unittest.mock import patch

import numpy as np

from benchmarks import measured
from benchmarks.printed import LARGE, beside_plain, label, print_table, rng_of, text
from benchmarks.simulated import FAMILIES, ONE_SIDED, SHAPES, TWO_SIDED
from harness.metrics.multiple import holm

AREAS = (0.5, 0.8, 0.95, 0.99, 0.998)
SMALL, MIDDLE, USUAL = (30, 20), (75, 75), (150, 100)


def examples(runs):
    """The interval of one AUROC for other examples."""

    def measure(rng, count, row, area):
        return beside_plain(measured.of_examples(rng, *row, area, count))

    rows = list(product(SHAPES, (SMALL, MIDDLE, USUAL, LARGE)))
    areas = sorted((*AREAS, 0.98))
    title = "Examples: covered (by A ∓ 1.96 DeLong errors; ratio of lengths)"
    print_table(title, ("scores", "groups"), rows, areas, measure, runs)


def near_one(runs):
    """The length of the same near 1."""

    def measure(rng, count, row, area):
        found = measured.near_one(rng, *row, area, count)
        shares = text(found.share), text(found.stretched)
        return "{} ({}; {:.2f}; {:.2f})".format(*shares, found.ratio, found.least)

    shapes = ("normal, OOD spread 1", "2 (1 - A) of OOD like ID")
    rows = list(product(shapes, (MIDDLE, USUAL, (300, 300), LARGE)))
    title = (
        "Near 1: covered (by A ∓ 1.6 * 1.96 DeLong errors; ratio of lengths to A ∓ 1.96 DeLong "
        "errors; least ratio due to perfect separations)"
    )
    print_table(title, ("scores", "groups"), rows, (0.98, 0.99, 0.995, 0.998), measure, runs)


def few_groups(runs):
    """The same for fewer groups than a test needs."""

    def measure(rng, count, row, area):
        return beside_plain(measured.of_examples(rng, "normal, OOD spread 1", *row, area, count))

    rows = [((groups, groups),) for groups in (3, 5, 8, 10)]
    title = "Few groups: covered (by A ∓ 1.96 DeLong errors; ratio of lengths)"
    print_table(title, ("groups",), rows, AREAS[:3], measure, runs)


def print_fits(title, conditions, runs):
    def measure(rng, count, row, area):
        name, kind, n_fit, sizes = row
        return beside_plain(measured.of_fit(rng, name, kind, area, n_fit, sizes, count))

    parts = product(FAMILIES, (ONE_SIDED, TWO_SIDED), conditions)
    rows = [(name, kind, *condition) for name, kind, condition in parts]
    title = f"{title}: covered (without the fit's part; ratio of lengths)"
    print_table(title, ("scorer", "shift", "fit", "groups"), rows, AREAS, measure, runs)


def fits(runs):
    """The interval of one AUROC for another fit, of 75 groups and more."""
    print_fits("Fits of 75 and 150 groups", ((75, MIDDLE), (150, USUAL)), runs)


def small_fits(runs):
    """The same for fits of 30 groups."""
    print_fits("Fits of 30 groups", ((30, SMALL), (30, USUAL)), runs)


def large_fits(runs):
    """The same for 1,000 tested groups a side."""
    print_fits("1,000 groups a side", ((30, LARGE), (1000, LARGE)), runs)


def differences(runs):
    """The interval of a difference between two scorers on the same groups."""
    pairs = ((0.8, 0.8), (0.8, 0.9), (0.95, 0.95), (0.95, 0.99), (0.9, 0.99), (0.99, 0.998))

    def measure(rng, count, row, areas):
        sizes, correlation = row
        return beside_plain(measured.of_difference(rng, areas, sizes, correlation, count))

    rows = list(product(((15, 10), SMALL, (75, 50), USUAL, LARGE), (0.5, 0.95)))
    title = "Differences: covered (by d ∓ 1.96 DeLong errors; ratio of lengths)"
    print_table(title, ("groups", "correlation"), rows, pairs, measure, runs)


def fitted_differences(runs):
    """The same for two scorers with a fit: all layers, and a third of the layers."""

    def measure(rng, count, row, area):
        kind, n_fit, sizes = row
        return beside_plain(measured.of_fitted_difference(rng, kind, area, n_fit, sizes, count))

    conditions = ((75, MIDDLE), (150, USUAL), (30, SMALL), (30, USUAL))
    rows = [(kind, *item) for kind, item in product((ONE_SIDED, TWO_SIDED), conditions)]
    title = "Differences with a fit: covered (without the fit's part; ratio of lengths)"
    print_table(title, ("shift", "fit", "groups"), rows, (0.8, 0.95, 0.99), measure, runs)


def trainings(runs):
    """Intervals of means over trainings."""

    def measure(rng, count, row, trained):
        sizes, correlation, seeds = row
        area, spread = trained
        found = measured.of_trainings(rng, area, spread, seeds, sizes, correlation, count)
        return beside_plain(found)

    some = ((0.8, 0.001), (0.8, 0.05), (0.8, 0.1), (0.95, 0.03), (0.99, 0.01))
    rows = list(product((SMALL, USUAL, LARGE), (0.5, 0.9), (2, 3, 5)))
    title = "Trainings (A - spread): covered (by mean ∓ 1.96 s/√S; ratio of lengths)"
    print_table(title, ("groups", "correlation", "S"), rows, some, measure, runs)


def training_tests(runs):
    """Tests of equal and unequal means over trainings."""
    cases = (
        ("same", 0.001, 0.001),
        ("same", 0.01, 0.01),
        ("same", 0.05, 0.05),
        ("same", 0.1, 0.1),
        ("separate", 0.05, 0.05),
        ("separate", 0.1, 0.01),
    )

    def measure(rng, count, row, seeds):
        kind, *spreads, sizes = row
        found = [
            measured.significant_trainings(
                rng, kind, (0.8 + more, 0.8), spreads, (seeds, seeds), sizes, count
            )
            for more in (0.0, 0.05, 0.1)
        ]
        return "{} ({}, {})".format(*map(text, found))

    rows = [(*case, sizes) for case, sizes in product(cases, (SMALL, USUAL, LARGE))]
    names = ("trainings", "spread of a", "of b", "groups")
    title = "Trainings, A = .8, S = 2, 3, 5: significant if equal (if .05, .1 apart)"
    print_table(title, names, rows, (2, 3, 5), measure, runs)


def marks(runs):
    """Columns of equal scorers with a false mark."""

    def measure(rng, count, row, scorers):
        area, sizes, correlation = row
        count *= max(4 if sizes == LARGE else 1, 24 // scorers)
        return text(measured.of_marks(rng, [area] * scorers, sizes, correlation, count).false)

    rows = list(product((0.8, 0.95, 0.99), (SMALL, USUAL, LARGE), (0, 0.5, 0.9)))
    title = (
        "Marks: columns of equal scorers with a false mark; k = 2, 4, 12, 30 with 12, 6, 2, 1 "
        "times the runs, for 1,000 groups 12, 6, 4, 4 times"
    )
    print_table(title, ("A", "groups", "correlation"), rows, (2, 4, 12, 30), measure, runs)


def fitted_marks(runs):
    """The same for scorers that fit something, each to a statistic of its own."""

    def measure(rng, count, row, scorers):
        kind, n_fit, sizes, area, correlation = row
        count *= 12 // scorers
        areas = [area] * scorers
        found = measured.of_fitted_marks(rng, kind, areas, n_fit, sizes, correlation, count)
        return text(found.false)

    kinds, fits = (ONE_SIDED, TWO_SIDED), ((75, MIDDLE), (75, USUAL))
    parts = product(kinds, fits, (0.8, 0.95), (0, 0.5, 0.9))
    rows = [(kind, *condition, *rest) for kind, condition, *rest in parts]
    title = (
        "Marks with a fit: columns of equal typicality scorers with a false mark; k = 4, 12 with "
        "3 times and once the runs"
    )
    names = ("shift", "fit", "groups", "A", "correlation")
    print_table(title, names, rows, (4, 12), measure, runs)


def holm_marks(runs):
    """The same with Holm's factors, which do not allow for the choice of the best."""

    def measure(rng, count, row, scorers):
        with patch("harness.report.significance.against_best", holm):
            return text(measured.of_marks(rng, [0.8] * scorers, *row, count).false)

    rows = list(product((USUAL,), (0, 0.5, 0.9)))
    title = "Marks with Holm's factors, A = .8: columns of equal scorers with a false mark"
    print_table(title, ("groups", "correlation"), rows, (4, 12, 30), measure, runs)


def found_marks(runs):
    """Columns with worse scorers."""
    cases = {
        ".90, .85": [0.9, 0.85],
        "4 of .90, 8 of .85": [0.9] * 4 + [0.85] * 8,
        "11 of .90, 1 of .85": [0.9] * 11 + [0.85],
        "1 of .90, 11 of .85": [0.9] + [0.85] * 11,
        "6 of .99, 6 of .94": [0.99] * 6 + [0.94] * 6,
    }

    def measure(rng, count, row, sizes):
        name, correlation = row
        found = measured.of_marks(rng, cases[name], sizes, correlation, count)
        return f"{text(found.false)} ({text(found.found)})"

    rows = list(product(cases, (0.5, 0.9)))
    title = "Marks: columns with a false mark (worse scorers marked)"
    sizes = (SMALL, USUAL, LARGE)
    print_table(title, ("scorers", "correlation"), rows, sizes, measure, runs)


def epochs(runs):
    """Epochs that are named although they are worse by the margin, in the worst conditions."""

    def measure(rng, count, row, _):
        sizes, name, epochs, top, margin, correlation = row
        areas = measured.curves(epochs, top, margin)[name]
        found = measured.of_epochs(rng, areas, sizes, correlation, margin, count)
        return f"{text(found.wrong)}, {text(found.wrong_last)}"

    names = ("groups", "curve", "epochs", "best A", "margin", "correlation")
    for sizes in (SMALL, USUAL, LARGE):
        worst = first_pass(sizes, max(50, runs // 16))
        title = "How early: wrong answers against any epoch, against the last"
        print_table(title, names, worst, ("wrong",), measure, runs)


def first_pass(sizes, runs):
    """Return the six conditions with most wrong answers; print how wrong all conditions are."""
    margins = (0.01, 0.05) if sizes != LARGE else (0.01,)
    found = []
    for epochs, top, margin in product((2, 4, 9, 26), (0.8, 0.99, 0.9999), margins):
        shapes = measured.curves(epochs, top, margin)
        del shapes["flat"]  # no answer is wrong
        for (name, areas), correlation in product(shapes.items(), (0.5, 0.9)):
            row = (sizes, name, epochs, top, margin, correlation)
            rng = rng_of(repr(row))
            early = measured.of_epochs(rng, areas, sizes, correlation, margin, runs)
            found.append((max(early.wrong, early.wrong_last), row))
        print(f"  {epochs} epochs, {top}, {margin}", file=sys.stderr, flush=True)
    found.sort(key=lambda item: item[0], reverse=True)
    wrong = [share for share, _ in found]
    print(f"\n{label(sizes)}: {len(found)} conditions with {runs} runs each; wrong answers: mean")
    print(f"{text(float(np.mean(wrong)))}, largest {text(wrong[0])}. The six worst, drawn anew:")
    return [row for _, row in found[:6]]


def early_epochs(runs):
    """Epochs before the last that are named, for equal epochs."""

    def measure(rng, count, row, sizes):
        area, margin, correlation = row
        found = measured.of_epochs(rng, [area] * 9, sizes, correlation, margin, count)
        return f"{text(found.early)}, {text(found.early_last)}"

    rows = list(product((0.9, 0.99), (0.01, 0.05), (0.9, 0.98)))
    title = "How early: an epoch before the last is named against any, against the last; 9 equal"
    sizes = (SMALL, USUAL, (500, 500), LARGE)
    print_table(title, ("A", "margin", "correlation"), rows, sizes, measure, runs)


def images(runs):
    """Copies of the ID images as OOD groups."""

    def measure(rng, count, row, area):
        images, correlation = row
        return beside_plain(measured.of_images(rng, area, correlation, images, count))

    rows = list(product((30, 100, 500), (-0.5, 0.0, 0.5, 0.9, 0.97)))
    title = "Pairs of images: covered (as if all images differed; ratio of lengths)"
    print_table(title, ("images", "correlation"), rows, AREAS[:-1], measure, runs)


PARTS = {
    "examples": (examples, 4000),
    "near-one": (near_one, 4000),
    "few-groups": (few_groups, 4000),
    "fits": (fits, 400),
    "small-fits": (small_fits, 400),
    "large-fits": (large_fits, 400),
    "differences": (differences, 4000),
    "fitted-differences": (fitted_differences, 400),
    "trainings": (trainings, 4000),
    "training-tests": (training_tests, 4000),
    "marks": (marks, 400),
    "fitted-marks": (fitted_marks, 400),
    "holm-marks": (holm_marks, 400),
    "found-marks": (found_marks, 400),
    "epochs": (epochs, 1600),
    "early-epochs": (early_epochs, 200),
    "images": (images, 4000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--runs", type=int)
    asked = parser.parse_args()
    for name, (part, runs) in PARTS.items():
        if asked.part in (name, "all"):
            start = time.perf_counter()
            part(asked.runs or runs)
            print(f"\n{name}: {time.perf_counter() - start:.0f} seconds", flush=True)


if __name__ == "__main__":
    main()
