"""Reader for arrays in pickles that cannot execute code.

Unpickling calls any function named in a file. This reader resolves only the four names needed for
plain arrays, each to a stand-in defined here. NumPy's functions are not called either, since they
trust their arguments.
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
    """Read the arrays in a pickled dictionary, by key.

    Pickles written by Python 2 or 3 are supported, with numbers, text, lists, tuples,
    dictionaries, and arrays of integers or floating-point numbers.

    Returns:
        Read-only arrays; other values in the dictionary are left out.

    Raises:
        DataError: The file refers to other types, is damaged, or does not contain a dictionary.
    """
    check_file(file, MOST_BYTES)
    with data_errors(f"{file}: cannot be read as a pickle of arrays"), file.open("rb") as stream:
        found = _Reader(stream, encoding="bytes").load()
    if not isinstance(found, dict):
        raise DataError(f"{file}: not a dictionary with arrays")
    return {
        key.decode("latin1") if isinstance(key, bytes) else key: value.array
        for key, value in found.items()
        if isinstance(value, _Array) and isinstance(key, str | bytes)
    }


class _Reader(pickle._Unpickler):
    """Unpickler restricted to the names in `_NAMES`.

    The class extends the unpickler written in Python: with a damaged file, the C version may
    allocate a table with billions of references. An ImageNet32 batch takes a fraction of a second.

    Dictionary keys are restricted to numbers and text: tuples nested a hundred levels deep, each
    with the next tuple twice, need only a few hundred bytes in a file, but hashing such a key
    would take longer than the age of the universe.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name."""
        try:
            return _NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"reference to {module}.{name}, which is not allowed"
            ) from None


def _keyed(load: Callable[[Any], None], first: Callable[[Any], Sequence[Any]]) -> Any:
    """Wrap the handler for an opcode that fills a dictionary, with a check of the keys."""

    def checked(reader: Any) -> None:
        for key in first(reader):
            if not isinstance(key, str | bytes | int | float):
                raise pickle.UnpicklingError("a dictionary key is neither text nor a number")
        load(reader)

    return checked


def _refused(reader: Any) -> None:
    raise pickle.UnpicklingError("only arrays and plain containers are allowed")


SETTERS = {
    pickle.SETITEM: lambda reader: reader.stack[-2:-1],
    pickle.SETITEMS: lambda reader: reader.stack[::2],
    pickle.DICT: lambda reader: reader.stack[::2],
}
"""Location of the keys; for `SETITEMS` and `DICT`, `stack` starts after the last mark."""
FOREIGN = (
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
    *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
    *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)
"""Opcodes not needed for plain arrays and containers."""
for _opcode, _first in SETTERS.items():
    _Reader.dispatch[_opcode[0]] = _keyed(_Reader.dispatch[_opcode[0]], _first)
for _opcode in FOREIGN:
    _Reader.dispatch[_opcode[0]] = _refused


class _Name:
    """Stand-in for an allowed name: callable, but not changeable."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("the pickle changes the state of a named object")


class _Dtype:
    """Pickled array type: a code, for example `u1`, then the byte order as state."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, *_: Any) -> None:
        self._code = _text(code)
        self._order = "="

    def __setstate__(self, state: Any) -> None:
        self._order = _text(state[1])
        if any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("structured array types are not supported")

    def build(self) -> np.dtype[Any]:
        text = self._order + self._code
        if not PLAIN.fullmatch(text):
            raise pickle.UnpicklingError(f"an array has type {text!r}")
        return np.dtype(text)


class _Array:
    """Pickled array: empty at first, then shape, type, order and content as state."""

    __slots__ = ("array",)

    def __init__(self, *_: Any) -> None:
        self.array: NDArray[Any] = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array does not contain plain numbers")
        flat = np.frombuffer(content, dtype.build())
        self.array = flat.reshape(shape, order="F" if is_fortran else "C")


def _text(value: Any) -> str:
    """Return text from Python 3 unchanged, and decode bytes from Python 2."""
    text = value.decode("ascii") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise pickle.UnpicklingError(f"expected text, not {type(value).__name__}")
    return text


def _encode(text: str, encoding: str) -> bytes:
    """Encode bytes that Python 3 writes as text for protocols without a bytes type."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes with encoding {encoding!r} are not supported")
    return text.encode("latin1")


def _refuse(*_: Any) -> Any:
    raise pickle.UnpicklingError("arrays must be created by `_reconstruct`")


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name(_Array),
    ("numpy._core.multiarray", "_reconstruct"): _Name(_Array),
    ("numpy", "ndarray"): _Name(_refuse),
    ("numpy", "dtype"): _Name(_Dtype),
    ("_codecs", "encode"): _Name(_encode),
}
