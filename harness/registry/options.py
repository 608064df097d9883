"""Plugin options: read from a constructor's signature and validated before anything runs."""

from __future__ import annotations

import copy
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import GenericAlias, MappingProxyType
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from harness.contracts import Dataset, Scorer
from harness.domain import Domain
from harness.errors import DomainError, OptionError, Problem
from harness.text import known_names, short

DOMAIN = "domain"
REQUIRED = inspect.Parameter.empty
SCORERS: Any = tuple[Scorer, ...]
NAMED: Mapping[Any, Any] = {Dataset: str, Scorer: str, SCORERS: tuple[str, ...]}
"""Option types given by name in a suite, and the type of the value in the suite."""


@dataclass(frozen=True)
class Option:
    """A constructor option.

    Attributes:
        name: Name of the parameter.
        type: Type annotation, as written in the source.
        required: Whether the option has no default.
        default: Default value; None for a required option.
        meaning: Description from the "Arguments:" section, or empty.
    """

    name: str
    type: str
    required: bool
    default: Any
    meaning: str


@lru_cache(maxsize=1024)
def signature_options(target: Callable[..., Any]) -> Mapping[str, tuple[Any, Any]]:
    """Return the type hint and the default for each option in a constructor's signature.

    The harness passes the parameter `domain`, so `domain` is not an option. For an option
    annotated `Dataset`, a suite names a data set; for `Scorer` or `tuple[Scorer, ...]`, a suite
    names a scorer or a list of scorers.
    """
    if inspect.isclass(target) and target.__init__ is object.__init__:
        return MappingProxyType({})
    hints, options = _hints(target), {}
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name != DOMAIN:
            options[name] = (hints.get(name, Any), parameter.default)
    return MappingProxyType(options)


def check_domain(target: Callable[..., Any], domain: Domain) -> None:
    """Check that a model's constructor takes a kind of domain, by the annotation of `domain`.

    Raises:
        DomainError: The annotation is another kind of domain.
    """
    hint = _hints(inspect.unwrap(target)).get(DOMAIN)
    if hint is not None and not issubclass(type(domain), get_args(hint) or hint):
        names = " or ".join(kind.__name__ for kind in get_args(hint) or [hint])
        raise DomainError(f"the model takes {names}, not {type(domain).__name__} ({domain})")


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the type hints of a constructor, by parameter."""
    while isinstance(target, partial):
        target = target.func
    function = target.__init__ if inspect.isclass(target) else target
    return get_type_hints(function, localns=_names_for(target, function), include_extras=True)


def _names_for(target: Callable[..., Any], function: Any) -> dict[str, Any]:
    """Collect the names in annotations of a constructor.

    A dataclass takes over fields of its bases with annotations as text; the names in the text
    belong to the modules of the bases.
    """
    names: dict[str, Any] = {}
    for base in reversed(inspect.getmro(target) if inspect.isclass(target) else ()):
        names |= getattr(sys.modules.get(base.__module__), "__dict__", {})
    return names | getattr(function, "__globals__", {})


def validate_options(target: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Check options against a signature and add the defaults of missing options.

    Arguments:
        target: Class or function with the options as parameters.
        options: Values read from TOML.

    Returns:
        Every option in the signature by name, in the signature's order, as JSON-like values. In
        this canonical form, a default given explicitly equals a default left out.

    Raises:
        OptionError: Some options do not fit; the error has a problem for each, with the option's
            name in `key`.
    """
    known = signature_options(target)
    schema = _schema(known)
    try:
        parsed = schema.model_validate_json(json.dumps(dict(options), default=str), strict=True)
    except ValidationError as error:
        raise OptionError([_problem(item, options, known) for item in error.errors()]) from None
    dumped: dict[str, Any] = json.loads(parsed.model_dump_json(by_alias=True))
    return {name: dumped[name] for name in known}


def constructor_arguments(
    target: Callable[..., Any],
    options: Mapping[str, Any],
    datasets: Mapping[str, Dataset],
    scorers: Mapping[str, Callable[[], Scorer]] = MappingProxyType({}),
    folder: Path = Path(),
) -> dict[str, Any]:
    """Convert validated options to the declared types, resolve names, and place relative paths.

    Arguments:
        target: Class or function with the options as parameters.
        options: Result of `validate_options`.
        datasets: Data sets named by options.
        scorers: Factories for scorers named by options; each use builds a separate scorer.
        folder: Folder for relative paths; the current folder by default.
    """
    arguments: dict[str, Any] = map_paths(
        parsed_options(target, options), lambda path: placed(path, folder)
    )
    for name, (hint, _) in signature_options(target).items():
        if hint is Dataset:
            arguments[name] = datasets[options[name]]
        elif hint is Scorer:
            arguments[name] = scorers[options[name]]()
        elif hint == SCORERS:
            arguments[name] = tuple(scorers[member]() for member in options[name])
    return arguments


def parsed_options(target: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert validated options to the declared types; options given by name are left out.

    Arguments:
        target: Class or function with the options as parameters.
        options: Result of `validate_options`.
    """
    parsed = {}
    for name, adapter in _adapters(target).items():
        (parsed[name],) = adapter.validate_json(json.dumps([options[name]]), strict=True)
    return parsed


@lru_cache(maxsize=1024)
def _adapters(target: Callable[..., Any]) -> Mapping[str, TypeAdapter[tuple[Any]]]:
    """Return the converter of each option that is not given by name.

    The scorer of a table is built for each refit, and a converter takes milliseconds to make.
    """
    # In a tuple, because pydantic refuses a configuration for a dataclass or model alone.
    config = ConfigDict(arbitrary_types_allowed=True)
    hints = {name: hint for name, (hint, _) in signature_options(target).items()}
    singles: dict[str, Any] = {
        name: GenericAlias(tuple, (hint,)) for name, hint in hints.items() if hint not in NAMED
    }
    return {name: TypeAdapter(single, config=config) for name, single in singles.items()}


def placed(path: Path, folder: Path) -> Path:
    """Return the path in a folder, or in the home directory for `~`; an absolute path stays."""
    return folder / os.path.expanduser(path)


def map_paths(value: Any, change: Callable[[Path], Path]) -> Any:
    """Replace every path inside of a value, in collections, dataclasses and models too."""
    if isinstance(value, Path):
        return change(value)
    if isinstance(value, dict):
        return {name: map_paths(item, change) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [map_paths(item, change) for item in value]
        return value._make(items) if hasattr(value, "_make") else type(value)(items)
    inner: Iterable[str] = ()
    if isinstance(value, BaseModel):
        inner = type(value).model_fields
    elif is_dataclass(value):
        inner = [field.name for field in fields(value)]
    copied = copy.copy(value) if inner else value
    for name in inner:
        object.__setattr__(copied, name, map_paths(getattr(value, name), change))
    return copied


def dataset_options(target: Callable[..., Any]) -> list[str]:
    """List the options that name another data set."""
    return [name for name, (hint, _) in signature_options(target).items() if hint is Dataset]


def scorer_options(target: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Map each option that names scorers to the scorer names given."""
    found = {}
    for name, (hint, _) in signature_options(target).items():
        if hint is Scorer:
            found[name] = [options[name]]
        elif hint == SCORERS:
            found[name] = list(options[name])
    return found


def describe_options(target: Callable[..., Any]) -> list[Option]:
    """Describe the options with types, defaults and meanings, for `bench show`."""
    meanings = _meanings(target)
    parameters = inspect.signature(target).parameters
    options = []
    for name, (_, default) in signature_options(target).items():
        required = default is REQUIRED
        type_text = _type_text(parameters[name].annotation)
        shown = None if required else default
        options.append(Option(name, type_text, required, shown, meanings.get(name, "")))
    return options


def _schema(known: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    columns: dict[str, Any] = {}
    for number, (name, (hint, default)) in enumerate(known.items()):
        hint = NAMED.get(hint, hint)
        given = {} if default is REQUIRED else {"default": default}
        # A generated field name, because an option may have the name of a pydantic attribute.
        columns[f"option_{number}"] = (hint, Field(alias=name, **given))
    config = ConfigDict(
        extra="forbid", validate_default=False, allow_inf_nan=False, arbitrary_types_allowed=True
    )
    return create_model("Options", __config__=config, **columns)


def _problem(item: Any, options: Mapping[str, Any], known: Mapping[str, Any]) -> Problem:
    name = str(item["loc"][0]) if item["loc"] else ""
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return Problem("unknown option", key=key, hint=known_names(name, known))
    if item["type"] == "missing":
        return Problem("missing option", key=key)
    message = item["msg"][0].lower() + item["msg"][1:]
    return Problem(f"{message}, not {short(options.get(name))}", key=key)


def _meanings(target: Callable[..., Any]) -> dict[str, str]:
    """Parse the "Arguments:" section in a Google-style docstring."""
    doc = inspect.getdoc(target) or ""
    section = re.search(r"^Arguments:\n((?:[ \t]+.*\n?|\n)+)", doc, re.MULTILINE)
    if section is None:
        return {}
    meanings: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(section.group(1)).splitlines():
        start = re.match(r"(\w+): (.*)", line)
        if start:
            name = start.group(1)
            meanings[name] = start.group(2)
        elif name:
            meanings[name] = f"{meanings[name]} {line.strip()}".strip()
    return meanings


def _type_text(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"^Annotated\[(.+?), (.+)\]$", r"\1, \2", text)
