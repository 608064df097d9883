"""Arrays out of pickles, by a reader that can run nothing.

Unpickling calls whatever a file names. This reader resolves four names, those of which plain
arrays are made, each to a stand-in of its own; NumPy's own functions are not called either,
since they trust what they are given.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError
from plugins.datasets._common import MOST_BYTES, check_file, data_errors

PLAIN = re.compile(r"[<>=|][biuf][1248]")


def read_pickled_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a pickled dictionary, by their keys.

    Of pickles that Python 2 or 3 wrote; admitted are numbers, text, lists, tuples, dictionaries
    and arrays of integers or floating-point numbers.

    Returns:
        Read-only arrays; whatever else the dictionary holds is left out.

    Raises:
        DataError: The file refers to anything else, is damaged, or holds no dictionary.
    """
    check_file(file, MOST_BYTES)
    with data_errors(f"{file}: cannot be read as a pickle of arrays"), file.open("rb") as stream:
        found = _Reader(stream, encoding="bytes").load()
    if not isinstance(found, dict):
        raise DataError(f"{file}: it holds no dictionary of arrays")
    return {
        key.decode("latin1") if isinstance(key, bytes) else key: value.array
        for key, value in found.items()
        if isinstance(value, _Array) and isinstance(key, str | bytes)
    }


class _Reader(pickle._Unpickler):
    """Resolves the names in `_NAMES` and no other.

    It is the reader written in Python: for a damaged file, the one in C may allocate a table of
    billions of references. A batch of ImageNet32 takes it a fraction of a second.

    Keys of dictionaries are numbers or text: a tuple that holds another one twice, and so on, a
    hundred deep, takes a few hundred bytes, and longer than the universe is old to be hashed.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name."""
        try:
            return _NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it refers to {module}.{name}, which is not admitted"
            ) from None


def _keyed(load: Callable[[Any], None], first: Callable[[Any], Sequence[Any]]) -> Any:
    """The handler of an opcode that fills a dictionary, its keys looked at before."""

    def checked(reader: Any) -> None:
        for key in first(reader):
            if not isinstance(key, str | bytes | int | float):
                raise pickle.UnpicklingError("a dictionary has a key that is no text and number")
        load(reader)

    return checked


def _refused(reader: Any) -> None:
    raise pickle.UnpicklingError("it holds something else than arrays and plain containers")


SETTERS = {
    pickle.SETITEM: lambda reader: reader.stack[-2:-1],
    pickle.SETITEMS: lambda reader: reader.stack[::2],
    pickle.DICT: lambda reader: reader.stack[::2],
}
"""Where the keys are; at the latter two `stack` is what follows the last mark."""
FOREIGN = (
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
    *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
    *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)
"""Opcodes that plain arrays and containers do without."""
for _opcode, _first in SETTERS.items():
    _Reader.dispatch[_opcode[0]] = _keyed(_Reader.dispatch[_opcode[0]], _first)
for _opcode in FOREIGN:
    _Reader.dispatch[_opcode[0]] = _refused


class _Name:
    """Stands for an admitted name: it can be called and not changed."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("the pickle changes the state of an object that it names")


class _Dtype:
    """A type as pickled: a code such as `u1`, then its byte order as state."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, *_: Any) -> None:
        self._code = _text(code)
        self._order = "="

    def __setstate__(self, state: Any) -> None:
        self._order = _text(state[1])
        if any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("an array has a type of several parts")

    def build(self) -> np.dtype[Any]:
        text = self._order + self._code
        if not PLAIN.fullmatch(text):
            raise pickle.UnpicklingError(f"an array has type {text!r}")
        return np.dtype(text)


class _Array:
    """An array as pickled: empty at first, then shape, type, order and content as state."""

    __slots__ = ("array",)

    def __init__(self, *_: Any) -> None:
        self.array: NDArray[Any] = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array is not made of plain numbers")
        flat = np.frombuffer(content, dtype.build())
        self.array = flat.reshape(shape, order="F" if is_fortran else "C")


def _text(value: Any) -> str:
    """Text of Python 3, or the bytes that Python 2 wrote."""
    text = value.decode("ascii") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise pickle.UnpicklingError(f"a {type(value).__name__} is where text should be")
    return text


def _encode(text: str, encoding: str) -> bytes:
    """The bytes that Python 3 writes as text where the protocol has no bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it has bytes in encoding {encoding!r}")
    return text.encode("latin1")


def _refuse(*_: Any) -> Any:
    raise pickle.UnpicklingError("it makes an array in another way")


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name(_Array),
    ("numpy._core.multiarray", "_reconstruct"): _Name(_Array),
    ("numpy", "ndarray"): _Name(_refuse),
    ("numpy", "dtype"): _Name(_Dtype),
    ("_codecs", "encode"): _Name(_encode),
}
