"""Results: the outcome of each cell, a number or the reason for a missing number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from harness.text import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Status: TypeAlias = Literal["ok", "failed", "unsupported", "missing_data"]


STATUS_WORDS: Mapping[str, str] = {
    "ok": "ok",
    "failed": "failed",
    "unsupported": "n/a",
    "missing_data": "missing_data",
}
"""Words for people: `unsupported` is `n/a`, because nothing is wrong and nothing is to be done."""

LIKELIHOODS: Mapping[str, str] = {
    "exact": "exact",
    "lower_bound": "a lower bound",
    "estimate": "an estimate",
    "unnormalized": "unnormalized",
}
"""Words for the kinds of likelihood: what the log-probability of a model is."""

BITS_UNIT = "bits/dim"
"""Unit of bits per dimension where the domain names no other."""

COLUMNS = ("model", "in", "out", "scorer", "epoch", "group_size", "seed")
"""Names for the parts of a cell in rows, suites and `--only`; `in` is a Python keyword."""


class Cell(NamedTuple):
    """Coordinates of a number: model, data sets, scorer, epoch, group size and seed."""

    model: str
    in_dataset: str
    out_dataset: str
    scorer: str
    epoch: int
    group_size: int
    seed: int

    def as_row(self) -> dict[str, Any]:
        """Return the parts under the names in `COLUMNS`."""
        return dict(zip(COLUMNS, self, strict=True))

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Cell:
        """Build the cell from a row; further columns are ignored.

        Raises:
            KeyError: A column is missing.
        """
        return cls(*(row[name] for name in COLUMNS))


class Metrics(NamedTuple):
    """Numbers for a cell. JSON, CSV and the page have a column for each field, in this order.

    Attributes:
        auroc: Area under the ROC curve, OOD positive.
        auroc_se: Standard error of the AUROC for other test examples and another fit; None if
            the scorer was fitted and the error of the fit is unknown.
        auroc_se_examples: Part of the standard error for other test examples, by DeLong.
        auroc_se_fit: Part for another fit of the same size, by the jackknife; 0 if nothing is
            fitted.
        auroc_low: Lower end of the 95 % interval; None if the standard error is unknown, or with
            fewer than five groups on a side. The interval is not `auroc` ± 1.96 `auroc_se`.
        auroc_high: Upper end of the 95 % interval.
        aupr: Area under the precision-recall curve, OOD positive.
        fpr95: Share of ID groups flagged when 95 % of OOD groups are caught.
        n_in: Number of scored ID groups; `n_out` counts OOD groups.
        n_fit: Number of groups that the scorer was fitted to; 0 if nothing is fitted, None if
            unknown, in results saved by an earlier version.
        bits_per_dim_in: Mean bits per dimension of the scored ID examples, with one draw of noise
            per example if the model has a continuous density; None if unknown, or if the model
            does not define bits per dimension, for example with an unnormalized likelihood.
        bits_per_dim_out: Mean bits per dimension of the scored OOD examples.
        ovl: Overlap between the densities of bits per dimension for ID and OOD examples, from 0
            (apart) to 1 (equal); depends on the model and the epoch, not on the scorer.
        ovl_scores: Overlap between the score densities for ID and OOD groups.
        aupr_in: Area under the precision-recall curve with ID as the positive class, for which
            lower scores are more positive.
        bits_per_dim_midpoint_in: Mean of -log_prob / (D ln 2) over the scored ID examples. For a
            continuous density this is the density in the middle of the bin, not a probability,
            and tends to be lower than `bits_per_dim_in`.
        bits_per_dim_midpoint_out: The same for the scored OOD examples.
    """

    auroc: float
    auroc_se: float | None
    auroc_se_examples: float
    auroc_se_fit: float | None
    auroc_low: float | None
    auroc_high: float | None
    aupr: float
    fpr95: float
    n_in: int
    n_out: int
    n_fit: int | None
    bits_per_dim_in: float | None
    bits_per_dim_out: float | None
    ovl: float | None
    ovl_scores: float
    aupr_in: float
    bits_per_dim_midpoint_in: float | None
    bits_per_dim_midpoint_out: float | None


@dataclass(frozen=True)
class Published:
    """A published AUROC for a cell, compared with the AUROC of the run.

    Attributes:
        value: The published AUROC.
        se: Standard error of the published AUROC by Hanley and McNeil; at 0 and 1, the distance
            to the other end of the interval, divided by 1.96.
        low: Lower end of the 95 % interval of the published AUROC, from the value as printed and
            the number of groups.
        high: Upper end of this interval.
        difference: AUROC of the run minus the published AUROC.
        within_error: True if the difference is at most 1.96 standard errors of the difference.
        source: Title or address of the publication.
    """

    value: float
    se: float
    low: float
    high: float
    difference: float
    within_error: bool
    source: str


@dataclass(frozen=True)
class Beaten:
    """A trivial baseline with a higher AUROC in the same cell.

    Attributes:
        scorer: Name of the baseline.
        difference: AUROC of the baseline minus AUROC of the judged scorer; above 0.
        beyond_error: True if the difference is significant by a paired test (p <= 0.05); None if
            the test is impossible, because groups are too few or scores are missing.
    """

    scorer: str
    difference: float
    beyond_error: bool | None


@dataclass(slots=True, eq=False)  # frozen triples the time to create 100,000 results
class Result:
    """The outcome of a cell. Treat as immutable; use `dataclasses.replace` for changes.

    Attributes:
        metrics: Numbers for the cell; None unless `status` is `"ok"`.
        published: The published value, if the reference of the suite includes the cell.
        beaten_by: The trivial baselines with a higher AUROC in the same cell, by name.
        scores_in: float64, (n_in,), higher is more OOD; `scores_out` float64, (n_out,).
        refits: AUROC after refits of the scorer, each without a tenth of the fit groups, float64,
            (g,); None if nothing is fitted, or if the scorer could not be refitted.
        provenance: Versions and keys on which the number depends.
    """

    cell: Cell
    status: Status
    message: str = ""
    metrics: Metrics | None = None
    published: Published | None = None
    beaten_by: tuple[Beaten, ...] = ()
    scores_in: NDArray[np.float64] | None = None
    scores_out: NDArray[np.float64] | None = None
    refits: NDArray[np.float64] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """The scores of both sides, ID and OOD; None if unknown."""
        if self.scores_in is None or self.scores_out is None:
            return None
        return self.scores_in, self.scores_out

    @property
    def is_by_image(self) -> bool:
        """Whether OOD group i has changed copies of the images in ID group i."""
        return self.provenance.get("by_image") is True

    @property
    def likelihood(self) -> str | None:
        """Kind of the model's log-probability, for example exact or a lower bound."""
        return self.provenance.get("likelihood")

    @property
    def unit(self) -> str:
        """Unit on the epochs axis: `"epoch"`, or `"step"` for saved steps."""
        return unit_of([self])

    def to_json(self) -> dict[str, Any]:
        """Convert to the output format of `bench report --format json`, without the scores."""
        numbers = self.metrics or (None,) * len(Metrics._fields)
        return {
            **self.cell.as_row(),
            "status": self.status,
            "message": self.message,
            **dict(zip(Metrics._fields, numbers, strict=True)),
            "likelihood": self.likelihood,
            "published": vars(self.published) if self.published else None,
            "beaten_by": [vars(beaten) for beaten in self.beaten_by],
            "provenance": self.provenance,
        }


def likelihoods_in_words(likelihoods: Mapping[str, str | None]) -> str:
    """Say what the log-probabilities of models are; empty if no kind is known.

    Arguments:
        likelihoods: Kind of likelihood by model; None if unknown.

    Example:
        >>> likelihoods_in_words({"glow": "exact", "vae": "lower_bound", "maf": "exact"})
        'the log-probability is exact (glow, maf), a lower bound (vae)'
    """
    models: dict[str, list[str]] = {}
    for model, kind in likelihoods.items():
        if kind is not None:
            models.setdefault(kind, []).append(one_line(model))
    found = [f"{LIKELIHOODS[kind]} ({', '.join(names)})" for kind, names in models.items()]
    return f"the log-probability is {', '.join(found)}" if found else ""


def unit_of(results: Iterable[Result]) -> str:
    """Return what the epochs axis of results counts: `"epoch"`, `"step"`, `"epoch or step"`.

    A result without a number does not know, and counts only if no other does.
    """
    known = {result.provenance.get("unit") for result in results} - {None}
    return " or ".join(sorted(map(str, known))) or "epoch"


def bits_unit_of(results: Iterable[Result]) -> str:
    """Return the unit of bits per dimension in results: `"bits/byte"`, `"bits/byte or bits/dim"`.

    Results of images name no unit, which is `"bits/dim"`.
    """
    known = {str(x.provenance.get("bits_unit") or BITS_UNIT) for x in results if x.metrics}
    return " or ".join(sorted(known)) or BITS_UNIT


def place(result: Result) -> str:
    """Describe the coordinates of a result, without the scorer."""
    cell = result.cell
    seed = f", seed {cell.seed}" if cell.seed else ""
    return (
        f"{cell.model} at {result.unit} {cell.epoch}, {cell.in_dataset} against "
        f"{cell.out_dataset}, group size {cell.group_size}{seed}"
    )
