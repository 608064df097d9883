"""Sentences and ranks by a literal computation, which shares no code with the harness.

Cells are looked up one by one, means are fractions, tests are written out: slow and obvious.
Results differ in model, OOD set and scorer only.
"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from functools import cache
from statistics import mean, variance

from scipy.stats import norm, t


@cache
def wins(result):
    """For each OOD group the share of ID groups below it, for each ID group that of OOD above."""

    def beats(high, low):
        return 1.0 if high > low else 0.5 if high == low else 0.0

    # the numbers of groups are powers of two, so that all shares are exact
    ins, outs = result.scores_in.tolist(), result.scores_out.tolist()
    return (
        [sum(beats(out, in_) for in_ in ins) / len(ins) for out in outs],
        [sum(beats(out, in_) for out in outs) / len(outs) for in_ in ins],
    )


def auroc(result):
    return Fraction(mean(wins(result)[0]))


def paired_p_value(a, b):
    """Two-sided p-value of the paired test with 10 to 29 groups a side, at least .001."""
    apart = [
        [x - y for x, y in zip(*sides, strict=True)]
        for sides in zip(wins(a), wins(b), strict=True)
    ]
    difference = mean(apart[0])
    spread = sum(variance(side) / len(side) for side in apart)
    if not difference:
        return 1.0
    groups = min(map(len, apart))
    return max(0.001, 2 * t.sf(abs(difference) / math.sqrt(spread), groups - 1) if spread else 0)


def holm(p_values):
    """Adjusted p-values: the largest (k - j + 1) p_(j) of those that are not above a p-value."""
    ordered = sorted(p_values)
    steps = [min(1.0, (len(ordered) - j) * p) for j, p in enumerate(ordered)]
    return [max(steps[: ordered.index(p) + 1]) for p in p_values]


def selected(table):
    """The names to compare, and their common blocks, of a table of numbers by block and name."""
    names = {name for block in table.values() for name in block}
    while True:
        contested = [block for block in table.values() if len(names & set(block)) >= 2]
        count = {name: sum(name in block for block in contested) for name in names}
        names = {name for name in names if count[name] > 0}
        common = [where for where, block in table.items() if names and names <= set(block)]
        richer = {name for name in names if count[name] > min(count[x] for x in names)}
        if 2 * len(common) >= len(contested) or len(richer) < 2:
            return (names, common) if len(names) >= 2 and common else (set(), [])
        names = richer


def place(cell):
    return f"{cell.model} at epoch 4, digits against {cell.out_dataset}, group size 1"


def cells(count, noun="cell"):
    return f"{count} {noun}" + "s" * (count != 1)


def counted_sentence(results):
    lacking = Counter(result.status for result in results if result.status != "ok")
    impossible = lacking.pop("unsupported", 0)
    numbers = sum(result.status == "ok" for result in results)
    if numbers == len(results):
        return f"All {numbers} cells have a number."
    text = f"{numbers} of {cells(len(results))} {'has' if numbers == 1 else 'have'} a number"
    if lacking:
        text += ": " + ", ".join(f"{count} {status}" for status, count in lacking.items())
    if impossible:
        text += f"; {impossible} {'does' if impossible == 1 else 'do'} not apply (n/a)"
    return text + "."


def winner_sentences(results, baselines):
    """The first scorer, or None, and the sentences about it."""
    table = {}
    for result in results:
        if result.status == "ok":
            where = (result.cell.model, result.cell.out_dataset)
            table.setdefault(where, {})[result.cell.scorer] = result
    names, common = selected(table)
    if not names:
        return None, []
    means = {name: mean(auroc(table[where][name]) for where in common) for name in names}
    seen = list(dict.fromkeys(name for block in table.values() for name in block))
    order = sorted(names, key=lambda name: (-means[name], name in baselines, seen.index(name)))
    first, second = order[:2]
    called = [name + " (a trivial baseline)" * (name in baselines) for name in (first, second)]
    lead = means[first] - means[second]
    ahead = f"{float(lead):.3f} above {called[1]}" if lead >= 0.0005 else f"equal to {called[1]}"
    over = f"over {cells(len(common))}"
    if len(common) < len(table):
        of = "both" if len(names) == 2 else f"all {len(names)}"
        over = f"over {len(common)} of {cells(len(table))}, those with a number for {of} compared"
        over += " scorers"
    failures = [
        result
        for result in results
        if result.cell.scorer == first
        and result.status in ("failed", "missing_data")
        and any(
            name in table.get((result.cell.model, result.cell.out_dataset), {})
            for name in names - {first}
        )
    ]
    if failures and lead * len(common) <= len(failures):
        text = f"No scorer is shown to have the highest mean AUROC: {called[0]} is {ahead} {over},"
        text += f" but has no number in {cells(len(failures), 'other')}."
    else:
        text = f"{called[0]} has the highest mean AUROC: {float(means[first]):.3f} {over}, {ahead}"
        text += told_apart([(table[where][first], table[where][second]) for where in common])
    apart = [name for name in seen if name not in names]
    left_out = f"Not compared, for want of common cells: {', '.join(apart)}."
    return first, [text, left_out] if apart else [text]


def told_apart(pairs):
    adjusted = holm([paired_p_value(*pair) for pair in pairs])
    told = [pair for pair, p in zip(pairs, adjusted, strict=True) if p <= 0.05]
    better = sum(auroc(a) > auroc(b) for a, b in told)
    worse = sum(auroc(a) < auroc(b) for a, b in told)
    tests = "(paired tests for the given trainings, Holm-corrected)."
    if not better + worse:
        return f"; cell by cell, no difference is significant {tests}"
    return (
        f"; cell by cell, it is significantly better in {better}, worse in {worse}, and not "
        f"significantly different in {len(pairs) - better - worse} {tests}"
    )


def below_chance(result):
    """One-sided p-value: the level at which Wilson's upper end is one half, by bisection."""
    area, high = result.metrics.auroc, result.metrics.auroc_high

    def upper(trials, z):
        half = z * math.sqrt(area * (1 - area) / trials + z * z / 4 / trials**2)
        return (area + z * z / 2 / trials + half) / (1 + z * z / trials)

    if area >= 0.5:
        return 1.0
    trials = bisected(lambda log: upper(math.exp(log), norm.isf(0.025)) < high, 30, -30)
    return norm.sf(bisected(lambda z: upper(math.exp(trials), z) > 0.5, 60, 0))


def bisected(is_beyond, yes, no):
    for _ in range(200):
        middle = (yes + no) / 2
        yes, no = (middle, no) if is_beyond(middle) else (yes, middle)
    return yes


def wrong_way_sentences(results, leader):
    known = [result for result in results if result.status == "ok"]
    if not known:
        return []
    adjusted = holm([below_chance(result) for result in known])
    wrong = [result for result, p in zip(known, adjusted, strict=True) if p <= 0.025]
    claim = "shown to be the wrong way round (AUROC below 0.5, Holm-corrected over "
    claim += f"{cells(len(known))})"
    marked = sum(result.metrics.auroc_high < 0.5 for result in known)
    alone = f"; without the correction there would be {marked}" * (marked > len(wrong))
    if not wrong:
        return [f"No scorer is {claim} in any cell{alone}."]
    wrong = sorted(wrong, key=auroc)
    of = Counter(result.cell.scorer for result in known)
    counts = Counter(result.cell.scorer for result in wrong).most_common()
    listed = ", ".join(f"{name} in {count} of {cells(of[name])}" for name, count in counts)
    low = wrong[0]
    by = f"{low.metrics.auroc:.3f} by {low.cell.scorer}, {place(low.cell)}"
    own = [result for result in wrong if result.cell.scorer == leader]
    named = [f"{result.metrics.auroc:.3f} for {place(result.cell)}" for result in own[:3]]
    named += [f"and {cells(len(own) - 3, 'more cell')}"] * (len(own) > 3)
    itself = f"{leader} itself is the wrong way round with {'; '.join(named)}."
    return [f"Scorers {claim}: {listed}{alone}; lowest: {by}."] + [itself] * bool(own)


def next_sentence(results):
    """The first of five rules that applies."""
    known = [result for result in results if result.status == "ok"]
    reasons = [
        f"{result.status}: {result.message}"
        for result in results
        if result.status in ("failed", "missing_data")
    ]
    if reasons:
        often = max(reasons, key=reasons.count)
        count = cells(reasons.count(often))
        return [f"Look next at {count} without a number ({often})."]
    rules = (beaten_place, blind_place, disputed_place, uncertain_place)
    found = [text for rule in rules if known and (text := rule(known))]
    return [f"Look next at {found[0]}."] if found else []


def places_of(results):
    return [
        [x for x in results if place(x.cell) == where]
        for where in dict.fromkeys(place(x.cell) for x in results)
    ]


def beaten_place(known):
    trivial = {beaten.scorer for result in known for beaten in result.beaten_by}
    best, rest = [], []
    for there in places_of(known):
        judged = [result for result in there if result.cell.scorer not in trivial]
        top = max(judged, key=auroc) if judged else None
        for result in judged:
            for other in there:
                lead = auroc(other) - auroc(result)
                if (
                    other.cell.scorer in trivial
                    and lead > 0
                    and paired_p_value(other, result) <= 0.05
                ):
                    name = result.cell.scorer
                    of = f"every scorer, the best of which is {name}" if len(judged) > 1 else name
                    (best if result is top else rest).append(
                        (lead, result, other, of if result is top else name)
                    )
    found = best or rest
    if not found:
        return ""
    lead, result, other, of = max(found, key=lambda item: item[0])
    by = f"the trivial baseline {other.cell.scorer} is {float(lead):.3f} above {of}"
    return f"{place(result.cell)}: {by}"


def blind_place(known):
    tops = [max(there, key=lambda x: x.metrics.auroc_low) for there in places_of(known)]
    top = min(tops, key=lambda x: x.metrics.auroc_low)
    if top.metrics.auroc_low > 0.5:
        return ""
    count = sum(place(x.cell) == place(top.cell) for x in known)
    subject = (
        f"none of the {count} scorers there is" if count > 1 else "the only scorer there is not"
    )
    return (
        f"{top.cell.model}, digits against {top.cell.out_dataset}, group size 1: {subject} above "
        f"chance beyond error at any epoch; the closest is {top.cell.scorer} at epoch 4 with "
        f"{top.metrics.auroc:.3f}"
    )


def disputed_place(known):
    def gap(there):
        return max(x.metrics.auroc_low for x in there) - min(x.metrics.auroc_high for x in there)

    there = max(places_of(known), key=gap)
    if gap(there) <= 0:
        return ""
    high = max(there, key=lambda x: x.metrics.auroc_low)
    low = min(there, key=lambda x: x.metrics.auroc_high)
    return (
        f"{place(high.cell)}, where the scorers disagree most: {high.metrics.auroc:.3f} by "
        f"{high.cell.scorer}, {low.metrics.auroc:.3f} by {low.cell.scorer}"
    )


def uncertain_place(known):
    widest = max(known, key=lambda x: x.metrics.auroc_high - x.metrics.auroc_low)
    metrics = widest.metrics
    return (
        f"{place(widest.cell)}, {widest.cell.scorer}, the least certain number: "
        f"{metrics.auroc:.3f} with a 95 % interval from {metrics.auroc_low:.3f} to "
        f"{metrics.auroc_high:.3f}"
    )


def numbers_by(results, axis, value):
    """The values by block (OOD set, and model or scorer) and name."""
    table = {}
    for result in results:
        if result.status == "ok":
            other = result.cell.model if axis == "scorer" else result.cell.scorer
            where = (result.cell.out_dataset, other)
            table.setdefault(where, {})[getattr(result.cell, axis)] = value(result)
    return table


def ranked(table):
    """Mean ranks and mean values over the OOD sets, by name, and the common blocks."""
    names, common = selected(table)
    places, means = ({name: [] for name in names} for _ in range(2))
    for out in {out for out, _ in common}:
        of = {name: mean(table[x][name] for x in common if x[0] == out) for name in names}
        for name in names:
            higher = sum(other > of[name] for other in of.values())
            equal = sum(other == of[name] for other in of.values())
            places[name].append(higher + Fraction(1 + equal, 2))
            means[name].append(of[name])
    mean_ranks = {name: float(mean(found)) for name, found in places.items()}
    return mean_ranks, {name: float(mean(found)) for name, found in means.items()}, common
