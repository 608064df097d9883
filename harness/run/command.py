"""The command that computes a suite, for messages about missing results."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness.settings import Settings
from harness.suite import ResolvedSuite


def run_command(suite: ResolvedSuite, settings: Settings, only: Sequence[str] = ()) -> str:
    """Return the `bench run` of a suite with its plugins, changes, store and data folder.

    Arguments:
        suite: A suite read from a file.
        settings: With the places where the results are sought.
        only: Selected cells, as after `--only`.
    """
    options = {"set": suite.changes, "only": only, "plugin": suite.registry.requested}
    words = [f"--{option}={value}" for option, values in options.items() for value in values]
    places = [f"--store={settings.store}", f"--data={settings.data}"]
    return shlex.join(["bench", "run", str(suite.path), *words, *places])
