"""Results: the outcome of each cell, a number or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Status: TypeAlias = Literal["ok", "failed", "unsupported", "missing_data"]


class Cell(NamedTuple):
    """What one number is about."""

    model: str
    in_dataset: str
    out_dataset: str
    scorer: str
    epoch: int
    group_size: int
    seed: int


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
    """The outcome of one cell. Every metric is None unless `status` is `"ok"`.

    Read it only; `dataclasses.replace` makes another.

    Attributes:
        auroc: Area under the ROC curve, OOD positive; `auroc_se`, `auroc_low`, `auroc_high` are
            its DeLong standard error and 95 % interval.
        aupr: Area under the precision-recall curve, OOD positive.
        fpr95: Share of ID groups flagged when 95 % of OOD groups are caught.
        n_in: Number of ID groups scored; `n_out` of OOD groups.
        bits_per_dim_in: Mean bits per dimension of the ID examples scored.
        bits_per_dim_out: The same of the OOD examples.
        ovl: Overlap of the densities of bits per dimension of ID and OOD examples, from 0 (apart)
            to 1 (equal); it depends on the model and its epoch, not on the scorer.
        published: What was published for the cell, if the suite has a reference for it.
        beaten_by: The trivial baselines with a higher AUROC in the same cell, by name.
        scores_in: float64, (n_in,), higher is more OOD; `scores_out` float64, (n_out,).
        provenance: Versions and keys that the number rests on.
    """

    cell: Cell
    status: Status
    message: str = ""
    auroc: float | None = None
    auroc_se: float | None = None
    auroc_low: float | None = None
    auroc_high: float | None = None
    aupr: float | None = None
    fpr95: float | None = None
    n_in: int | None = None
    n_out: int | None = None
    bits_per_dim_in: float | None = None
    bits_per_dim_out: float | None = None
    ovl: float | None = None
    published: Published | None = None
    beaten_by: tuple[Beaten, ...] = ()
    scores_in: NDArray[np.float64] | None = None
    scores_out: NDArray[np.float64] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The result as `bench report --format json` prints it, without the scores."""
        cell = self.cell
        return {
            "model": cell.model,
            "in": cell.in_dataset,
            "out": cell.out_dataset,
            "scorer": cell.scorer,
            "epoch": cell.epoch,
            "group_size": cell.group_size,
            "seed": cell.seed,
            "status": self.status,
            "message": self.message,
            "auroc": self.auroc,
            "auroc_se": self.auroc_se,
            "auroc_low": self.auroc_low,
            "auroc_high": self.auroc_high,
            "aupr": self.aupr,
            "fpr95": self.fpr95,
            "n_in": self.n_in,
            "n_out": self.n_out,
            "bits_per_dim_in": self.bits_per_dim_in,
            "bits_per_dim_out": self.bits_per_dim_out,
            "ovl": self.ovl,
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
