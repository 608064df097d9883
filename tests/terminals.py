"""Commands on a real pseudo-terminal of a given size."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import termios
from collections.abc import Callable, Sequence


def on_terminal(
    command: Sequence[str],
    width: int,
    height: int = 24,
    *,
    cwd: str | os.PathLike[str] | None = None,
    while_open: Callable[[subprocess.Popen[bytes], int, bytes], None] | None = None,
    **environment: str,
) -> tuple[int, str]:
    """Run a command whose input, output and errors are a terminal.

    Arguments:
        command: Program and arguments.
        width: Cells of a line.
        height: Lines.
        cwd: The folder to run it in.
        while_open: Called after each piece of output with the process, the terminal and all that
            was shown so far.
        environment: Beside that of this process, of which `COLUMNS` and `LINES` are left out.

    Returns:
        Exit status and what it showed, line ends as a program writes them.
    """
    ours, theirs = os.openpty()
    resize(theirs, width, height)
    left_out = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM")
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=inherited | {"TERM": "xterm-256color"} | environment,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := _read(ours):
            shown += piece
            if while_open is not None:
                while_open(process, ours, shown)
        return process.wait(timeout=60), shown.decode().replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def resize(terminal: int, width: int, height: int) -> None:
    """Set the size of a terminal."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the last program has left it
        return b""
