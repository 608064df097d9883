"""Data sets that are computed or come with scikit-learn."""

from __future__ import annotations

import hashlib
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oodbench import DataError, Images
from plugins.datasets._common import Draws, luma, shrink
from plugins.datasets.constant import Constant
from plugins.datasets.digits import Digits
from plugins.datasets.noise import CHUNK, Noise, normal_cdf
from plugins.datasets.sklearn_photos import CUT, Photos


def checksums(dataset):
    return [
        hashlib.sha256(dataset.load(split).tobytes()).hexdigest()[:16]
        for split in ("train", "test")
    ]


def rows(examples):
    return {example.tobytes() for example in examples}


# Draws


def test_draws_are_the_promised_stream():
    draws = Draws(0, "test")
    assert draws.words(2).tolist() == [5903307043898850158, 12006903787911071446]
    assert draws.words(1).tolist() == [4027168561232462702]
    assert Draws(0, "test").octets(5).tolist() == [110, 251, 166, 183, 122]
    assert Draws(0, "test").octets(9).tolist()[:5] == [110, 251, 166, 183, 122]
    assert Draws(0, "test").order(8).tolist() == [2, 4, 0, 7, 1, 3, 6, 5]
    assert Draws(0, "test").distinct(4, 7).tolist() == [40, 83, 27, 101]
    fractions = [5903307043898850158 // 2**11 / 2**53, 12006903787911071446 // 2**11 / 2**53]
    assert Draws(0, "test").fractions(2).tolist() == fractions


def test_draws_differ_by_seed_and_purpose():
    firsts = {int(Draws(*key).words(1)[0]) for key in [(0, "a"), (1, "a"), (0, "b"), (0, "ab")]}
    assert len(firsts) == 4


def test_octets_are_the_words_in_little_endian_order():
    words = Draws(3, "x").words(2)
    expected = b"".join(int(word).to_bytes(8, "little") for word in words)
    assert Draws(3, "x").octets(13).tobytes() == expected[:13]


@given(seed=st.integers(0, 2**70), n=st.integers(0, 40))
def test_order_is_a_permutation(seed, n):
    assert sorted(Draws(seed, "").order(n).tolist()) == list(range(n))


def test_distinct_can_exhaust_what_there_is():
    assert sorted(Draws(0, "").distinct(128, 7).tolist()) == list(range(128))
    assert Draws(0, "").distinct(50, 7).tolist() == Draws(0, "").distinct(100, 7).tolist()[:50]


# Pixels


def test_luma_is_that_of_bt_601():
    red, green, blue = [255, 0, 0], [0, 255, 0], [0, 0, 255]
    # 76.245, 149.685, 29.07, 18.15
    assert luma(np.uint8([red, green, blue, [10, 20, 30]])).tolist() == [76, 150, 29, 18]
    assert luma(np.uint8([[[200, 100, 50]]])).tolist() == [[124]]  # 59.8 + 58.7 + 5.7 = 124.2
    assert luma(np.uint8([[0, 0, 250]])).tolist() == [29]  # 28.5, half goes up


def test_luma_keeps_grays():
    grays = np.arange(256, dtype=np.uint8)
    assert luma(np.stack([grays] * 3, axis=-1)).tolist() == grays.tolist()


def test_shrink_is_the_mean_of_blocks():
    picture = np.random.default_rng(0).integers(0, 256, (7, 11, 3)).astype(np.uint8)
    small = shrink(picture, 3)
    assert small.shape == (2, 3, 3)
    assert small.dtype == np.uint8
    for y in range(2):
        for x in range(3):
            for c in range(3):
                block = picture[3 * y : 3 * y + 3, 3 * x : 3 * x + 3, c].astype(int)
                assert small[y, x, c] == math.floor(block.sum() / 9 + 0.5)
    assert np.array_equal(shrink(picture, 1), picture)
    assert shrink(picture, 8).shape == (0, 1, 3)
    assert shrink(np.uint8([[[0], [0]], [[1], [1]]]), 2).tolist() == [[[1]]]  # half goes up


# Digits


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    expected = {
        bytes(math.floor(count * 255 / 16 + 0.5) for row in image.astype(int) for count in row)
        for image in load_digits().images
    }
    train, test = Digits().load("train"), Digits().load("test")
    assert (len(train), len(test)) == (1197, 600)
    assert rows(train) | rows(test) == expected
    assert len(expected) == 1797
    assert not rows(train) & rows(test)


def test_digits_levels():
    found = np.unique(Digits().load("test")).tolist()
    assert found == [
        0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255
    ]  # fmt: skip


def test_digits_first_test_image():
    assert Digits().load("test")[0, 0].tolist() == [
        [0, 0, 191, 159, 0, 0, 0, 0],
        [0, 0, 223, 255, 255, 223, 0, 0],
        [0, 0, 207, 255, 239, 159, 16, 0],
        [0, 0, 175, 255, 255, 112, 0, 0],
        [0, 0, 0, 64, 112, 255, 112, 0],
        [0, 0, 0, 0, 64, 255, 143, 0],
        [0, 0, 80, 64, 191, 255, 64, 0],
        [0, 0, 143, 255, 255, 159, 0, 0],
    ]


def test_digits_checksums():
    assert checksums(Digits()) == ["61faa01ccda26d2f", "9315cc07f89709dd"]


# Photos


def photograph(name):
    from sklearn.datasets import load_sample_image

    return load_sample_image(f"{name}.jpg")


def positions(patch, picture):
    """All (row, column) at which a patch (C, s, s) lies in a picture (H, W, C)."""
    size = patch.shape[1]
    corner = np.all(picture == patch[:, 0, 0], axis=-1)
    return [
        (y, x)
        for y, x in np.argwhere(corner).tolist()
        if np.array_equal(picture[y : y + size, x : x + size].transpose(2, 0, 1), patch)
    ]


@pytest.mark.parametrize(("split", "low", "high"), [("train", 0, CUT), ("test", CUT, 640)])
def test_patches_lie_in_their_part_of_the_photograph(split, low, high):
    picture = photograph("flower")
    patches = Photos(photo="flower", size=9, channels=3, n_train=40, n_test=40).load(split)
    assert patches.shape == (40, 3, 9, 9)
    for patch in patches:
        found = positions(patch, picture)
        assert found
        assert all(low <= x and x + 9 <= high for _, x in found)


def test_all_patches_in_order_of_position_fill_the_part():
    options = {"photo": "china", "size": 40, "stride": 40, "channels": 3}
    patches = Photos(**options, n_train=100, n_test=60).load("train")
    picture = photograph("china")
    expected = {
        picture[y : y + 40, x : x + 40].transpose(2, 0, 1).tobytes()
        for y in range(0, 400, 40)
        for x in range(0, 400, 40)
    }
    assert rows(patches) == expected
    assert len(expected) == 100


def test_both_draws_from_both():
    patches = Photos(size=100, stride=100, channels=3, n_train=32, n_test=16).load("test")
    expected = {
        photograph(name)[y : y + 100, x : x + 100].transpose(2, 0, 1).tobytes()
        for name in ("china", "flower")
        for y in range(0, 400, 100)
        for x in (400, 500)
    }
    assert len(expected) == 16
    assert rows(patches) == expected


def test_reduced_patches_share_no_pixel_of_the_photograph():
    options = {"photo": "china", "size": 6, "shrink": 7, "channels": 3}
    picture = photograph("china")
    parts = {
        "train": shrink(picture[:, :400], 7),  # columns 0 to 398
        "test": shrink(picture[:, 400:], 7),  # columns 400 to 637
    }
    for split, part in parts.items():
        assert part.shape[:2] == (61, 57 if split == "train" else 34)
        patches = Photos(**options, n_train=30, n_test=30).load(split)
        assert all(positions(patch, part) for patch in patches)


def test_gray_patches_are_the_luma_of_the_colour_patches():
    for reduction in (1, 3):
        gray = Photos(shrink=reduction, n_train=50, n_test=50)
        colour = Photos(shrink=reduction, n_train=50, n_test=50, channels=3)
        for split in ("train", "test"):
            expected = luma(colour.load(split).transpose(0, 2, 3, 1))
            assert np.array_equal(gray.load(split)[:, 0], expected)


def test_more_patches_continue_the_first():
    few, many = Photos(n_test=10).load("test"), Photos(n_test=200).load("test")
    assert np.array_equal(few, many[:10])


def test_seeds_give_other_patches():
    first, second = Photos(seed=0).load("test"), Photos(seed=1).load("test")
    assert not np.array_equal(first, second)


def test_splits_of_photos_have_no_content_in_common():
    everything = {"n_train": 165060, "n_test": 97860}  # 420 x 393 and 420 x 233 positions
    for photo in ("china", "flower"):
        dataset = Photos(photo=photo, **everything)
        train, test = rows(dataset.load("train")), rows(dataset.load("test"))
        assert not train & test


def test_too_few_positions():
    dataset = Photos(photo="china", size=8, n_test=97861)
    message = (
        "photos: n_test = 97861, but photo = 'china' has 97860 test positions at size = 8, "
        "shrink = 1, stride = 1"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        dataset.load("test")
    dataset = Photos(size=64, shrink=8, stride=2, n_train=1)
    message = (
        "photos: n_train = 1, but photo = 'both' has 0 train positions at size = 64, "
        "shrink = 8, stride = 2"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        dataset.load("train")


def test_a_photograph_reduced_to_nothing_has_no_positions():
    with pytest.raises(DataError, match="has 0 test positions"):
        Photos(size=1, shrink=241).load("test")


def test_photos_checksums():
    assert checksums(Photos()) == ["3157cbc7aa9a54cc", "df8b0a17ed0bc09c"]
    other = Photos(photo="flower", channels=3, shrink=2)
    assert checksums(other) == ["161d35d6e706eb6b", "984d4b0274984ab0"]


# Noise


def test_uniform_noise_takes_every_value_equally_often():
    counts = np.bincount(Noise(n_train=4096).load("train").ravel(), minlength=256)
    assert len(counts) == 256
    # 1,024 expected of each: chi-squared of 255 degrees has mean 255 and sd 22.6.
    assert 170 < ((counts - 1024) ** 2 / 1024).sum() < 340


def test_gaussian_noise_has_the_rounded_normal_distribution():
    dataset = Noise(distribution="gaussian", mean=30.0, sd=20.0, n_train=4096)
    counts = np.bincount(dataset.load("train").ravel(), minlength=256)
    edges = np.concatenate([[-np.inf], np.arange(0.5, 255), [np.inf]])
    expected = 4096 * 64 * np.diff([(1 + math.erf((e - 30) / 20 / 2**0.5)) / 2 for e in edges])
    assert expected[0] > 5 * expected[1] > 0  # what is below 0 is set to 0
    kept = expected > 5
    assert 50 < kept.sum() < 120
    distance = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
    assert distance < kept.sum() + 5 * math.sqrt(2 * kept.sum())


def test_gaussian_noise_is_the_inverse_of_its_distribution():
    values = Noise(distribution="gaussian", n_test=3).load("test").ravel()
    below = normal_cdf(np.arange(0.5, 255), 127.5, 40.0)
    expected = [sum(below <= u) for u in Draws(0, "noise/test").fractions(3 * 64)]
    assert values.tolist() == expected


def test_gaussian_noise_beyond_the_range_is_at_its_ends():
    options = {"distribution": "gaussian", "sd": 1.0, "n_test": 2}
    assert set(Noise(mean=-50.0, **options).load("test").ravel().tolist()) == {0}
    assert set(Noise(mean=400.0, **options).load("test").ravel().tolist()) == {255}


@pytest.mark.parametrize("distribution", ["uniform", "gaussian"])
def test_noise_has_its_shape_and_independent_splits(distribution):
    options = {"channels": 3, "height": 5, "width": 7, "n_train": 31, "n_test": 20}
    dataset = Noise(distribution=distribution, **options)
    train, test = dataset.load("train"), dataset.load("test")
    assert dataset.domain == Images(3, 5, 7)
    assert (train.shape, test.shape) == ((31, 3, 5, 7), (20, 3, 5, 7))
    assert abs(np.corrcoef(train[:20].ravel(), test.ravel())[0, 1]) < 0.1
    assert not np.array_equal(
        Noise(distribution=distribution, seed=1, **options).load("test"), test
    )


@pytest.mark.parametrize("distribution", ["uniform", "gaussian"])
def test_more_noise_continues_the_first(distribution):
    options = {"distribution": distribution, "height": 31, "width": 31}
    few = Noise(**options, n_train=7).load("train")
    many = Noise(**options, n_train=CHUNK // 900).load("train")
    assert many.size > CHUNK
    assert np.array_equal(few, many[:7])


def test_noise_checksums():
    assert checksums(Noise()) == ["b310106bc95f8274", "92add624eceefc44"]
    assert checksums(Noise(distribution="gaussian")) == ["cec28322dc775c70", "ae8a518b8973bc0d"]


# Constant


def test_gray_constants_are_all_grays():
    dataset = Constant(height=3, width=2)
    train, test = dataset.load("train"), dataset.load("test")
    assert train.shape == test.shape == (128, 1, 3, 2)
    for examples, parity in ((train, 0), (test, 1)):
        assert np.all(examples == examples[:, :, :1, :1])
        assert sorted(examples[:, 0, 0, 0].tolist()) == list(range(parity, 256, 2))
        assert examples[:, 0, 0, 0].tolist() != list(range(parity, 256, 2))


def test_colour_constants():
    dataset = Constant(channels=3, height=2, width=5, n_train=3000, n_test=2000)
    for split, parity, n in (("train", 0, 3000), ("test", 1, 2000)):
        examples = dataset.load(split)
        assert examples.shape == (n, 3, 2, 5)
        assert np.all(examples == examples[:, :, :1, :1])
        colours = examples[:, :, 0, 0].astype(int)
        assert len({tuple(colour) for colour in colours.tolist()}) == n
        assert set((colours.sum(axis=1) % 2).tolist()) == {parity}
        # Each channel is uniform over all values, and no channel tells of another.
        assert np.abs(colours.mean(axis=0) - 127.5).max() < 8
        assert all(len(np.unique(colours[:, channel])) > 250 for channel in range(3))
        assert np.abs(np.corrcoef(colours.T) - np.eye(3)).max() < 0.1


def test_too_many_constants():
    message = "constant: n_test = 129, but a split has 128 different images with 1 channel"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        Constant(n_test=129)
    counts = "n_train = 8388609, but a split has 8388608 different images"
    message = f"constant: {counts} with 3 channels"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        Constant(channels=3, n_train=2**23 + 1)


def test_constant_seeds():
    first, again = Constant(n_test=9).load("test"), Constant(n_test=9).load("test")
    assert np.array_equal(first, again)
    assert not np.array_equal(first, Constant(n_test=9, seed=1).load("test"))
    assert np.array_equal(first, Constant().load("test")[:9])


def test_constant_checksums():
    assert checksums(Constant(channels=3)) == ["e6c9f237a19f606b", "afcc86965c37c43e"]
