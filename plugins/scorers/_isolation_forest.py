"""Isolation forest: the trees and scores of scikit-learn's class, bit for bit, in less time."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from plugins.scorers._base import Array

LARGEST_SEED = np.iinfo(np.int32).max

SAMPLE = 256
"""Maximum number of points per tree (Liu et al., 2008)."""


class IsolationForest:
    """Trees that split points at random until each is alone, or the tree is as deep as usual.

    The trees are those of scikit-learn's isolation forest, with the same seeds. The class of
    scikit-learn spends nine tenths of the time on checks of every tree's inputs, on copies of
    settings and warning filters, and on generators that are seeded twice.

    Arguments:
        trees: Number of trees.
        seed: Seed for the random splits.
    """

    def __init__(self, trees: int, seed: int) -> None:
        self.trees, self.seed = trees, seed

    def fit(self, points: Array) -> Self:
        """Grow the trees on points, float64, (M, K), M >= 2."""
        from sklearn import config_context
        from sklearn.tree import ExtraTreeRegressor
        from sklearn.utils.random import sample_without_replacement

        rounded = np.asarray(points, np.float32, order="C")
        count, features = rounded.shape
        self._size = min(SAMPLE, count)
        depth = int(np.ceil(np.log2(self._size)))
        more = path_length(np.arange(self._size + 1))
        # A tree stops where all labels are equal; otherwise, labels play no part in the splits.
        rng = np.random.RandomState(self.seed)
        labels = rng.uniform(size=count)
        rng.seed(self.seed)
        self._grown: list[tuple[Any, Array]] = []
        with config_context(skip_parameter_validation=True):
            for seed in rng.randint(LARGEST_SEED, size=self.trees):
                rows: Any = slice(None)
                if self._size < count:
                    rng.seed(seed)
                    sample_without_replacement(features, features, random_state=rng)
                    rows = np.sort(sample_without_replacement(count, self._size, random_state=rng))
                rng.seed(seed)
                rng.seed(rng.randint(LARGEST_SEED))
                tree = ExtraTreeRegressor(max_features=1, max_depth=depth, random_state=rng)
                grown = tree.fit(rounded[rows], labels[rows], check_input=False).tree_
                lengths = grown.compute_node_depths() + more[grown.n_node_samples] - 1.0
                self._grown.append((grown, lengths))
        return self

    def score(self, points: Array) -> Array:
        """Return 2^(-E h / c(n)) for points, float64, (M,); see `GradientIForest`."""
        rounded = np.asarray(points, np.float32)
        depths = np.zeros(len(rounded))
        for tree, lengths in self._grown:
            depths += lengths[tree.apply(rounded)]
        scores: Array = 2 ** (-depths / (self.trees * path_length(np.array([self._size]))))
        return scores


def path_length(points: Any) -> Array:
    """Return c(n), the mean depth at which a tree of n random splits finds a point."""
    many = np.maximum(points, 3)
    usual = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    found: Array = np.where(points > 2, usual, points == 2)
    return found
