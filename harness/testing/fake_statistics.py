"""Made-up statistics, in and out of distribution, to examine scorers with."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.contracts import Per

Statistics: TypeAlias = dict[str, NDArray[np.float64]]
Layout: TypeAlias = tuple[Per, int]
Role: TypeAlias = Literal["in", "out"]

KNOWN: Mapping[str, Layout] = {
    "log_prob": ("example", 1),
    "log_prob_terms": ("example", 5),
    "layer_gradient_sq_norms": ("group", 7),
    "mean_intensity": ("example", 1),
    "total_variation": ("example", 1),
    "png_bits": ("example", 1),
    "layer_fisher_diagonal": ("group", 7),
    "layer_fisher_ekfac": ("group", 7),
    "jacobian_spectrum": ("example", 7),
    "likelihood_regret": ("example", 1),
}

_LAYERS = (
    *(f"levels.{level}.{part}" for level in (0, 1) for part in ("scale", "weight", "bias")),
    "top.bias",
)

FEATURES: Mapping[str, Sequence[str]] = {
    "log_prob": ("log_prob",),
    "log_prob_terms": ("base.0", "ladj.0", "base.1", "ladj.1", "bins"),
    "layer_gradient_sq_norms": _LAYERS,
    "mean_intensity": ("mean_intensity",),
    "total_variation": ("total_variation",),
    "png_bits": ("png_bits",),
    "layer_fisher_diagonal": _LAYERS,
    "layer_fisher_ekfac": _LAYERS,
    "jacobian_spectrum": tuple(f"log_singular_value_{place}" for place in range(1, 8)),
    "likelihood_regret": ("likelihood_regret",),
}
"""Names of the columns of `KNOWN`."""

TERMS_IN = (-300.0, 700.0, -500.0, 400.0, -1300.0)
TERMS_OUT = (-200.0, 800.0, -850.0, 250.0, -1300.0)
"""Terms of a log-probability, in nats: their sums are those of `log_prob`. Out of distribution the
details, the terms of level 0, are more probable and the upper level less."""


def base_name(name: str) -> str:
    """The statistic's own name, without model, epoch and seed: of `log_prob@other:4/1`."""
    return re.split("[@:/]", name, maxsplit=1)[0]


def features(name: str, columns: int) -> Sequence[str]:
    """The names of the columns of a statistic; made up where the kit does not know it."""
    known = FEATURES.get(base_name(name), ())
    return known if len(known) == columns else [f"column {place}" for place in range(columns)]


def draw(
    layouts: Mapping[str, Layout], *, groups: int, size: int, role: Role, seed: int
) -> Statistics:
    """Statistics of groups that no model was asked for.

    In distribution a log-probability is about -1000 nats, and a column of any other statistic is
    log-normal at a level of its own. Out of distribution log-probabilities are 300 nats lower, and
    all else is larger by a factor of about 50. The terms of a log-probability are `TERMS_IN` and
    `TERMS_OUT`, the last of them constant. A spectrum is one of logarithms, descending; out of
    distribution all of it is lower by 4.

    Arguments:
        layouts: Whether each statistic is per example or group, and its number of columns.
        groups: M.
        size: b, examples in a group.
        role: On which side the groups are.
        seed: The same seed and size give the same statistics.

    Returns:
        float64, (M, b, F) or (M, F) each, by the names in `layouts`.
    """
    statistics = {}
    for name, (per, columns) in layouts.items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        shape = (groups, size, columns) if per == "example" else (groups, columns)
        noise = rng.standard_normal(shape)
        if base_name(name) == "log_prob":
            statistics[name] = -1000.0 + 30.0 * noise - (300.0 if role == "out" else 0.0)
        elif base_name(name) == "log_prob_terms" and columns == len(TERMS_IN):
            level = np.array(TERMS_OUT if role == "out" else TERMS_IN)
            statistics[name] = level + np.array([15.0] * 4 + [0.0]) * noise
        elif base_name(name) == "jacobian_spectrum":
            level = np.linspace(6.0, -4.0, columns) - (4.0 if role == "out" else 0.0)
            statistics[name] = np.sort(level + 0.7 * noise)[..., ::-1].copy()
        else:
            level = np.linspace(-4.0, 6.0, columns) + (4.0 if role == "out" else 0.0)
            statistics[name] = np.exp(level + 0.7 * noise)
    return statistics


def copied(statistics: Mapping[str, NDArray[np.float64]]) -> Statistics:
    """The same statistics in arrays of their own."""
    return {name: values.copy() for name, values in statistics.items()}


def taken(statistics: Mapping[str, NDArray[np.float64]], groups: Sequence[int]) -> Statistics:
    """Some of the groups, in the given order."""
    return {name: values[list(groups)] for name, values in statistics.items()}


class Lure(Mapping[str, NDArray[np.float64]]):
    """Statistics among others that their reader has no business with.

    It answers every name: an input with its statistic, any other, such as "out" or
    "log_prob@out", with statistics of the other side. Iteration shows some of those as well.

    Attributes:
        asked: Names asked for that are no inputs, unless iteration had shown them: a copy of the
            whole mapping is no question.
    """

    bait = ("out", "in", "labels")

    def __init__(self, inputs: Statistics, others: Statistics) -> None:
        self.inputs = inputs
        self.other = next(iter(others.values()))
        self.asked: list[str] = []
        self.shown = False

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name in self.inputs:
            return self.inputs[name].copy()
        self._note(name)
        return self.other.copy()

    def __contains__(self, name: object) -> bool:
        if name not in self.inputs:
            self._note(str(name))
        return True

    def __iter__(self) -> Iterator[str]:
        self.shown = True
        return iter([*self.inputs, *self.bait])

    def __len__(self) -> int:
        return len(self.inputs) + len(self.bait)

    def _note(self, name: str) -> None:
        if not (self.shown and name in self.bait):
            self.asked.append(name)
