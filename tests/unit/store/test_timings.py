"""Rates: seconds per example, of several jobs together; a damaged one counts as none."""

from __future__ import annotations

import pytest

from harness.store.records import Store
from harness.store.timings import Rates, known_rate

SHORT, LONG = {"statistic": "short"}, {"statistic": "long"}


def test_jobs_of_one_kind_share_a_rate_of_which_the_larger_has_the_larger_part(tmp_path):
    store = Store(tmp_path)
    rates = Rates(store)
    for work, seconds, examples in ((SHORT, 1.0, 10), (LONG, 8.0, 4), (SHORT, 2.0, 40)):
        rates.add(work, seconds, examples)
    assert known_rate(store, SHORT) is None
    rates.record()
    assert known_rate(store, SHORT) == pytest.approx(3 / 50)
    assert known_rate(store, LONG) == 2.0
    rates = Rates(store)
    rates.add(LONG, 3.0, 1)
    rates.record()
    assert known_rate(store, LONG) == 3.0  # the latest counts
    for path in (tmp_path / "rates").iterdir():
        path.write_bytes(path.read_bytes()[:20])
    assert known_rate(store, SHORT) is known_rate(store, LONG) is None
