"""Corrections of p-values for many tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values by Holm's method: rejection at α keeps the family-wise error at most α.

    p̃_(i) = max_{j <= i} min(1, (k - j + 1) p_(j)), with the p-values in ascending order.

    Reference: A simple sequentially rejective multiple test procedure (Holm, 1979).
    """
    return _step_down(p_values, lambda left: left)


def against_best(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of tests against the best of k scorers, chosen on the same groups.

    p̃_(j) = max_{i <= j} min(1, r (r + 1) / 2 p_(i)),  r = k - i: the number of all pairs among the
    scorers that are left, because each of them could have been the best. Holm's factors r are too
    small: with 12 equal scorers, .12 to .17 of columns then have a false mark.

    Arguments:
        p_values: k - 1 p-values.
    """
    return _step_down(p_values, lambda left: left * (left + 1) // 2)


def _step_down(p_values: Sequence[float], factor: Callable[[int], int]) -> list[float]:
    """Multiply each p-value by the factor for the number of tests left, in ascending order."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, factor(len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
