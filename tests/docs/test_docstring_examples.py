"""The examples in public docstrings work, and no public function or class lacks an example."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module

import pytest

MODULES = ("oodbench", "oodbench.events", "oodbench.testing", "oodbench.workers")


def public():
    """The public functions and classes, each once."""
    names = {}
    for module in map(import_module, MODULES):
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.isclass(item) or inspect.isfunction(item):
                names.setdefault(item, f"{module.__name__}.{name}")
    return [pytest.param(item, id=name) for item, name in names.items()]


@pytest.mark.parametrize("item", public())
def test_the_examples_work(item):
    runner = doctest.DocTestRunner(verbose=False)
    said = []
    for example in doctest.DocTestFinder().find(item, item.__name__, globs={}):
        runner.run(example, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("item", public())
def test_there_is_an_example(item):
    assert doctest.DocTestParser().get_examples(item.__doc__)
