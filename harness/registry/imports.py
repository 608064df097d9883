"""Modules imported by a plugin and covered by no version: the user's helper modules."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import pkgutil
import re
import sys
import sysconfig
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from harness.errors import PluginError
from oodbench import _names

DIGITS = 12
"""Number of hexadecimal digits kept from a sha256."""
TARGET = re.compile(r"([\w.]+):\w+")
INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of folders with installed distributions."""
COVERED = [
    *(Path(sysconfig.get_paths()[name]).resolve() for name in ("stdlib", "platstdlib")),
    *(_names.FOLDER / name for name in ("oodbench", *_names.NAMES)),
]
"""Folders of the standard library and of our packages."""

_contents: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()
"""Digest of the source file by imported module, as first read in this process."""


@dataclass(frozen=True)
class _Place:
    """Location of a module; `spec` is None for a folder without `__init__.py`."""

    spec: ModuleSpec | None
    folders: tuple[str, ...]


def own_imports(plugin: ModuleType) -> dict[str, str]:
    """Find the user's modules imported by a plugin, directly or through other modules.

    The imports are read from the sources, those in functions too, and nothing is imported. A text
    of the form `"package.module:attribute"`, the target of an entry, and a constant name given to
    `import_module` count as imports.

    Left out are the standard library, our packages, and modules in `site-packages` or
    `dist-packages`, which belong to a distribution with a version. A distribution installed in
    editable mode lies elsewhere and is included: an edit there changes no version.

    Arguments:
        plugin: The plugin's module, already imported: paths that the module adds to `sys.path`
            are searched.

    Returns:
        First digits of the sha256 of each module's file, by module name, sorted.

    Raises:
        PluginError: A file changed after this process had imported the module.

    Example:
        >>> import harness.registry.scaffold
        >>> own_imports(harness.registry.scaffold)  # imports our packages only
        {}
    """
    path = getattr(plugin, "__file__", None)
    if path is None:
        return {}
    package = plugin.__package__ or ""
    places: dict[str, _Place | None] = {}
    found: dict[str, str] = {}
    waiting = deque(_imports(Path(path).read_bytes(), package))
    while waiting:
        name = waiting.popleft()
        if name in places:
            continue
        places[name] = place = _locate(name, places, str(Path(path).parent))
        content = None if place is None else _content(place.spec)
        if place is None or content is None:
            continue
        found[name] = _unchanged_digest(name, content)
        inside = name if place.folders else name.rpartition(".")[0]
        waiting += _imports(content, inside)
    return dict(sorted(found.items()))


def hint_beside(error: BaseException, file: str) -> str:
    """Say how to import a module beside a plugin file if the import failed; otherwise empty."""
    name, folder = getattr(error, "name", None) or "", Path(file).parent
    if not isinstance(error, ModuleNotFoundError) or not any(
        (folder / place).exists() for place in (name.partition(".")[0], f"{name}.py")
    ):
        return ""
    return f" (it is beside the plugin file: set PYTHONPATH={folder})"


def file_digest(module: ModuleType) -> str:
    """Return the first digits of the sha256 of a module's file; empty without a file.

    Raises:
        PluginError: The file changed after this process had imported the module.
    """
    spec = module.__spec__
    content = None if spec is None else _content(spec)
    return "" if content is None else _unchanged_digest(module.__name__, content)


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Yield the names imported by a source file, each after the packages above.

    Arguments:
        source: Content of the file; a file with other content imports nothing.
        package: Package for relative imports; empty for a module outside any package.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the import of the file has given the warnings
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        for name in _named(node, package):
            parts = name.split(".")
            if all(part.isidentifier() for part in parts):
                yield from (".".join(parts[: length + 1]) for length in range(len(parts)))


def _named(node: ast.AST, package: str) -> Iterable[str]:
    """Return the modules named by a node of the syntax tree, and names that may be modules."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            base = _absolute(node.module or "", node.level, package)
            return [base, *(f"{base}.{alias.name}" for alias in node.names)] if base else []
        case ast.Constant(value=str(text)):
            found = TARGET.fullmatch(text)
            return [found.group(1)] if found else []
        case ast.Call(
            func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(text)), *_],
        ):
            return [text]
    return []


def _absolute(module: str, level: int, package: str) -> str:
    """Return the absolute name of a relative import; empty if no such package exists."""
    if level == 0:
        return module
    parts = package.split(".")
    above = parts[: max(len(parts) + 1 - level, 0)]
    return ".".join(filter(None, [*above, module])) if any(above) else ""


def _locate(name: str, places: dict[str, _Place | None], beside: str) -> _Place | None:
    """Find a module without importing the module; None if covered by a version, or missing.

    Arguments:
        name: Absolute name.
        places: Places of the packages above.
        beside: Folder searched last, the folder of the plugin file.
    """
    above = name.rpartition(".")[0]
    place = places.get(above)
    if above and place is None:
        return None
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None and place is not None:
        spec = _below(name, place.folders)
    elif spec is None:
        spec = _top_level(name) or _below(name, [beside])
    if spec is None:
        return None
    if not spec.has_location:  # built in or frozen, or a folder without __init__.py
        return _Place(None, tuple(spec.submodule_search_locations or ()))
    file = Path(str(spec.origin))
    if INSTALLED & set(file.parts) or any(map(file.resolve().is_relative_to, COVERED)):
        return None
    return _Place(spec, tuple(spec.submodule_search_locations or ()))


def _top_level(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def _below(name: str, folders: Iterable[str]) -> ModuleSpec | None:
    """Find a module in folders; `find_spec` would import the packages above."""
    portions: list[str] = []
    for folder in folders:
        finder = pkgutil.get_importer(folder)
        spec = finder.find_spec(name, None) if finder is not None else None
        if spec is not None and spec.loader is not None:
            return spec
        if spec is not None:
            portions += spec.submodule_search_locations or ()
    if not portions:
        return None
    found = ModuleSpec(name, None, is_package=True)
    found.submodule_search_locations = portions
    return found


def _content(spec: ModuleSpec | None) -> bytes | None:
    """Read a module's file, also from an archive; None without a file."""
    read = getattr(getattr(spec, "loader", None), "get_data", None)
    if spec is None or read is None or not spec.has_location:
        return None
    try:
        content: bytes = read(spec.origin)
    except OSError:
        return None
    return content


def _unchanged_digest(name: str, content: bytes) -> str:
    found = hashlib.sha256(content).hexdigest()[:DIGITS]
    module = sys.modules.get(name)
    if module is not None and _contents.setdefault(module, found) != found:
        raise PluginError(
            f"{module.__file__} changed while in use: this process imported the older content; "
            "start again"
        )
    return found
