"""Base class for scorers based on layer gradient norms: options, layer selection, logarithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import compress
from typing import Annotated

import numpy as np
from pydantic import Field

from oodbench import ScoreError
from plugins.scorers._base import Array, Mask, NamedColumns, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class LayerScorer(NamedColumns):
    """Base class for scorers based on the squared gradient norms f per layer.

    Subclasses implement `fit` and `score`.

    Arguments:
        eps: Added to the squared norm inside the logarithm.
        statistic: Name of the statistic to read.
        layers: Patterns for names (`*` and `?` as in file names); a layer is used if any pattern
            matches.
        top_k: Number of layers to keep, by largest variance of log f over the fit groups; the
            first layers win ties. None keeps all layers.

    Attributes:
        chosen_: Layers selected by `layers` and `top_k`, bool, (L,).
        kept_: Selected layers that a subclass scores, bool, (L,): by default those with more than
            one value on the fit groups.
    """

    eps: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-10
    statistic: Annotated[str, Field(min_length=1)] = "layer_gradient_sq_norms"
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    top_k: Annotated[int | None, Field(ge=1)] = None

    chosen_: Mask | None = field(default=None, init=False)
    kept_: Mask | None = field(default=None, init=False)

    def fit_info(self) -> dict[str, float | int | str]:
        """Return the number of selected layers, and of constant layers left out.

        Raises:
            NotFittedError: `fit` was not called.
        """
        chosen = int(fitted(self.chosen_, self.name, "its fit").sum())
        kept = int(fitted(self.kept_, self.name, "its fit").sum())
        return {"layers": chosen, "layers_left_out": chosen - kept}

    def _fit_layers(self, statistics: Statistics) -> Array:
        """Select the layers, and return log(f + eps) for all layers, float64, (M, L).

        Raises:
            ScoreError: Fewer than two groups are given, a norm is negative or not finite, every
                layer is constant, or a pattern matches no layer.
        """
        log_norms = self._all_log_norms(statistics)
        groups = len(log_norms)
        if groups < 2:
            raise ScoreError(f"{self.name} needs at least two fit groups, not {groups}")
        if not np.isfinite(log_norms).all():
            layers = int((~np.isfinite(log_norms)).any(axis=0).sum())
            raise ScoreError(
                f"{self.name}: {self.statistic} of the fit groups is not finite in {layers} layers"
            )
        chosen = self._fitting_layers(log_norms.shape[1])
        usable = chosen & self._usable(log_norms)
        if not usable.any():
            raise ScoreError(
                f"{self.name}: all {int(chosen.sum())} layers are constant on the {groups} "
                "fit groups"
            )
        if self.top_k is not None:
            variance = np.where(usable, log_norms.var(axis=0), -1.0)
            chosen &= np.isin(
                np.arange(chosen.size), np.argsort(-variance, kind="stable")[: self.top_k]
            )
        self.chosen_, self.kept_ = chosen, chosen & usable
        return log_norms

    def _usable(self, log_norms: Array) -> Mask:
        """Return the layers that can be scored, bool, (L,): by default those that vary."""
        varying: Mask = log_norms.max(axis=0) > log_norms.min(axis=0)
        return varying

    def _log_norms(self, statistics: Statistics) -> Array:
        """Return log(f + eps) for the kept layers, float64, (M, K).

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers differs from the fit.
        """
        kept = fitted(self.kept_, self.name)
        log_norms = self._all_log_norms(statistics)
        if log_norms.shape[1] != kept.size:
            raise ScoreError(
                f"{self.name} was fitted on {kept.size} layers, not {log_norms.shape[1]}"
            )
        return log_norms[:, kept]

    def _named(self, terms: Array) -> dict[str, Array]:
        """Map the names of the kept layers to the columns of `terms`, (M, K)."""
        kept = fitted(self.kept_, self.name)
        names = self.names or [f"layer {place}" for place in range(kept.size)]
        return dict(zip(compress(names, kept), terms.T, strict=True))

    def _all_log_norms(self, statistics: Statistics) -> Array:
        norms = statistics[self.statistic]
        if (norms < 0).any():
            raise ScoreError(
                f"{self.name}: {self.statistic} has negative values; squared norms are expected"
            )
        return np.log(norms + self.eps)

    def _fitting_layers(self, count: int) -> Mask:
        """Return the layers whose names match a pattern, bool, (L,)."""
        if self.names is None:
            if self.layers == ("*",):
                return np.ones(count, dtype=bool)
            raise ScoreError(f"{self.name} needs the layer names to select layers")
        for pattern in self.layers:
            if not any(fnmatchcase(name, pattern) for name in self.names):
                raise ScoreError(
                    f"{self.name}: no layer name matches {pattern!r}; {_known(self.names)}"
                )
        fits = [any(fnmatchcase(name, pattern) for pattern in self.layers) for name in self.names]
        return np.array(fits)


def _known(names: Sequence[str]) -> str:
    """Describe how the names begin and end, to help correct a pattern without a match."""
    first = {".".join(name.split(".")[: 2 if name.count(".") > 1 else 1]) for name in names}
    last = {name.rpartition(".")[2] for name in names}
    return f"names begin with {', '.join(sorted(first))} and end in {', '.join(sorted(last))}"
