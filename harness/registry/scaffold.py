"""New plugins from templates: a file for `-p`, or a distribution with tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal, TypeAlias, get_args

from harness.errors import PluginError
from harness.registry.registered import Kind
from harness.registry.registry import Registry

PluginKind: TypeAlias = Literal["model", "scorer", "statistic", "dataset"]
PLUGIN_KINDS: tuple[PluginKind, ...] = get_args(PluginKind)
LONGEST_NAME = 50


@dataclass(frozen=True)
class _Kind:
    """A plugin kind, and the values to fill in the template.

    Attributes:
        kind: Name of the kind in the registry.
        public: Names imported from `oodbench`.
        summary: Summary of the example in the template.
        dependencies: Distributions required at run time.
    """

    kind: Kind
    public: tuple[str, ...]
    summary: str
    dependencies: tuple[str, ...]


_KINDS: Mapping[PluginKind, _Kind] = {
    "model": _Kind(
        "models",
        ("Images", "Likelihood"),
        "mixture of images with a logistic distribution around each pixel",
        ("oodbench", "pydantic", "torch"),
    ),
    "scorer": _Kind(
        "scorers",
        ("NotFittedError",),
        "distance of the total log gradient norm from that of the fit groups",
        ("oodbench", "numpy", "pydantic"),
    ),
    "statistic": _Kind(
        "statistics",
        ("DensityModel", "Per"),
        "rise of log_prob when the example is mirrored",
        ("oodbench", "numpy", "torch"),
    ),
    "dataset": _Kind(
        "datasets",
        ("DataError", "Images"),
        "stripes of random direction, width and brightness",
        ("oodbench", "numpy", "pydantic"),
    ),
}


def new_file(kind: PluginKind, name: str, folder: Path) -> Path:
    """Write a single-file plugin, for `-p` or a suite's `plugins.paths`.

    Returns:
        The new file, `folder/NAME.py` with hyphens replaced by underscores.

    Raises:
        PluginError: The name is invalid or taken, or the file exists.
    """
    fields = _fields(kind, name)
    imports = sorted({*_KINDS[kind].public, "Entry", "hookimpl"})
    hook = _render("hook", {**fields, "target": f":{fields['class_name']}"})
    target = folder / f"{fields['module']}.py"
    _write(target, _module(fields, imports, f"\n\n{hook}"))
    return target


def new_package(kind: PluginKind, name: str, folder: Path) -> list[Path]:
    """Write an installable distribution: plugin, entry point, tests and README.

    Returns:
        The new files; the first is `folder/oodbench-NAME/pyproject.toml`.

    Raises:
        PluginError: The name is invalid or taken, or the folder exists.
    """
    fields = _fields(kind, name)
    root = folder / fields["distribution"]
    package = root / "src" / fields["package"]
    target = f"{fields['package']}.{kind}:{fields['class_name']}"
    hook = _render("hook", {**fields, "target": target})
    texts = {
        root / "pyproject.toml": _render("pyproject", fields),
        root / "README.md": _render("readme", fields),
        package / "__init__.py": _render("init", {**fields, "hook": hook.rstrip("\n")}),
        package / f"{kind}.py": _module(fields, sorted(_KINDS[kind].public), ""),
        root / "tests" / f"test_{fields['module']}.py": _render("test", fields),
    }
    try:
        root.mkdir()
    except FileExistsError:
        raise PluginError(f"{root} already exists; nothing is overwritten") from None
    except OSError as error:
        raise PluginError(f"{root} cannot be made: {error.strerror}") from error
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text)
    return list(texts)


def _fields(kind: PluginKind, name: str) -> dict[str, str]:
    """Collect the values for the placeholders in the templates."""
    _check_name(kind, name)
    module = name.replace("-", "_")
    words = "".join(word.capitalize() for word in name.split("-"))
    return {
        "kind": kind,
        "name": name,
        "module": module,
        # The kind at the end keeps it apart from what the templates import and from keywords.
        "class_name": words.removesuffix(kind.capitalize()) + kind.capitalize(),
        "package": f"oodbench_{module}",
        "distribution": f"oodbench-{name}",
        "title": f"The {kind} {name}",
        "summary": _KINDS[kind].summary,
        "dependencies": ", ".join(f'"{item}"' for item in _KINDS[kind].dependencies),
    }


def _check_name(kind: PluginKind, name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST_NAME:
        suggestion = re.sub(r"[^a-z0-9]+", "-", name.lower())[:LONGEST_NAME].strip("-0123456789")
        raise PluginError(
            f"{name!r} is not a valid plugin name: use lower-case letters, digits and single "
            f"hyphens, a letter first, at most {LONGEST_NAME} "
            f"(for example {suggestion or f'my-{kind}'!r})"
        )
    for item in Registry().entries(_KINDS[kind].kind):
        if item.entry.name == name:
            raise PluginError(f"a {kind} {name!r} already exists, from {item.source}")


def _module(fields: Mapping[str, str], imports: list[str], hook: str) -> str:
    """Render the module with the class and, in a single-file plugin, the hook."""
    title = f"{fields['title']} for `bench`."
    public = ", ".join(imports)
    return _render(fields["kind"], {**fields, "title": title, "public": public, "hook": hook})


def _render(template: str, fields: Mapping[str, str]) -> str:
    path = files("harness.registry").joinpath("templates", f"{template}.txt")
    return Template(path.read_text(encoding="utf-8")).substitute(fields)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise PluginError(f"{path} already exists; nothing is overwritten") from None
    except OSError as error:
        raise PluginError(f"{path} cannot be written: {error.strerror}") from error
