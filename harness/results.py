"""Results: the outcome of each cell, a number or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Status: TypeAlias = Literal["ok", "failed", "unsupported", "missing_data"]


COLUMNS = ("model", "in", "out", "scorer", "epoch", "group_size", "seed")
"""The parts of a cell as rows, suites and `--only` name them; `in` is a keyword of Python."""


class Cell(NamedTuple):
    """What one number is about."""

    model: str
    in_dataset: str
    out_dataset: str
    scorer: str
    epoch: int
    group_size: int
    seed: int

    def as_row(self) -> dict[str, Any]:
        """The parts by the names of `COLUMNS`."""
        return dict(zip(COLUMNS, self, strict=True))

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Cell:
        """The cell of a row, whatever else the row holds.

        Raises:
            KeyError: A column is missing.
        """
        return cls(*(row[name] for name in COLUMNS))


class Metrics(NamedTuple):
    """The numbers of a cell. JSON, CSV and the page have a column for each field, in this order.

    Attributes:
        auroc: Area under the ROC curve, OOD positive; `auroc_se`, `auroc_low`, `auroc_high` are
            its DeLong standard error and 95 % interval.
        aupr: Area under the precision-recall curve, OOD positive.
        fpr95: Share of ID groups flagged when 95 % of OOD groups are caught.
        n_in: Number of ID groups scored; `n_out` of OOD groups.
        bits_per_dim_in: Mean bits per dimension of the ID examples scored; None if the model has
            none, such as one whose likelihood is unnormalized.
        bits_per_dim_out: The same of the OOD examples.
        ovl: Overlap of the densities of bits per dimension of ID and OOD examples, from 0 (apart)
            to 1 (equal); it depends on the model and its epoch, not on the scorer.
        ovl_scores: The same of the scores of ID and OOD groups.
        aupr_in: Area under the precision-recall curve with ID as the positive class, for which
            lower scores are more positive.
    """

    auroc: float
    auroc_se: float
    auroc_low: float
    auroc_high: float
    aupr: float
    fpr95: float
    n_in: int
    n_out: int
    bits_per_dim_in: float | None
    bits_per_dim_out: float | None
    ovl: float | None
    ovl_scores: float
    aupr_in: float


@dataclass(frozen=True)
class Published:
    """A published AUROC of a cell, beside ours.

    Attributes:
        value: As published.
        se: Its standard error by Hanley and McNeil.
        difference: Ours minus the published one.
        within_error: Whether the difference is at most 1.96 of its standard errors.
        source: Where it was published.
    """

    value: float
    se: float
    difference: float
    within_error: bool
    source: str


@dataclass(frozen=True)
class Beaten:
    """A trivial baseline that has a higher AUROC in the same cell.

    Attributes:
        scorer: The baseline.
        difference: Its AUROC minus that of the scorer that is judged; above 0.
        beyond_error: Whether the paired DeLong test tells the two apart (p <= 0.05); None if it
            could not be made, because the scores of the same groups are not there.
    """

    scorer: str
    difference: float
    beyond_error: bool | None


@dataclass(slots=True, eq=False)  # frozen takes three times as long to make, of 100,000
class Result:
    """The outcome of one cell. Read it only; `dataclasses.replace` makes another.

    Attributes:
        metrics: Its numbers; None unless `status` is `"ok"`.
        published: What was published for the cell, if the suite has a reference for it.
        beaten_by: The trivial baselines with a higher AUROC in the same cell, by name.
        scores_in: float64, (n_in,), higher is more OOD; `scores_out` float64, (n_out,).
        provenance: Versions and keys that the number rests on.
    """

    cell: Cell
    status: Status
    message: str = ""
    metrics: Metrics | None = None
    published: Published | None = None
    beaten_by: tuple[Beaten, ...] = ()
    scores_in: NDArray[np.float64] | None = None
    scores_out: NDArray[np.float64] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """The scores of both sides, ID and OOD; None if they are not known."""
        if self.scores_in is None or self.scores_out is None:
            return None
        return self.scores_in, self.scores_out

    def to_json(self) -> dict[str, Any]:
        """The result as `bench report --format json` prints it, without the scores."""
        numbers = self.metrics or (None,) * len(Metrics._fields)
        return {
            **self.cell.as_row(),
            "status": self.status,
            "message": self.message,
            **dict(zip(Metrics._fields, numbers, strict=True)),
            "published": vars(self.published) if self.published else None,
            "beaten_by": [vars(beaten) for beaten in self.beaten_by],
            "provenance": self.provenance,
        }


def place(cell: Cell) -> str:
    """Where a cell is, whatever its scorer."""
    seed = f", seed {cell.seed}" if cell.seed else ""
    return (
        f"{cell.model} at epoch {cell.epoch}, {cell.in_dataset} against {cell.out_dataset}, "
        f"group size {cell.group_size}{seed}"
    )
