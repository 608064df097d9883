"""Which `harness` and `plugins` a process means: the packages beside `oodbench`.

Both names are generic, and a user's repository may have packages of its own that bear them. Two
packages of one name cannot live in one process, so:

- in the processes of `bench` and its workers the names are ours (`take_names`);
- in any other process the first import decides. `import oodbench` imports neither package; the
  first use of one of its names imports our `harness`, wherever it stands on `sys.path` (`load`);
  a plain `import harness` means that of the user, if there is one (`give_way`).

Whoever comes second gets an `ImportError` that names both folders and the way out.
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
    """A finder that stands before `sys.path`: the packages in FOLDER."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(FOLDER)]) if name in NAMES else None


class _OtherPackages:
    """A finder that stands last: it finds nothing, and says why a package's own code is not found.

    A module that our package does not have may be one of the package that `sys.path` would give.
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
        # Without a name: `from harness import x` swallows errors that name `harness.x`.
        reason = _conflict(package, FOLDER / package, other)
        raise ImportError(f"there is no {name} here: {reason}")


def take_names() -> None:
    """Let `harness` and `plugins` mean ours in this process, whatever stands on `sys.path`.

    Raises:
        ImportError: The process has imported another package of one of these names.
    """
    for name in NAMES:
        _check(name)
    if _OwnPackages not in sys.meta_path:
        sys.meta_path.insert(0, _OwnPackages)
    _explain_misses()


def load(name: str) -> ModuleType:
    """Import one of our modules, whatever stands on `sys.path`.

    Arguments:
        name: Such as `"harness.testing"`.

    Raises:
        ImportError: The process has imported another package of its name.
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
    """Let a package of the user have its name; called as ours is imported.

    Ours lies among the installed packages, and so may be found first. Unless it was asked for by
    `take_names` or `load`, the import was meant for another package, wherever that stands.
    """
    if _OwnPackages in sys.meta_path:
        return
    # Another copy of this project, such as a checkout beside an installation, is not the user's.
    elsewhere = [entry for entry in sys.path if not Path(entry, "oodbench").is_dir()]
    spec = PathFinder.find_spec(name, elsewhere)
    if spec is not None:
        sys.modules[name] = module_from_spec(spec)
        if spec.loader is not None:  # a folder without `__init__.py` has none
            spec.loader.exec_module(sys.modules[name])


def lazily(module: str, homes: Sequence[str], public: Sequence[str]) -> Callable[[str], Any]:
    """A `__getattr__` for a module whose names are imported when they are first used.

    Arguments:
        module: Name of the module.
        homes: Where the names are defined; sought in this order.
        public: The names.
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
    """Where the package lies that the process has imported under a name; None if it has none."""
    module = sys.modules.get(name)
    return _folder(getattr(module, "__path__", None), getattr(module, "__file__", None))


def _folder(path: Any, file: str | None) -> Path | None:
    """Where a package lies, or the file of a module."""
    places = [*(path or ()), *([file] if file else [])]
    return Path(places[0]).resolve() if places else None


def _conflict(name: str, first: Path | None, second: Path | None) -> str:
    return (
        f"this process has imported the package {name!r} of {first}, so it cannot import that of "
        f"{second}: use each in a process of its own (the command `bench` is one), or rename yours"
    )
