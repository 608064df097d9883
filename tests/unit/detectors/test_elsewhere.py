"""A detector works in a fresh environment with the wheel only."""

from __future__ import annotations

import json

import numpy as np

from tests.environments import run


def test_a_detector_works_with_the_wheel_only(made, python, tmp_path):
    folder, detector = made.detector("distance")
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "x.npy", images)
    command = [python, "-m", "oodbench", "detector", "run", folder, "x.npy", "--format", "json"]
    done = run(*command, cwd=tmp_path)
    assert "name the file with -p" in done.stderr
    assert done.returncode == 2
    done = run(*command, "-p", made.folder / "distance.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["results"]
    expected = detector(images)
    np.testing.assert_allclose([row["score"] for row in found], expected.scores, rtol=1e-5)
    assert [row["p_value"] for row in found] == expected.p_values.tolist()
