"""The spelling of a suite in commands: for messages about missing results, and for workers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness.settings import Settings
from harness.suite import ResolvedSuite
from harness.suite.toml.files import shipped_by_name


def spelled(suite: ResolvedSuite) -> str:
    """Return how people name a suite: by its name, if shipped or made in Python, or by its file.

    Example:
        >>> from pathlib import Path
        >>> from harness.suite import load_suite
        >>> spelled(load_suite(Path("quickstart")))
        'quickstart'
    """
    names = [name for name, path in shipped_by_name().items() if path == suite.path]
    return names[0] if names else str(suite.path)


def suite_words(suite: ResolvedSuite, only: Sequence[str] = ()) -> list[str] | None:
    """Return the arguments that name a suite with its plugins and the values set, not quoted.

    Arguments:
        suite: Resolved suite.
        only: Selected cells, as after `--only`.

    Returns:
        None for a suite made in Python, which no command can name.

    Example:
        >>> from pathlib import Path
        >>> from harness.suite import load_suite
        >>> suite_words(load_suite(Path("quickstart"), changes=["title=A b"]), ["in=digits"])
        ['quickstart', '--set=title=A b', '--only=in=digits']
    """
    if not suite.path.is_file():
        return None
    options = {"plugin": suite.registry.requested, "set": suite.changes, "only": only}
    words = [f"--{option}={value}" for option, values in options.items() for value in values]
    return [spelled(suite), *words]


def run_command(suite: ResolvedSuite, settings: Settings, only: Sequence[str] = ()) -> str:
    """Return the command, or else the call, that computes a suite into a store.

    Arguments:
        suite: Resolved suite.
        settings: With the places where the results are sought.
        only: Selected cells, as after `--only`.
    """
    words = suite_words(suite, only)
    if words is None:
        return "suite.run()"
    places = [f"--store={settings.store}", f"--data={settings.data}"]
    return shlex.join(["bench", "run", *words, *places])
