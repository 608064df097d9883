"""Registry: finds plugins, isolates broken plugins, resolves names, and calls event hooks."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from harness import events, hookspecs
from harness.errors import PluginError, PluginFileError
from harness.events import Event
from harness.hookspecs import PROJECT, Entry
from harness.registry.imports import hint_beside
from harness.registry.registered import (
    FILE,
    KINDS,
    MODULE,
    Broken,
    Kind,
    ObjectEntry,
    Registered,
    Source,
    describe,
    import_file,
    with_imports,
)
from harness.text import known_names
from oodbench import _names

HOOKS: dict[type[Event], str] = {
    events.RunStarted: "bench_run_started",
    events.EpochFinished: "bench_epoch_finished",
    events.CellFinished: "bench_cell_finished",
    events.RunFinished: "bench_run_finished",
}


class Registry:
    """All plugins in this process.

    Arguments:
        requested: Values given with `-p`: the path to a Python file, a module, or `no:NAME`.
        paths: Plugin files named by a suite.
        objects: Objects in memory.

    Raises:
        PluginError: A requested plugin is broken, or no plugin has the name in `no:NAME`.
    """

    def __init__(
        self,
        requested: Sequence[str] = (),
        paths: Iterable[Path] = (),
        objects: Iterable[ObjectEntry] = (),
    ) -> None:
        self.requested = tuple(requested)
        self.sources: list[Source] = []
        self.blocked: list[Source] = []
        self.broken: list[Broken] = []
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._blocked_names = {name[3:] for name in requested if name.startswith("no:")}
        self._modules: dict[str, Source] = {}
        self._load_installed()
        for name in requested:
            if not name.startswith("no:"):
                self._load_requested(name)
        for path in paths:
            self._load_file(path)
        entries = [*self._collect(), *objects]
        self._entries = sorted(entries, key=lambda item: (item.entry.name, item.source))
        self._check_blocked_names()

    def _load_installed(self) -> None:
        """Load entry points separately, so that a broken plugin does not affect the rest."""
        found: dict[tuple[str, str, str], EntryPoint] = {}
        for point in entry_points(group=PROJECT):
            distribution = point.dist.name if point.dist else "unknown"
            found[(distribution, point.name, point.value)] = point
        for (distribution, name, value), point in sorted(found.items()):
            version = point.dist.version if point.dist else "unknown"
            source = Source(name, distribution, version, value)
            self._guarded(source, partial(_load_point, point))

    def _load_requested(self, name: str) -> None:
        path = Path(name)
        if path.suffix == ".py" or path.is_file():
            self._load_file(path)
            return
        source = Source(name, MODULE, "", name)
        if not self._guarded(source, lambda: importlib.import_module(name)):
            raise PluginError(f"-p {name}: {self.broken[-1]}")

    def _load_file(self, path: Path) -> None:
        where = path.absolute()
        if path.exists() and not path.is_file():
            raise PluginFileError(path, f"plugin file {where} is not a file")
        try:
            content = path.read_bytes()
        except OSError as error:
            message = f"plugin file {where} cannot be read: {error.strerror}"
            raise PluginFileError(path, message) from error
        digest = hashlib.sha256(content).hexdigest()
        name = f"bench_plugin_{path.stem}_{digest[:12]}"
        source = Source(path.stem, FILE, digest[:12], str(path.resolve()))
        if name not in self._modules and not self._guarded(
            source, lambda: import_file(name, path)
        ):
            raise PluginFileError(path, str(self.broken[-1]))

    def _check_blocked_names(self) -> None:
        used = {name for source in self.blocked for name in source.blocked_by()}
        for name in sorted(self._blocked_names - used):
            known = {source.plugin for source in [*self.sources, *self.blocked]}
            raise PluginError(f"-p no:{name}: no such plugin ({known_names(name, known)})")

    def _guarded(self, source: Source, load: Any) -> bool:
        """Load and register a plugin unless blocked; return False if the plugin is broken."""
        if source.blocked_by() & self._blocked_names:
            self.blocked.append(source)
            return True
        try:
            module = load()
            misspelt = self._misspelt_hooks(module)
            if misspelt:
                raise PluginError("; ".join(misspelt))
            source = with_imports(source, module)
            identity = f"{source.distribution}:{source.plugin}:{source.where}"
            try:
                self._manager.register(module, identity)
                self._manager.check_pending()
            except Exception:
                if self._manager.is_registered(module):
                    self._manager.unregister(module)
                raise
        except (Exception, SystemExit) as error:
            reason = str(error) if isinstance(error, PluginError) else describe(error)
            reason += hint_beside(error, source.where) if source.distribution == FILE else ""
            self.broken.append(Broken(source, reason))
            return False
        self._modules[module.__name__] = source
        self.sources.append(source)
        return True

    def _misspelt_hooks(self, module: ModuleType) -> list[str]:
        known = [name for name in vars(hookspecs) if name.startswith("bench_")]
        problems = []
        for name in dir(module):
            options = self._manager.parse_hookimpl_opts(module, name)
            hook = name if options is None else (options.get("specname") or name)
            if options is not None and hook not in known:
                problems.append(f"there is no hook {hook!r} ({known_names(hook, known)})")
        return problems

    def _collect(self) -> Iterator[Registered]:
        """Call each implementation separately, so that an exception loses no other entries."""
        for kind in KINDS:
            hook = getattr(self._manager.hook, f"bench_{kind}")
            for implementation in hook.get_hookimpls():
                module = implementation.plugin.__name__
                source = self._modules[module]
                try:
                    entries = _checked_entries(kind, implementation.function())
                except Exception as error:
                    self.broken.append(Broken(source, f"bench_{kind}: {describe(error)}"))
                    continue
                for entry in entries:
                    yield Registered(kind, entry, source, module)

    def entries(self, kind: Kind) -> list[Registered]:
        """List all entries of a kind, including duplicates, sorted by name."""
        return [registered for registered in self._entries if registered.kind == kind]

    def names(self, kind: Kind) -> list[str]:
        """List the distinct entry names of a kind."""
        return sorted({registered.entry.name for registered in self.entries(kind)})

    def get(self, kind: Kind, name: str) -> Registered:
        """Return the only entry with this name.

        Raises:
            PluginError: No entry or more than one entry has this name.
        """
        found = [registered for registered in self.entries(kind) if registered.entry.name == name]
        if not found:
            raise self.missing(f"{kind[:-1]} {name!r}", name, [kind])
        if len(found) > 1:
            sources = " and ".join(str(registered.source) for registered in found)
            raise PluginError(
                f"{kind[:-1]} {name!r} is given by {sources}; block one with -p no:PLUGIN"
            )
        return found[0]

    def missing(self, wanted: str, name: str, kinds: Iterable[Kind]) -> PluginError:
        """Build the error for an unknown name, with the nearest name and all broken plugins."""
        known = {known for kind in kinds for known in self.names(kind)}
        quarantined = "".join(f"; {broken}" for broken in self.broken)
        return PluginError(f"there is no {wanted} ({known_names(name, known)}){quarantined}")

    def implementations(self, hook: str) -> list[tuple[Source, Any]]:
        """List the functions that implement a hook with their sources, the last plugin first."""
        found = getattr(self._manager.hook, hook).get_hookimpls()
        return [(self._modules[item.plugin.__name__], item.function) for item in reversed(found)]


def _load_point(point: EntryPoint) -> Any:
    """Load the module behind an entry point; built-in modules are found next to `oodbench`."""
    is_ours = point.module.partition(".")[0] in _names.NAMES
    return _names.load(point.module) if is_ours else point.load()


def _checked_entries(kind: Kind, entries: Any) -> list[Entry]:
    checked = list(entries)
    for entry in checked:
        if not isinstance(entry, Entry):
            raise TypeError(f"expected oodbench.Entry objects, got {type(entry).__name__}")
        if ":" not in entry.target:
            raise ValueError(
                f"target {entry.target!r} of {kind[:-1]} {entry.name!r} should read "
                "'package.module:attribute'"
            )
    return checked


def tell_listeners(registry: Registry, event: Event, log: Callable[[str], None]) -> None:
    """Pass an event to every listening plugin; a failure there is logged and stops nothing."""
    hook = HOOKS.get(type(event))
    if hook is None:
        return
    for source, function in registry.implementations(hook):
        try:
            function(event=event)
        except Exception as error:
            log(f"{hook} of plugin {source} failed: {describe(error)}")
