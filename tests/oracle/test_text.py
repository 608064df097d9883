"""Text from file to table against literal computations: bigram model, baselines, AUROC."""

from __future__ import annotations

import itertools
import math
import random
import zlib
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch

from harness.domain import Images, Tokens
from harness.errors import DomainError, NotFittedError, UnsupportedError
from harness.run.run import run
from harness.suite import load_suite
from oodbench.testing import assert_conforms, check_statistic
from plugins.datasets.text.text_files import TextFiles
from plugins.datasets.transformed import Transformed
from plugins.models.bigram import bigram
from plugins.scorers.min_k import MinK
from plugins.statistics.compressed_bits import CompressedBits
from plugins.statistics.image_statistics import PNGBits
from plugins.statistics.log_prob_tokens import LogProbTokens
from plugins.statistics.text_statistics import MeanByte, ZlibBits
from tests.places import settings_in

TRAINING = [(0, 1, 2), (0, 1, 1), (3, 3, 3), (0, 2, 1)]


def literal_log_prob(training, vocabulary, window):
    """Log-probability in nats from counts, in exact fractions until the logarithm."""
    return math.fsum(literal_log_probs(training, vocabulary, window))


def literal_log_probs(training, vocabulary, window):
    """Log-probability of each token given the token before."""
    first = Counter(example[0] for example in training)
    pairs = Counter(pair for example in training for pair in itertools.pairwise(example))
    before = Counter(a for example in training for a in example[:-1])
    probability = Fraction(first[window[0]] + 1, len(training) + vocabulary)
    found = [math.log(probability)]
    for a, b in itertools.pairwise(window):
        found.append(math.log(Fraction(pairs[a, b] + 1, before[a] + vocabulary)))
    return found


@pytest.fixture
def counted():
    model = bigram(Tokens(3, vocabulary=4)).double()
    model.prepare(torch.tensor(TRAINING))
    return model


def test_log_probabilities_are_those_of_counting(counted):
    windows = list(itertools.product(range(4), repeat=3))
    values = counted.log_prob(torch.tensor(windows)).tolist()
    expected = [literal_log_prob(TRAINING, 4, window) for window in windows]
    assert values == pytest.approx(expected, abs=1e-12)
    assert math.fsum(map(math.exp, values)) == pytest.approx(1, abs=1e-12)


def test_log_probabilities_of_tokens_are_those_of_counting(counted):
    windows = torch.tensor([(0, 1, 2), (3, 3, 0)])
    expected = [literal_log_probs(TRAINING, 4, window) for window in windows.tolist()]
    values = LogProbTokens()(counted, windows[:, None])
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert LogProbTokens().features(counted) == ("token.1", "token.2", "token.3")


def test_counting_again_forgets_what_was_counted_before(counted):
    other = torch.tensor([[3, 2, 1]])
    counted.prepare(other)
    values = counted.log_prob(torch.tensor(TRAINING)).tolist()
    expected = [literal_log_prob(other.tolist(), 4, window) for window in TRAINING]
    assert values == pytest.approx(expected, abs=1e-12)


def test_samples_have_the_probabilities_of_the_model(counted):
    drawn = counted.sample(20_000, torch.Generator().manual_seed(0))
    found = Counter(map(tuple, drawn.tolist()))
    for window in itertools.product(range(4), repeat=3):
        p = math.exp(literal_log_prob(TRAINING, 4, window))
        assert abs(found[window] / 20_000 - p) < 5 * math.sqrt(p / 20_000)


def test_bigram_takes_text_with_a_small_vocabulary():
    with pytest.raises(DomainError, match=r"at most 4,096, not 4,097"):
        bigram(Tokens(3, vocabulary=4097))


SUITE = """
    [training.counts]
    prepare_batches = 1000
    minibatch = 8
    precision = "float64"
    [models.bigram]
    plugin = "bigram"
    training = "counts"
    [models.glow]
    plugin = "glow"
    training = "counts"
    [datasets.words]
    plugin = "text-files"
    options = { path = "corpus/*.txt", length = 16 }
    [datasets.shuffled]
    plugin = "transformed"
    options = { source = "words", transform = "shuffle-bytes" }
    [[comparisons]]
    models = ["bigram", "glow"]
    in = "words"
    out = "shuffled"
    epochs = [0]
    group_sizes = [1, 2]
    scorers = [
      "log-likelihood", "gradient-norm", "min-k", "input-complexity",
      "mean-byte", "zlib-size", "mean-intensity",
    ]
    n_in = 30
    n_fit = 20
    n_out = 30
"""


@pytest.fixture
def results(tmp_path, write_suite):
    """The results of a suite on a folder of small documents, by model, scorer and group size."""
    rng = random.Random(0)
    (tmp_path / "corpus").mkdir()
    for number in range(20):
        words = rng.choices(["the", "cat", "sat", "on", "a", "mat", "and", "saw"], k=90)
        (tmp_path / f"corpus/{number}.txt").write_text(" ".join(words))
    suite = load_suite(write_suite(SUITE))
    outcome = run(suite, settings_in(tmp_path), report=lambda event: None)
    return {(x.cell.model, x.cell.scorer, x.cell.group_size): x for x in outcome.results}


def literal_auroc(ins, outs):
    """Share of pairs in which the OOD score is higher; ties count half."""
    pairs = [(i, o) for i in ins for o in outs]
    return sum((o > i) + 0.5 * (o == i) for i, o in pairs) / len(pairs)


def test_a_suite_of_text_is_a_literal_computation(results, tmp_path):
    words = TextFiles(path=tmp_path / "corpus", length=16)
    training = [tuple(x) for x in words.load("train").tolist()]
    test = words.load("test")
    shuffled = Transformed(source=words, transform="shuffle-bytes").load("test")
    order = np.argsort(np.random.PCG64([0, len(test)]).random_raw(len(test)), kind="stable")[:30]
    sides = [
        [literal_log_prob(training, 256, x) for x in split[order].tolist()]
        for split in (test, shuffled)
    ]
    scores = [[-x for x in side] for side in sides]
    result = results["bigram", "log-likelihood", 1]
    assert result.scores_in.tolist() == pytest.approx(scores[0], abs=1e-12 * 100)
    assert result.metrics.auroc == pytest.approx(literal_auroc(*scores), abs=1e-12)
    bits = -math.fsum(sides[0]) / 30 / (16 * math.log(2))
    assert result.metrics.bits_per_dim_in == pytest.approx(bits, abs=1e-12)
    assert result.provenance["bits_unit"] == "bits/byte"
    # The 4 least probable of 16 tokens: 20 %, rounded up.
    lowest = [
        [-sum(sorted(literal_log_probs(training, 256, x))[:4]) / 4 for x in split[order].tolist()]
        for split in (test, shuffled)
    ]
    assert results["bigram", "min-k", 1].scores_in.tolist() == pytest.approx(lowest[0], abs=1e-12)
    expected = literal_auroc(*lowest)
    assert results["bigram", "min-k", 1].metrics.auroc == pytest.approx(expected, abs=1e-12)
    complexity = [
        [
            -p / math.log(2) - 8 * len(zlib.compress(bytes(x), 9))
            for p, x in zip(*side, strict=True)
        ]
        for side in zip(sides, (test[order].tolist(), shuffled[order].tolist()), strict=True)
    ]
    found = results["bigram", "input-complexity", 1].scores_in.tolist()
    assert found == pytest.approx(complexity[0], abs=1e-9)
    pairs = [[(a + b) / 2 for a, b in zip(x[::2], x[1::2], strict=True)] for x in scores]
    expected = literal_auroc(*pairs)
    assert results["bigram", "log-likelihood", 2].metrics.auroc == pytest.approx(
        expected, abs=1e-12
    )


def test_what_is_of_images_does_not_apply_to_text(results):
    reason = "the model takes Images, not Tokens (16 bytes)"
    assert {x.status for x in results.values()} == {"ok", "unsupported"}
    for (model, scorer, _), result in results.items():
        if scorer == "mean-intensity":
            assert result.status == "unsupported"
            assert "mean_intensity is of images; the examples are 16 numbers" in result.message
        elif model == "glow":
            assert (result.status, reason in result.message) == ("unsupported", True)
        else:
            assert result.status == "ok"


@pytest.mark.parametrize(("share", "count"), [(0.2, 2), (0.3, 3), (0.01, 1), (0.31, 4), (1.0, 10)])
def test_min_k_is_the_mean_over_the_least_probable_tokens(share, count):
    values = -np.random.default_rng(0).exponential(size=(3, 2, 10))
    expected = [
        -sum(sum(sorted(row)[:count]) / count for row in group) / 2 for group in values.tolist()
    ]
    scorer = MinK(share=share).fit({})
    assert scorer.score({"log_prob_tokens": values}) == pytest.approx(expected, rel=1e-14)


def test_min_k_is_not_available_without_tokens():
    message = r"^log_prob_tokens needs a model of text with log_prob_tokens; Linear lacks this"
    for call in (LogProbTokens().features, lambda m: LogProbTokens()(m, torch.zeros(1, 1, 4))):
        with pytest.raises(UnsupportedError, match=message):
            call(torch.nn.Linear(1, 1))
    with pytest.raises(NotFittedError, match="^min-k was asked for scores before"):
        MinK().score({})


def test_each_domain_has_its_compressor():
    text, images = grouped(b"to be or not"), torch.arange(75).view(1, 1, 3, 5, 5).byte()
    assert CompressedBits()(None, text) == ZlibBits()(None, text)
    assert CompressedBits()(None, images) == PNGBits()(None, images)


def grouped(*windows):
    return torch.tensor([list(window) for window in windows])[:, None]


def test_statistics_of_bytes_against_loops():
    windows = [b"to be or not", b"\x00\xff" * 6, b"aaaaaaaaaaaa"]
    means = [sum(window) / 12 for window in windows]
    assert MeanByte()(None, grouped(*windows))[:, 0] == pytest.approx(means, rel=1e-14)
    bits = [8 * len(zlib.compress(window, 9)) for window in windows]
    assert ZlibBits()(None, grouped(*windows))[:, 0].tolist() == bits


@pytest.mark.parametrize("statistic", [MeanByte, ZlibBits])
def test_statistics_of_bytes_are_of_bytes(statistic):
    with pytest.raises(UnsupportedError, match=r"is of bytes; the examples have a token 256"):
        statistic()(None, grouped([1, 256]))
    with pytest.raises(UnsupportedError, match=r"is of text; the examples are 1 x 2 x 2 numbers"):
        statistic()(None, torch.zeros(1, 1, *Images(1, 2, 2).shape, dtype=torch.uint8))
    assert_conforms(check_statistic(statistic))
