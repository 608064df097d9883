"""Entry point for `bench` processes: interrupts, streams and package names, then the command.

Nothing is imported before interrupts are handled: the imports of the command take longer.
"""

from __future__ import annotations

import os
import sys

# Built in; the module `signal` takes 10 ms to import, and an interrupt then would be a traceback.
from _signal import SIGINT, SIGTERM, signal  # type: ignore[import-not-found]

INTERRUPTED = 130


def main() -> None:
    """Run the command `bench`."""
    for number in (SIGINT, SIGTERM):
        signal(number, _leave)
    from oodbench._streams import mend_streams

    mend_streams()
    start("harness.cli")


def _leave(number: int, frame: object) -> None:
    """End the process at an interrupt, until the command has handlers of its own."""
    try:
        os.write(2, b"\ninterrupted before any work began\n")
    finally:
        os._exit(INTERRUPTED)


def start(module: str) -> None:
    """Call `main` in a module of ours, after claiming the package names for this process."""
    from importlib import import_module

    from oodbench._names import take_names

    try:
        take_names()
    except ImportError as error:
        raise _failure(str(error)) from None
    try:
        run = import_module(module).main
    except Exception:
        # Imported here, because reading the records takes longer than starting `bench --help`.
        from oodbench._installed import ADVICE, describe_changes, installed_files

        if not (changes := describe_changes(installed_files())):
            raise
        raise _failure(f"{changes}; {ADVICE}") from None
    run()


def _failure(reason: str) -> SystemExit:
    print(f"bench: {reason}", file=sys.stderr)
    return SystemExit(2)


if __name__ == "__main__":
    start(sys.argv.pop(1))
