"""Failures: as they were written, or none."""

from __future__ import annotations

import json

import pytest

from harness.store.failures import Failure, find_failure, parse_failure, record_failure
from harness.store.records import Store

SOUND = {"job": "a job", "status": "failed", "message": "a message"}


def test_a_failure_is_found_as_it_was_recorded(tmp_path):
    store = Store(tmp_path)
    assert find_failure(store, {"a": 1}) is None
    record_failure(store, {"a": 1}, Failure(**SOUND))
    assert find_failure(store, {"a": 1}) == Failure(**SOUND)
    assert find_failure(store, {"a": 2}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"status": "ok"},
        {"status": {}},
        {"status": "\x1b[2J"},
        {"message": 10**30},
        {"job": None},
        {"x": 1},
    ],
)
def test_what_is_no_failure_is_none(change):
    assert parse_failure(json.dumps(SOUND).encode()) is not None
    assert parse_failure(json.dumps({**SOUND, **change}).encode()) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 100_000, b"\xff", b"1" * 5000])
def test_what_cannot_be_read_is_none(content):
    assert parse_failure(content) is None
