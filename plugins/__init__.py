"""Built-in plugins: models, statistics, scorers, data sets and executors."""

from __future__ import annotations

from oodbench._names import give_way

give_way(__name__)
