"""What the scorers of layers' gradient norms share: their options, their layers, their logs."""

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
    """A scorer of the squared gradient norms f of the layers; a subclass says how it scores.

    Arguments:
        eps: Added to the squared norm inside the logarithm.
        statistic: Name of the statistic to read.
        layers: Patterns of names (`*` and `?` as in file names); a layer counts if any fits.
        top_k: Of those so many, with the largest variance of log f over the fit groups; of equal
            ones the first. None for all.

    Attributes:
        chosen_: Layers that `layers` and `top_k` choose, bool, (L,).
        kept_: Those of them that are not constant on the fit groups, bool, (L,).
    """

    eps: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-10
    statistic: Annotated[str, Field(min_length=1)] = "layer_gradient_sq_norms"
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    top_k: Annotated[int | None, Field(ge=1)] = None

    chosen_: Mask | None = field(default=None, init=False)
    kept_: Mask | None = field(default=None, init=False)

    def fit_info(self) -> dict[str, float | int | str]:
        """How many layers were chosen, and how many of these were constant and left out.

        Raises:
            NotFittedError: `fit` was not called.
        """
        chosen = int(fitted(self.chosen_, self.name, "its fit").sum())
        kept = int(fitted(self.kept_, self.name, "its fit").sum())
        return {"layers": chosen, "layers_left_out": chosen - kept}

    def _fit_layers(self, statistics: Statistics) -> Array:
        """Choose the layers; log(f + eps) of all of them, float64, (M, L).

        Raises:
            ScoreError: There are fewer than two groups, a norm is not finite or negative, every
                layer is constant, or a pattern fits no layer.
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
        varying = chosen & (log_norms.max(axis=0) > log_norms.min(axis=0))
        if not varying.any():
            raise ScoreError(
                f"{self.name}: all {int(chosen.sum())} layers are constant on the {groups} "
                "fit groups"
            )
        if self.top_k is not None:
            variance = np.where(varying, log_norms.var(axis=0), -1.0)
            chosen &= np.isin(
                np.arange(chosen.size), np.argsort(-variance, kind="stable")[: self.top_k]
            )
        self.chosen_, self.kept_ = chosen, chosen & varying
        return log_norms

    def _log_norms(self, statistics: Statistics) -> Array:
        """log(f + eps) of the layers kept, float64, (M, K).

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers is not that of the fit.
        """
        kept = fitted(self.kept_, self.name)
        log_norms = self._all_log_norms(statistics)
        if log_norms.shape[1] != kept.size:
            raise ScoreError(
                f"{self.name} was fitted on {kept.size} layers, not {log_norms.shape[1]}"
            )
        return log_norms[:, kept]

    def _named(self, terms: Array) -> dict[str, Array]:
        """Columns of the layers kept, (M, K), by the names of these layers."""
        kept = fitted(self.kept_, self.name)
        names = self.names or [f"layer {place}" for place in range(kept.size)]
        return dict(zip(compress(names, kept), terms.T, strict=True))

    def _all_log_norms(self, statistics: Statistics) -> Array:
        norms = statistics[self.statistic]
        if (norms < 0).any():
            message = f"{self.name}: {self.statistic} has negative values: no squared norms"
            raise ScoreError(message)
        return np.log(norms + self.eps)

    def _fitting_layers(self, count: int) -> Mask:
        """The layers that any of the patterns fits, bool, (L,)."""
        if self.names is None:
            if self.layers == ("*",):
                return np.ones(count, dtype=bool)
            raise ScoreError(f"{self.name} was not told the names of the layers to choose from")
        for pattern in self.layers:
            if not any(fnmatchcase(name, pattern) for name in self.names):
                raise ScoreError(
                    f"{self.name}: no layer is named like {pattern!r}; {_known(self.names)}"
                )
        fits = [any(fnmatchcase(name, pattern) for pattern in self.layers) for name in self.names]
        return np.array(fits)


def _known(names: Sequence[str]) -> str:
    """How names begin and end, for whoever wrote a pattern that fits none."""
    first = {".".join(name.split(".")[: 2 if name.count(".") > 1 else 1]) for name in names}
    last = {name.rpartition(".")[2] for name in names}
    return f"names begin with {', '.join(sorted(first))} and end in {', '.join(sorted(last))}"
