"""Statistics of the examples alone against loops and by decoding, and scorers of theirs."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from oodbench import NotFittedError, ScoreError
from plugins.scorers.baselines import (
    MeanIntensityDistance,
    PNGSizeDistance,
    TotalVariationDistance,
)
from plugins.scorers.input_complexity import InputComplexity
from plugins.statistics.image_statistics import MeanIntensity, PNGBits, TotalVariation

BASELINES = [MeanIntensityDistance, TotalVariationDistance, PNGSizeDistance]


def examples(channels, count=4):
    rng = np.random.default_rng(channels)
    return rng.integers(0, 256, (count, channels, 5, 7), dtype=np.uint8)


def grouped(x):
    return torch.from_numpy(x)[:, None]


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_intensity_and_total_variation_against_loops(channels):
    x = examples(channels)
    means, variations = [], []
    for example in x.tolist():
        total = variation = 0
        for plane in example:
            for i in range(5):
                for j in range(7):
                    total += plane[i][j]
                    if i + 1 < 5:
                        variation += abs(plane[i + 1][j] - plane[i][j])
                    if j + 1 < 7:
                        variation += abs(plane[i][j + 1] - plane[i][j])
        means.append(total / (channels * 35))
        variations.append(variation)
    assert MeanIntensity()(None, grouped(x))[:, 0] == pytest.approx(means, rel=1e-14)
    assert TotalVariation()(None, grouped(x))[:, 0].tolist() == variations


@pytest.mark.parametrize(("channels", "files"), [(1, 1), (2, 2), (3, 1), (4, 4)])
def test_png_bits_are_those_of_files_that_decode_to_the_example(channels, files, monkeypatch):
    written = []
    save = Image.Image.save

    def kept(image, file, *arguments, **options):
        assert options == {"compress_level": 9}
        save(image, file, *arguments, **options)
        written.append(file.getvalue())

    monkeypatch.setattr(Image.Image, "save", kept)
    x = examples(channels, count=1)
    (bits,) = PNGBits()(None, grouped(x))[:, 0]
    assert len(written) == files
    assert bits == 8 * sum(map(len, written))
    decoded = [np.asarray(Image.open(io.BytesIO(file))) for file in written]
    stacked = decoded[0].transpose(2, 0, 1) if channels == 3 else np.stack(decoded)
    assert np.array_equal(stacked, x[0])
    assert all(file.startswith(b"\x89PNG") for file in written)


def test_png_bits_of_a_constant_example_are_little_more_than_a_header():
    constant = np.zeros((1, 1, 32, 32), dtype=np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (1, 1, 32, 32), dtype=np.uint8)
    (flat,), (rough,) = PNGBits()(None, grouped(np.concatenate([constant, noise])))
    # Signature 8, IHDR 25, IDAT 12 and IEND 12 bytes, and the compressed rows.
    assert 8 * 57 < flat < 8 * (57 + 40)
    assert 8 * 32 * 32 < rough < 8 * (32 * 33 + 57 + 20)


def test_input_complexity_by_hand():
    scorer = InputComplexity().fit({})
    given = {
        "log_prob": np.array([[-10.0, -20.0], [-3.0, -1.0]])[:, :, None] * math.log(2),
        "compressed_bits": np.array([[4.0, 8.0], [7.0, 5.0]])[:, :, None],
    }
    # 10 - 4 and 20 - 8 bits, then 3 - 7 and 1 - 5.
    assert scorer.score(given) == pytest.approx([9.0, -4.0], rel=1e-14)
    assert scorer.score(given).dtype == np.float64


@pytest.mark.parametrize("size", [1, 5])
def test_a_simple_example_is_ood_even_if_more_probable(size):
    rng = np.random.default_rng(0)

    def groups(bits, png):
        shape = (60, size, 1)
        return {
            "log_prob": -rng.normal(bits, 100, shape) * math.log(2),
            "compressed_bits": rng.normal(png, 100, shape),
        }

    inside, outside = groups(5000, 4500), groups(3000, 1500)
    scorer = InputComplexity().fit(inside)
    assert (scorer.score(outside)[:, None] > scorer.score(inside)).mean() > 0.99
    likelihood = [side["log_prob"].mean((1, 2)) for side in (inside, outside)]
    assert (likelihood[1][:, None] > likelihood[0]).mean() > 0.99


@pytest.mark.parametrize("baseline", BASELINES)
class TestBaselines:
    def test_by_hand(self, baseline):
        scorer = baseline()
        (name,) = scorer.inputs
        # Examples of 1, 3, 5 and 7: mean 4, squared deviations 9 + 1 + 1 + 9 over four.
        scorer.fit({name: np.array([[[1.0], [3.0]], [[5.0], [7.0]]])})
        scores = scorer.score({name: np.array([[[4.0], [4.0]], [[0.0], [2.0]], [[8.0], [9.0]]])})
        assert scores == pytest.approx([0.0, 3 / math.sqrt(5), 4.5 / math.sqrt(5)], rel=1e-14)
        assert scores.dtype == np.float64

    @pytest.mark.parametrize("size", [1, 5])
    @pytest.mark.parametrize("shift", [-6.0, 6.0])
    def test_either_side_is_ood(self, baseline, size, shift):
        scorer = baseline()
        (name,) = scorer.inputs
        rng = np.random.default_rng(0)
        fit, inside = (rng.normal(100, 1, (count, size, 1)) for count in (50, 40))
        outside = rng.normal(100 + shift, 1, (40, size, 1))
        scorer.fit({name: fit})
        low, high = scorer.score({name: inside}), scorer.score({name: outside})
        assert (high[:, None] > low).mean() > 0.99

    def test_it_says_that_it_is_a_baseline_and_reads_no_model(self, baseline):
        assert baseline.baseline is True

    def test_what_it_refuses(self, baseline):
        scorer = baseline()
        (name,) = scorer.inputs
        with pytest.raises(NotFittedError, match=f"^{scorer.name} was asked for scores before"):
            scorer.score({name: np.zeros((2, 1, 1))})
        with pytest.raises(ScoreError) as error:
            scorer.fit({name: np.zeros((0, 1, 1))})
        assert str(error.value) == f"{scorer.name} needs at least one fit group"
        with pytest.raises(ScoreError) as error:
            scorer.fit({name: np.full((3, 2, 1), 0.1)})
        assert str(error.value) == f"{scorer.name}: {name} is the same for all fit examples"


def test_unfitted():
    with pytest.raises(NotFittedError, match="^input-complexity was asked for scores before"):
        InputComplexity().score({})
