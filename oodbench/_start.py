"""Entry point for `bench` processes: resolve the package names first, then run the command."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

from oodbench._names import take_names


def main() -> None:
    """Run the command `bench`."""
    start("harness.cli")


def start(module: str) -> None:
    """Call `main` in a module of ours, after claiming the package names for this process."""
    try:
        take_names()
    except ImportError as error:
        _give_up(str(error))
    try:
        run = import_module(module).main
    except Exception:
        # Imported here, because reading the records takes longer than starting `bench --help`.
        from oodbench._installed import ADVICE, describe_changes, installed_files

        if not (changes := describe_changes(installed_files())):
            raise
        _give_up(f"{changes}; {ADVICE}")
    run()


def _give_up(reason: str) -> NoReturn:
    print(f"bench: {reason}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    start(sys.argv.pop(1))
