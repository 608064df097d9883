"""Entry point for `bench` processes: resolve the package names first, then run the command."""

from __future__ import annotations

import sys
from importlib import import_module

from oodbench._names import take_names


def main() -> None:
    """Run the command `bench`."""
    start("harness.cli")


def start(module: str) -> None:
    """Call `main` in a module of ours, after claiming the package names for this process."""
    try:
        take_names()
    except ImportError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    import_module(module).main()


if __name__ == "__main__":
    start(sys.argv.pop(1))
