"""Documentation of the Python language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oodbench import MissingDataError
from plugins.datasets.text.installed import InstalledText


@dataclass(kw_only=True, eq=False)
class PythonDocs(InstalledText):
    """Windows of English text: the topics of Python's `help`, chapters of its language reference.

    The texts are in the module `pydoc_data.topics` of the running Python, about 80 topics with
    465,000 bytes in Python 3.11, in UTF-8. Other versions of Python have other texts, so the
    fingerprint differs. A hash of seed and content assigns whole topics to the splits; test
    windows that are in train topics too are dropped.

    Arguments:
        length: Length of a window in bytes.
        test_share: Fraction of the topics in the test split.
        seed: Seed for the random split.

    References:
        | The Python Language Reference
        | https://docs.python.org/3/reference/
    """

    name = "python-docs"
    document = "topic"

    def _all(self) -> Mapping[str, bytes]:
        try:
            from pydoc_data.topics import topics
        except ImportError as error:
            raise MissingDataError(
                f"python-docs: this Python has no module pydoc_data.topics ({error}); some "
                "distributions have it in a package of its own, and uv installs a complete Python"
            ) from error
        return {name: topics[name].encode() for name in sorted(topics)}
