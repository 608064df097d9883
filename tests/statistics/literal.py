"""The formulas of the error bars, one by one: plain loops over pairs of groups, SciPy's quantiles.

A training is a `Parts`: for one scorer, the components of its AUROC. A scorer is a list of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import optimize, stats


@dataclass
class Parts:
    """V of each OOD group, W of each ID group, and the AUROC of each refit."""

    v: list
    w: list
    refits: list

    @property
    def auroc(self):
        return sum(self.v) / len(self.v)


def parts_of(scores_in, scores_out, refits=()):
    """Compare each OOD group with each ID group; ties count half."""

    def win(o, i):
        return 1.0 if o > i else 0.5 if o == i else 0.0

    v = [sum(win(o, i) for i in scores_in) / len(scores_in) for o in scores_out]
    w = [sum(win(o, i) for o in scores_out) / len(scores_out) for i in scores_in]
    return Parts(v, w, list(refits))


def minus(a, b):
    """The differences of two scorers, training by training; without refits a fit is exact."""
    found = []
    for x, y in zip(a, b, strict=True):
        g = max(len(x.refits), len(y.refits))
        of_x, of_y = x.refits or [0.0] * g, y.refits or [0.0] * g
        pairs = ((x.v, y.v), (x.w, y.w), (of_x, of_y))
        found.append(Parts(*([p - q for p, q in zip(*pair, strict=True)] for pair in pairs)))
    return found


def mean_parts(trainings):
    """The components averaged over the trainings."""
    columns = ([t.v for t in trainings], [t.w for t in trainings], [t.refits for t in trainings])
    return Parts(*([sum(x) / len(x) for x in zip(*rows, strict=True)] for rows in columns))


def apart(x):
    return [value - sum(x) / len(x) for value in x]


def covariance(x, y):
    return sum(p * q for p, q in zip(apart(x), apart(y), strict=True)) / (len(x) - 1)


def of_examples(p, q):
    """DeLong's covariance of two AUROCs on the same groups."""
    return covariance(p.v, q.v) / len(p.v) + covariance(p.w, q.w) / len(p.w)


def of_images(p, q):
    """The same if OOD group i has copies of the images in ID group i."""
    m, n = len(p.v), len(p.w)

    def share(t, image):
        of_out = apart(t.v)[image] / m if image < m else 0.0
        of_in = apart(t.w)[image] / n if image < n else 0.0
        return of_out + of_in

    images = max(m, n)
    total = sum(share(p, image) * share(q, image) for image in range(images))
    return total * images / (images - 1)


def of_fit(p, q):
    """The jackknife's covariance of two AUROCs with the same blocks."""
    g = len(p.refits)
    if g == 0:
        return 0.0
    pairs = zip(apart(p.refits), apart(q.refits), strict=True)
    return (g - 1) / g * sum(x * y for x, y in pairs)


@dataclass
class Variances:
    """c and v for examples and fit, s²/S and its degrees of freedom."""

    examples: float
    fit: float
    training: float
    all_examples: float
    all_fit: float
    df: float


def shared_part(trainings, of):
    """The mean of the covariances off the diagonal, at least 0; for one training its variance."""
    places = range(len(trainings))
    off = [of(trainings[s], trainings[t]) for s in places for t in places if s != t]
    return max(0.0, sum(off) / len(off)) if off else of(trainings[0], trainings[0])


def variances(trainings, examples=of_examples):
    s = len(trainings)

    def whole(of):
        return sum(of(p, q) for p in trainings for q in trainings) / s**2

    training, df = 0.0, math.inf
    if s > 1:
        areas = [t.auroc for t in trainings]
        training, df = covariance(areas, areas) / s, s - 1
    shared = [shared_part(trainings, of) for of in (examples, of_fit)]
    return Variances(*shared, training, whole(examples), whole(of_fit), df)


def separate_variances(a, b):
    """The variances of mean a minus mean b, for models with trainings of their own."""
    of_a, of_b = variances(a), variances(b)

    def between(of):
        return sum(of(p, q) for p in a for q in b) / (len(a) * len(b))

    given = [
        of_a.all_examples + of_b.all_examples - 2 * between(of_examples),
        of_a.all_fit + of_b.all_fit - 2 * between(of_fit),
    ]
    if min(len(a), len(b)) == 1:
        return Variances(*given, 0.0, *given, math.inf)
    shared = [
        max(0.0, of_a.examples + of_b.examples - 2 * between(of_examples)),
        max(0.0, of_a.fit + of_b.fit - 2 * between(of_fit)),
    ]
    x, y = of_a.training, of_b.training
    squares = x**2 / (len(a) - 1) + y**2 / (len(b) - 1)
    welch = (x + y) ** 2 / squares if squares else 1.0  # without a spread, its part is 0
    return Variances(*shared, x + y, *given, math.floor(welch))


def student(z, df):
    """The quantile of Student's t at the level of the normal quantile z."""
    return z if math.isinf(df) else stats.t.isf(stats.norm.sf(z), df)


def trials(area, n, m):
    """H, the effective number of trials that an AUROC alone leads to expect."""
    return n * m / (1 + ((n + m) / 2 - 1) * ((1 - area) / (2 - area) + area / (1 + area)))


def examples_interval(parts, variance, z=None):
    """Wilson's interval for the examples' part."""
    z = stats.norm.ppf(0.975) if z is None else z
    n, m, area = len(parts.w), len(parts.v), parts.auroc
    d = area * (1 - area) / variance if variance else math.inf
    h = trials(area, n, m)
    if area >= 0.5:
        k = min(sum(x < 1 for x in parts.v), sum(x < 1 for x in parts.w))
    else:
        k = min(sum(x > 0 for x in parts.v), sum(x > 0 for x in parts.w))
    number = d if d <= h else (k + 10) / (k / d + 10 / h)
    half = z * math.sqrt(area * (1 - area) / number + z * z / (4 * number**2))
    low = (area + z * z / (2 * number) - half) / (1 + z * z / number)
    high = (area + z * z / (2 * number) + half) / (1 + z * z / number)
    bound = 1 / (1 + z * z / trials(1.0, n, m))
    low, high = min(low, bound), max(high, 1 - bound)
    return (0.0 if area == 0 else low), (1.0 if area == 1 else high)


def logit_interval(area, half):
    """Logit limits; at the ends of the scale, plain limits."""
    if area in (0.0, 1.0):
        return max(0.0, area - half), min(1.0, area + half)
    logit, step = math.log(area / (1 - area)), half / (area * (1 - area))
    return 1 / (1 + math.exp(-(logit - step))), 1 / (1 + math.exp(-(logit + step)))


def root_of_squares(values):
    return math.sqrt(sum(value * value for value in values))


def limits(trainings, z, examples=of_examples):
    """The interval of a mean AUROC for all parts of its error."""
    found, mean = variances(trainings, examples), mean_parts(trainings)
    area, g = mean.auroc, len(trainings[0].refits)
    intervals = [examples_interval(mean, found.examples, z)]
    if g:
        intervals.append(logit_interval(area, student(z, g - 1) * math.sqrt(found.fit)))
    if len(trainings) > 1:
        half = student(z, len(trainings) - 1) * math.sqrt(found.training)
        intervals.append(logit_interval(area, half))
    low = area - root_of_squares(area - low for low, _ in intervals)
    high = area + root_of_squares(high - area for _, high in intervals)
    return max(0.0, low), min(1.0, high)


def refit_count(a, b):
    return max(len(t.refits) for t in (*a, *b))


def variances_of_difference(a, b, kind):
    return variances(minus(a, b)) if kind == "same" else separate_variances(a, b)


def difference_limits(a, b, kind, z):
    """The interval of mean a minus mean b: the wider of Wald and MOVER, then fit and training."""
    found = variances_of_difference(a, b, kind)
    of_a, of_b = mean_parts(a), mean_parts(b)
    d = of_a.auroc - of_b.auroc
    v_a, v_b = variances(a).examples, variances(b).examples
    low_a, high_a = examples_interval(of_a, v_a, z)
    low_b, high_b = examples_interval(of_b, v_b, z)
    r = 0.0
    if v_a * v_b > 0:
        r = max(-1.0, min(1.0, (v_a + v_b - found.examples) / (2 * math.sqrt(v_a * v_b))))

    def distance(x, y):
        return math.sqrt(max(0.0, x * x + y * y - 2 * r * x * y))

    wald = z * math.sqrt(found.examples)
    below = max(wald, distance(of_a.auroc - low_a, high_b - of_b.auroc))
    above = max(wald, distance(high_a - of_a.auroc, of_b.auroc - low_b))
    g = refit_count(a, b)
    more = [student(z, g - 1) * math.sqrt(found.fit)] if g else []
    if math.isfinite(found.df):
        more.append(student(z, found.df) * math.sqrt(found.training))
    of_fit = student(z, g - 1) * math.sqrt(found.all_fit) if g else 0.0
    least = root_of_squares([z * math.sqrt(found.all_examples), of_fit])
    below = max(least, root_of_squares([below, *more]))
    above = max(least, root_of_squares([above, *more]))
    return max(-1.0, d - below), min(1.0, d + above)


def p_value(a, b, kind):
    """Solve d² = the squared largest difference that is not significant at the level p."""
    n, m = len(a[0].w), len(a[0].v)
    if min(n, m) < 10:
        return None
    d = mean_parts(a).auroc - mean_parts(b).auroc
    if d == 0:
        return 1.0
    found, g = variances_of_difference(a, b, kind), refit_count(a, b)
    few = min(n, m) < 30

    def excess(p):
        q = stats.t.isf(p / 2, min(n, m) - 1) if few else stats.norm.isf(p / 2)
        of_fit = stats.t.isf(p / 2, g - 1) ** 2 if g else 0.0
        of_training = 0.0
        if math.isfinite(found.df):
            of_training = stats.t.isf(p / 2, found.df) ** 2
        shared = q * q * found.examples + of_fit * found.fit + of_training * found.training
        given = q * q * found.all_examples + of_fit * found.all_fit
        return max(shared, given) - d * d

    smallest = 2e-9
    if excess(smallest) < 0:  # more significant than the table of Student's t tells
        return smallest
    p = optimize.brentq(excess, smallest, 1.0, xtol=1e-14)
    return max(0.001, p) if few else p


def against_best(p_values):
    """Adjust, in ascending order, by the number of pairs among the scorers that are left."""
    k, largest = len(p_values) + 1, 0.0
    adjusted = {}
    for rank, place in enumerate(sorted(range(k - 1), key=lambda at: p_values[at]), start=1):
        left = k - rank
        largest = max(largest, min(1.0, left * (left + 1) / 2 * p_values[place]))
        adjusted[place] = largest
    return [adjusted[place] for place in range(k - 1)]
