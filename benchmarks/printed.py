"""Tables of simulations in Markdown, row by row; the draws of a cell depend on its names alone."""

from __future__ import annotations

import math
import sys
import time
import zlib

import numpy as np

LARGE = (1000, 1000)
SLOW = ("gradient-svm", "dose (KDE)")


def print_table(title, names, rows, columns, measure, runs):
    """Print a table row by row.

    Arguments:
        title: Heading; the draws depend on it.
        names: Names of the columns on the left, one for each value of a row.
        rows: Tuples of values that name the rows.
        columns: Values that name the measured columns.
        measure: Returns the text of a cell, from a generator, the number of runs, the row and the
            column.
        runs: Number of runs; the last column has the numbers of runs in a row.
    """
    print(f"\n{title}\n")
    head = (*names, *map(label, columns), "runs")
    print(f"| {' | '.join(head)} |\n| {' | '.join('---' for _ in head)} |")
    start = time.perf_counter()
    for place, row in enumerate(rows):
        labels, cells, counts = [label(value) for value in row], [], {}
        for column in columns:
            key = "|".join((title, *labels, label(column)))
            count = fewer(runs, (*row, column))
            counts[f"{count:,}"] = None
            cells.append(measure(rng_of(key), count, row, column))
        print(f"| {' | '.join((*labels, *cells, '; '.join(counts)))} |", flush=True)
        seconds = time.perf_counter() - start
        print(f"  row {place + 1} of {len(rows)}, {seconds:.0f} s", file=sys.stderr, flush=True)


def rng_of(key):
    """Return the generator of a cell."""
    return np.random.default_rng(zlib.crc32(key.encode()))


def label(value):
    """Write a value that names a row or column, for example 30/20 groups, or 0.9 - 0.8."""
    if isinstance(value, tuple):
        return (" - " if isinstance(value[0], float) else "/").join(map(str, value))
    return str(value)


def fewer(runs, values):
    """Reduce the number of runs for slow cells."""
    is_large, is_slow = LARGE in values, any(name in values for name in SLOW)
    return max(1, runs // (20 if is_large and is_slow else 4 if is_large or is_slow else 1))


def text(share):
    """Write a share with three digits, without the zero before the point."""
    return "-" if math.isnan(share) else f"{share:.3f}".removeprefix("0")


def beside_plain(found):
    """Write the coverage, in brackets that of the plainer interval, and the ratio of lengths."""
    ratio = found.length / found.plain_length if found.plain_length else math.nan
    return f"{text(found.share)} ({text(found.plain)}; {ratio:.2f})"
