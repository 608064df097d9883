"""Where the runs of tests have their store and data."""

from __future__ import annotations

from pathlib import Path

from harness.settings import Settings


def settings_in(folder: Path) -> Settings:
    """Settings of runs in this process."""
    return Settings(
        store=folder / "store",
        data=folder / "data",
        device="cpu",
        workers=1,
        threads=1,
        executor="sequential",
    )
