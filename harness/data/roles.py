"""Roles: test examples for fitting a scorer, and test examples to be scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from harness.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.suite.schema import Comparison


Role: TypeAlias = Literal["fit", "in", "out"]
DEFAULT_EXAMPLES = 1000


def permutation(count: int, seed: int) -> NDArray[np.int64]:
    """Numbers below `count` in a random order that no version of NumPy changes; int64, (count,).

    NumPy does not promise that `Generator.permutation` stays the same, so raw numbers are sorted.
    """
    import numpy as np

    return np.argsort(np.random.PCG64([seed, count]).random_raw(count), kind="stable")


class Draw(NamedTuple):
    """Recorded draw of examples from a test split, for one role.

    The examples are a prefix (`in`, `out`) or the following part (`fit`) of a permutation. The
    permutation depends only on the seed and the size of the split.
    """

    dataset: str
    role: Role
    n_in: int | None
    n_fit: int | None
    n_out: int | None
    fit_overlap: Literal["none", "paper"]
    seed: int

    @classmethod
    def of(cls, comparison: Comparison, dataset: str, role: Role) -> Draw:
        """Create the draw for a comparison, without settings irrelevant to the role."""
        is_out = role == "out"
        return cls(
            dataset,
            role,
            None if is_out else comparison.n_in,
            comparison.n_fit if role == "fit" else None,
            comparison.n_out if is_out else None,
            comparison.fit_overlap if role == "fit" else "none",
            comparison.draw_seed,
        )

    def ids(self, count: int) -> NDArray[np.int64]:
        """Return the numbers of the drawn examples.

        Arguments:
            count: Size of the test split.

        Returns:
            int64, (n,), distinct, below `count`; group m with b examples is n[m*b : (m+1)*b].

        Raises:
            DataError: The split has too few examples.
        """
        order = permutation(count, self.seed)
        if self.role == "out":
            n_out = min(DEFAULT_EXAMPLES, count) if self.n_out is None else self.n_out
            return order[: self._enough(n_out, count, "n_out")]
        n_in = min(DEFAULT_EXAMPLES, count // 2) if self.n_in is None else self.n_in
        self._enough(n_in, count, "n_in")
        if self.role == "in":
            return order[:n_in]
        pool = order if self.fit_overlap == "paper" else order[n_in:]
        n_fit = len(pool) if self.n_fit is None else self.n_fit
        return pool[: self._enough(n_fit, len(pool), "n_fit")]

    def _enough(self, asked: int, there: int, setting: str) -> int:
        if asked > there or asked < 1:
            raise DataError(
                f"{setting} = {asked}, but the test split of {self.dataset!r} has {there} "
                f"examples left for role {self.role!r}"
            )
        return asked
