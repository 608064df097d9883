"""The harness of `bench`. Plugins import `oodbench`, never this package."""

from __future__ import annotations

from oodbench._names import give_way

give_way(__name__)
