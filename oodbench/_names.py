"""Resolution of the names `harness` and `plugins`: the packages next to `oodbench`.

Both names are generic, and a user's repository may contain packages with the same names. Two
packages with the same name cannot live in the same process, so:

- in the processes of `bench` and the workers, the names mean our packages (`take_names`);
- in any other process the first import decides. `import oodbench` imports neither package; the
  first use of a public name imports our `harness`, at any position on `sys.path` (`load`);
  a plain `import harness` means the user's package, if available (`give_way`).

The second import raises an `ImportError` that names both folders and the way out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent
NAMES = ("harness", "plugins")


class _OwnPackages:
    """A finder for the packages in FOLDER, placed before the search of `sys.path`."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(FOLDER)]) if name in NAMES else None


class _OtherPackages:
    """A finder at the last position: finds nothing, but explains a failed import.

    A module missing in our package may exist in the user's package with the same name, found
    through `sys.path`.
    """

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        package = name.partition(".")[0]
        if package not in NAMES or _imported(package) != FOLDER / package:
            return None
        spec = PathFinder.find_spec(package)
        other = None if spec is None else _folder(spec.submodule_search_locations, spec.origin)
        if other in (None, FOLDER / package):
            return None
        # The error has no `name`: `from harness import x` swallows errors named `harness.x`.
        reason = _conflict(package, FOLDER / package, other)
        raise ImportError(f"{name} cannot be imported here: {reason}")


def take_names() -> None:
    """Make `harness` and `plugins` mean our packages in this process, for any `sys.path`.

    Raises:
        ImportError: The process has already imported another package with such a name.
    """
    for name in NAMES:
        _check(name)
    if _OwnPackages not in sys.meta_path:
        sys.meta_path.insert(0, _OwnPackages)
    _explain_misses()


def load(name: str) -> ModuleType:
    """Import one of our modules, for any `sys.path`.

    Arguments:
        name: For example `"harness.testing"`.

    Raises:
        ImportError: The process has already imported another package with the same name.
    """
    package = name.partition(".")[0]
    _check(package)
    if package not in sys.modules:
        sys.meta_path.insert(0, _OwnPackages)
        try:
            import_module(package)
        finally:
            sys.meta_path.remove(_OwnPackages)
        _explain_misses()
    return import_module(name)


def give_way(name: str) -> None:
    """Give the name to a user's package; called while our package is being imported.

    Our package is stored among the installed packages, and may be found first. Unless `take_names`
    or `load` requested our package, the import is meant for another package, if any exists on
    `sys.path`.
    """
    if _OwnPackages in sys.meta_path:
        return
    # Another copy of this project, for example a checkout, is not a package of the user.
    elsewhere = [entry for entry in sys.path if not Path(entry, "oodbench").is_dir()]
    spec = PathFinder.find_spec(name, elsewhere)
    if spec is not None:
        sys.modules[name] = module_from_spec(spec)
        if spec.loader is not None:  # None for a folder without `__init__.py`
            spec.loader.exec_module(sys.modules[name])


def lazily(module: str, homes: Sequence[str], public: Sequence[str]) -> Callable[[str], Any]:
    """Create a `__getattr__` for a module, to import each public name on first use.

    Arguments:
        module: Name of the module.
        homes: Modules that define the names, searched in this order.
        public: The public names.
    """

    def get(name: str) -> Any:
        if name in public:
            for home in homes:
                found = getattr(load(home), name, None)
                if found is not None:
                    setattr(sys.modules[module], name, found)
                    return found
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return get


def _explain_misses() -> None:
    if _OtherPackages not in sys.meta_path:
        sys.meta_path.append(_OtherPackages)


def _check(name: str) -> None:
    if sys.modules.get(name) is not None and _imported(name) != FOLDER / name:
        raise ImportError(_conflict(name, _imported(name), FOLDER / name))


def _imported(name: str) -> Path | None:
    """Return the folder of the package imported under a name; None without such a package."""
    module = sys.modules.get(name)
    return _folder(getattr(module, "__path__", None), getattr(module, "__file__", None))


def _folder(path: Any, file: str | None) -> Path | None:
    """Return the folder of a package, or the file of a module."""
    places = [*(path or ()), *([file] if file else [])]
    return Path(places[0]).resolve() if places else None


def _conflict(name: str, first: Path | None, second: Path | None) -> str:
    return (
        f"this process has imported the package {name!r} of {first}, so it cannot import that of "
        f"{second}: use each in a separate process (the command `bench` has one), or rename yours"
    )
