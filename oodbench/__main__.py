"""`python -m oodbench` is `bench`."""

from __future__ import annotations

from oodbench._start import main

main()
