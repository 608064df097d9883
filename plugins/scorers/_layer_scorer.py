"""What the scorers of layers' gradient norms share: their options, their layers, their logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from oodbench import NotFittedError, ScoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LayerScorer:
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

    name: ClassVar[str]

    names: Sequence[str] | None = None
    chosen_: NDArray[np.bool_] | None = None
    kept_: NDArray[np.bool_] | None = None

    def __init__(
        self,
        *,
        eps: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-10,
        statistic: Annotated[str, Field(min_length=1)] = "layer_gradient_sq_norms",
        layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",),
        top_k: Annotated[int | None, Field(ge=1)] = None,
    ) -> None:
        self.eps = eps
        self.statistic = statistic
        self.layers = layers
        self.top_k = top_k

    @property
    def inputs(self) -> tuple[str, ...]:
        """The statistic named by the option `statistic`."""
        return (self.statistic,)

    def name_features(self, features: Mapping[str, Sequence[str]]) -> None:
        """Told the names of the layers, which the option `layers` is about."""
        self.names = tuple(features[self.statistic])

    def fit_info(self) -> dict[str, float | int | str]:
        """How many layers were chosen, and how many of these were constant and left out.

        Raises:
            NotFittedError: `fit` was not called.
        """
        if self.chosen_ is None or self.kept_ is None:
            raise NotFittedError(f"{self.name} was asked for its fit before it was fitted")
        chosen, kept = int(self.chosen_.sum()), int(self.kept_.sum())
        return {"layers": chosen, "layers_left_out": chosen - kept}

    def _fit_layers(self, statistics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
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

    def _log_norms(self, statistics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """log(f + eps) of the layers kept, float64, (M, K).

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers is not that of the fit.
        """
        if self.kept_ is None:
            raise NotFittedError(f"{self.name} was asked for scores before it was fitted")
        log_norms = self._all_log_norms(statistics)
        if log_norms.shape[1] != self.kept_.size:
            raise ScoreError(
                f"{self.name} was fitted on {self.kept_.size} layers, not {log_norms.shape[1]}"
            )
        return log_norms[:, self.kept_]

    def _named(self, terms: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Columns of the layers kept, (M, K), by the names of these layers."""
        assert self.kept_ is not None, "it was read to make the terms"
        places = np.flatnonzero(self.kept_)
        names = self.names or [f"layer {place}" for place in range(self.kept_.size)]
        return {names[place]: column for place, column in zip(places, terms.T, strict=True)}

    def _all_log_norms(self, statistics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        norms = statistics[self.statistic]
        if (norms < 0).any():
            message = f"{self.name}: {self.statistic} has negative values: no squared norms"
            raise ScoreError(message)
        return np.log(norms + self.eps)

    def _fitting_layers(self, count: int) -> NDArray[np.bool_]:
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
