"""How a process of `bench` starts: its own packages first, then the command."""

from __future__ import annotations

import sys
from importlib import import_module

from oodbench._names import take_names


def main() -> None:
    """The command `bench`."""
    start("harness.cli")


def start(module: str) -> None:
    """Call `main` of one of our modules, in a process that is ours."""
    try:
        take_names()
    except ImportError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    import_module(module).main()


if __name__ == "__main__":
    start(sys.argv.pop(1))
