"""Results of a small suite, computed once."""

from __future__ import annotations

import pytest

import oodbench


@pytest.fixture(scope="session")
def results(made):
    """The stored results of the small suite; nothing is computed."""
    suite = oodbench.load(made / "small.toml")
    return suite.run(store=made / "store", data=made / "data", missing="error")
