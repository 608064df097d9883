"""The examples in public docstrings work, and no public function or class lacks one."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module

import pytest

RUN = ("oodbench", "oodbench.events", "oodbench.testing", "oodbench.workers")
"""Modules whose examples are run."""

COMPLETE = ("oodbench", "oodbench.events", "oodbench.testing")
"""Modules in which every function and class must have an example."""


def public(*modules):
    """The public functions and classes of some modules, each once."""
    found = {}
    for name in modules:
        module = import_module(name)
        for attribute in getattr(module, "__all__", ["Portable"]):
            item = getattr(module, attribute)
            if inspect.isclass(item) or inspect.isfunction(item):
                found.setdefault(item, f"{name}.{attribute}")
    return [pytest.param(item, id=name) for item, name in found.items()]


@pytest.mark.parametrize("item", public(*RUN))
def test_the_examples_work(item):
    finder = doctest.DocTestFinder()
    runner = doctest.DocTestRunner(verbose=False)
    said = []
    for example in finder.find(item, item.__name__, globs={}):  # each imports what it needs
        runner.run(example, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("item", public(*COMPLETE))
def test_there_is_an_example(item):
    assert doctest.DocTestParser().get_examples(item.__doc__ or "")
