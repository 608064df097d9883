"""Standard streams of `bench` processes: closed streams, and readers that go away."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast


def mend_streams() -> None:
    """Make stdin, stdout and stderr usable.

    - A closed stream becomes the null device. Otherwise the next file opened would get the number
      of the stream, and would receive the output.
    - After the reader of a pipe has gone away, output to the pipe is dropped. The command goes on:
      its work and its exit status do not depend on a reader.
    - A width or height of zero in the environment, as of a terminal without a size, is forgotten.
    """
    _open_closed()
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "unset").strip("0"):
            del os.environ[name]
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            setattr(sys, name, _lasting(stream))


def _open_closed() -> None:
    for number, (name, mode) in enumerate([("stdin", "r"), ("stdout", "w"), ("stderr", "w")]):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))


class _Pipe(io.FileIO):
    """A file for writing that ignores a broken pipe."""

    def write(self, content: Any) -> int:
        with suppress(BrokenPipeError):
            return super().write(content)
        return memoryview(content).nbytes


def _lasting(stream: io.TextIOWrapper) -> TextIO:
    """Return a stream to the same file that ignores a broken pipe."""
    stream.flush()
    raw = _Pipe(stream.fileno(), "w", closefd=False)
    buffer = cast("Any", raw if stream.write_through else io.BufferedWriter(raw))
    return io.TextIOWrapper(
        buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
