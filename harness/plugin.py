"""What a plugin module needs to register itself: `hookimpl` and `Entry`."""

from __future__ import annotations

from dataclasses import dataclass

import pluggy

PROJECT = "bench"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Entry:
    """A model, data set, statistic, scorer or executor, named but not yet imported.

    Attributes:
        name: What suites call it.
        target: `"package.module:attribute"`, or `":attribute"` for one in the module that holds
            the hook. The attribute is a class or a function that returns the object; its
            parameters are the options, their annotations the types that options are checked
            against, its docstring's "Arguments" section their meaning.
        summary: One line for listings.
        version: Part of every key: change it when the numbers change. Left empty, it is the
            distribution's version, or the hash of a plugin given as a file.
    """

    name: str
    target: str
    summary: str
    version: str = ""
