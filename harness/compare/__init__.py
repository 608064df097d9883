"""Two runs beside each other: paired differences, wins and losses, mean ranks."""

from __future__ import annotations

from harness.compare.paired import Compared, LeftOut, compare_runs
from harness.compare.ranking import Ranking, rank_scorers
from harness.compare.runs import Run, load_run

__all__ = ["Compared", "LeftOut", "Ranking", "Run", "compare_runs", "load_run", "rank_scorers"]
