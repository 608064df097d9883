"""Entries of plugins with their origin: a distribution, a file, a module, or memory."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias, get_args

from harness.errors import PluginError
from harness.hookspecs import Entry
from harness.registry.imports import file_digest, own_imports

Kind: TypeAlias = Literal["models", "datasets", "statistics", "scorers", "executors"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FILE = "file"
"""`Source.distribution` for plugins given as a file."""
MODULE = "module"
"""`Source.distribution` for plugins given as a module."""
MEMORY = "memory"
"""`Source.distribution` for objects in memory."""


@dataclass(frozen=True, order=True)
class Source:
    """Origin of a plugin.

    Attributes:
        plugin: Plugin name; `-p no:NAME` blocks the plugin.
        distribution: Distribution name; `"file"` or `"module"` for a plugin named by path or
            module.
        version: Version of the distribution, or the first digits of the file's sha256.
        where: Module or path, for messages; never part of a key.
        imports: For a file or module, names and contents of the user's modules imported there
            (`own_imports`).
    """

    plugin: str
    distribution: str
    version: str
    where: str
    imports: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.plugin} ({self.distribution} {self.version}, {self.where})"

    def blocked_by(self) -> set[str]:
        """Return the names that block this plugin when given as `-p no:NAME`."""
        return {self.plugin, f"{self.distribution}:{self.plugin}"}


@dataclass(frozen=True)
class Registered:
    """A plugin entry together with the kind, the source and the module."""

    kind: Kind
    entry: Entry
    source: Source
    module: str

    @property
    def version(self) -> str:
        """Version declared by the entry, or else the source's version."""
        return self.entry.version or self.source.version

    def identity(self) -> dict[str, Any]:
        """Return the part that enters keys: name, version, distribution, and imported modules.

        A version declared by the entry stands for the imported modules too.
        """
        named = {
            "plugin": self.entry.name,
            "version": self.version,
            "distribution": self.source.distribution,
        }
        if self.entry.version or not self.source.imports:
            return named
        return named | {"imports": dict(self.source.imports)}

    def provenance(self) -> dict[str, Any]:
        """Return the plugin's description for the records of stored numbers."""
        imports = {"imports": dict(self.source.imports)} if self.source.imports else {}
        return {**self.identity(), "distribution_version": self.source.version, **imports}

    def load(self) -> Any:
        """Import the class or function behind the entry.

        Raises:
            PluginError: The import fails or the attribute is missing.
        """
        module_name, _, attribute = self.entry.target.partition(":")
        try:
            if self.source.distribution == FILE and self.module not in sys.modules:
                module = import_file(self.module, Path(self.source.where))  # in a worker process
                if with_imports(self.source, module) != self.source:
                    where = self.source.where
                    raise PluginError(f"a module imported by {where} changed while in use")
            return getattr(importlib.import_module(module_name or self.module), attribute)
        except Exception as error:
            raise PluginError(
                f"{self.kind[:-1]} {self.entry.name!r} of plugin {self.source} cannot be loaded "
                f"from {self.entry.target!r}: {describe(error)}"
            ) from error


@dataclass(frozen=True)
class ObjectEntry(Registered):
    """An object in memory, which a suite built in Python can name like a plugin.

    Attributes:
        form: What the object is, for example the name of its class. The name of the entry tells
            the objects of a suite apart, and is never part of a key.
        target: Builds the object from the options, as the attribute behind an entry.
    """

    form: str
    target: Any

    def identity(self) -> dict[str, Any]:
        """Return the part that enters keys: the form and the version, a digest of the content."""
        return {**super().identity(), "plugin": self.form}

    def load(self) -> Any:
        """Return what builds the object."""
        return self.target


def object_entry(kind: Kind, name: str, form: str, content: str, target: Any) -> ObjectEntry:
    """Create the entry of an object in memory.

    Arguments:
        kind: Kind of the plugin that the object takes the place of.
        name: Name of the entry.
        form: As in `ObjectEntry`.
        content: Digest of all that numbers depend on.
        target: As in `ObjectEntry`.
    """
    entry = Entry(name, "", form, version=content)
    return ObjectEntry(kind, entry, Source(name, MEMORY, content, form), "", form, target)


@dataclass(frozen=True)
class Broken:
    """A quarantined plugin, and the reason."""

    source: Source
    reason: str

    def __str__(self) -> str:
        return f"plugin {self.source} is broken: {self.reason}"


def with_imports(source: Source, module: ModuleType) -> Source:
    """Add the user's modules imported by a file or module, and the version of a module."""
    if source.distribution not in (FILE, MODULE):
        return source
    version = source.version or file_digest(module)
    return replace(source, version=version, imports=tuple(own_imports(module).items()))


def import_file(name: str, path: Path) -> ModuleType:
    """Import a file under a unique module name, so that files with the same stem can coexist."""
    if not name.endswith(hashlib.sha256(path.read_bytes()).hexdigest()[:12]):
        raise PluginError(f"{path} changed while in use")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def describe(error: BaseException) -> str:
    """Describe an error by its class and message."""
    return f"{type(error).__name__}: {error}"
