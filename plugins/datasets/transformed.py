"""Transformations of another data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Dataset, Domain, HasNotes, HasStamp, Images, Tokens
from plugins.datasets._common import Draws

Change = Callable[[NDArray[Any]], NDArray[Any]]
MOVES: Mapping[str, Change] = {
    "flip-horizontal": lambda x: x[:, :, :, ::-1],
    "flip-vertical": lambda x: x[:, :, ::-1],
    "rotate-90": lambda x: np.rot90(x, 1, axes=(2, 3)),
    "rotate-180": lambda x: x[:, :, ::-1, ::-1],
    "shuffle-channels": lambda x: np.roll(x, -1, axis=1),
}
"""Transformations of images, (N, C, H, W), that move values without changing them."""


def invert(x: NDArray[Any], levels: int) -> NDArray[Any]:
    """Replace each value v by levels - 1 - v."""
    return np.uint8(levels - 1) - x


def reverse_bits(x: NDArray[Any], levels: int) -> NDArray[Any]:
    """Write the bits of each value in reverse order; levels is a power of 2."""
    bits, values = levels.bit_length() - 1, np.arange(levels)
    places = [(values >> place & 1) << bits - 1 - place for place in range(bits)]
    reversed_: NDArray[Any] = np.sum(places, axis=0).astype(np.uint8)[x]
    return reversed_


def subtract_green(x: NDArray[Any], levels: int) -> NDArray[Any]:
    """Replace red and blue, in images (N, 3, H, W), by their distances from green."""
    red, green, blue = x[:, 0], x[:, 1], x[:, 2]
    distances = [np.uint16(levels * 3 // 2) + c - green for c in (red, blue)]
    red, blue = ((distance % levels).astype(np.uint8) for distance in distances)
    return np.stack([red, green, blue], axis=1)


VALUES: Mapping[str, Callable[[NDArray[Any], int], NDArray[Any]]] = {
    "invert": invert,
    "reverse-bits": reverse_bits,
    "subtract-green": subtract_green,
}
"""Transformations of images that change values, given the number of levels."""
PHRASE = 8
"""Number of bytes in a repeated phrase."""


def shuffle_bytes(x: NDArray[Any]) -> NDArray[Any]:
    """Shuffle the bytes of each window, (N, T); every window has another order."""
    order = Draws(0, "shuffle-bytes").words(x.size).reshape(x.shape).argsort(axis=1, kind="stable")
    return np.take_along_axis(x, order, axis=1)


def upper_case(x: NDArray[Any]) -> NDArray[Any]:
    """Make the letters a to z capital letters, in bytes of any shape."""
    return np.where((x >= ord("a")) & (x <= ord("z")), x - 32, x)


def reverse_words(x: NDArray[Any]) -> NDArray[Any]:
    """Reverse the order of the words between spaces in each window, (N, T)."""
    made = [b" ".join(window.tobytes().split(b" ")[::-1]) for window in x]
    return np.frombuffer(b"".join(made), x.dtype).reshape(x.shape)


def repeat_phrase(x: NDArray[Any]) -> NDArray[Any]:
    """Fill each window, (N, T), with its first bytes."""
    return x[:, np.arange(x.shape[1]) % PHRASE]


TEXTS: Mapping[str, Change] = {
    "shuffle-bytes": shuffle_bytes,
    "repeat-phrase": repeat_phrase,
    "upper-case": upper_case,
    "reverse-words": reverse_words,
}
"""Transformations of windows of bytes, (N, T)."""


class Transformed:
    """Another data set with a transformation applied to every example.

    Of images, every transformation is reversible. `invert` replaces a value v by levels - 1 - v.
    `reverse-bits` writes the bits of each value in reverse order, so that neighbouring values are
    far apart. `subtract-green` leaves green as it is, and replaces red by
    red - green + levels / 2 modulo levels, and blue likewise.
    The rotations turn counter-clockwise, so `rotate-90` moves the right edge to the top and swaps
    height and width. `shuffle-channels` moves every channel one place forward and the first
    channel to the end: red, green, blue become green, blue, red.

    Of text in bytes, `shuffle-bytes` shuffles the bytes of each window, `repeat-phrase` repeats
    the first 8 bytes, `upper-case` makes the letters a to z capital letters, and `reverse-words`
    reverses the order of the words between spaces.

    Arguments:
        source: Name of the data set to transform.
        transform: Transformation of each example.

    Raises:
        DataError: The transformation is of images, and the source is text, or the other way round;
            or the images have too few or too many channels for it.
    """

    copies_examples = True

    def __init__(
        self,
        *,
        source: Dataset,
        transform: Literal[
            "invert",
            "reverse-bits",
            "subtract-green",
            "flip-horizontal",
            "flip-vertical",
            "rotate-90",
            "rotate-180",
            "shuffle-channels",
            "shuffle-bytes",
            "repeat-phrase",
            "upper-case",
            "reverse-words",
        ],
    ) -> None:
        _check(transform, source.domain)
        self._source = source
        self._transform = transform
        if isinstance(source, HasStamp):
            # An attribute instead of a method: without a stamped source this is not `HasStamp`.
            self.stamp = source.stamp
        if isinstance(source, HasNotes):
            self.notes = source.notes

    @property
    def domain(self) -> Domain:
        """Domain of the source, with height and width swapped by a quarter turn."""
        domain = self._source.domain
        if self._transform == "rotate-90" and isinstance(domain, Images):
            return replace(domain, height=domain.width, width=domain.height)
        return domain

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits of the source."""
        return self._source.splits

    def load(self, split: str) -> NDArray[Any]:
        """Return the transformed examples, (N, *domain.shape), in the order of the source."""
        examples = np.asarray(self._source.load(split))
        if self._transform in VALUES:
            changed = VALUES[self._transform](examples, self.domain.levels)
            return np.ascontiguousarray(changed)
        return np.ascontiguousarray({**MOVES, **TEXTS}[self._transform](examples))


def _check(transform: str, domain: Domain) -> None:
    """Raise `DataError` unless the domain allows the transformation."""
    is_text = isinstance(domain, Tokens) and domain.is_bytes
    if transform in TEXTS and not is_text:
        raise DataError(f"transformed: {transform!r} changes text in bytes, not {domain}")
    if transform not in TEXTS and not isinstance(domain, Images):
        known = ", ".join(TEXTS)
        raise DataError(
            f"transformed: {transform!r} changes images, not {domain}; known for text: {known}"
        )
    if transform == "shuffle-channels" and domain.shape[0] == 1:
        raise DataError("transformed: 'shuffle-channels' needs at least 2 channels")
    if transform == "subtract-green" and domain.shape[0] != 3:
        raise DataError("transformed: 'subtract-green' needs 3 channels: red, green and blue")
