"""A store that several files of tests look at."""

from __future__ import annotations

import pytest

from tests.unit import stored


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with `store`, `data` and `small.toml`, to be copied and not changed."""
    return stored.make(tmp_path_factory.mktemp("made"))
