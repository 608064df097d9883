"""The rooms of the harness and the imports between them, as a picture and as a table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import harness

ROOT = Path(harness.__file__).parent
DESCRIPTIONS: dict[str, str] = dict(
    re.findall(r"^    ([a-z.]+)  +(.+)", harness.__doc__ or "", re.M)
)
"""Modules of the root and rooms with their purpose, in the order of their imports."""

VOCABULARY = list(takewhile(lambda name: name != "metrics", DESCRIPTIONS))
"""The first entries, which all rooms may import: the root's modules and the room `contracts`."""

PLACES = {
    "cli": (2.5, 0),
    "api": (3.4, 1),
    "cli.display": (0.95, 2),
    "regression": (2.0, 2),
    "report.page": (3.0, 2),
    "report.render": (2.65, 3),
    "report.figures": (3.55, 3),
    "compute.memory": (4.5, 3),
    "maintenance": (0, 4),
    "detectors": (0.45, 3),
    "run": (1.35, 4),
    "report": (2.6, 4),
    "testing.placement": (5, 2),
    "testing": (5, 4),
    "scoring": (2.2, 5),
    "compute": (3.35, 5.6),
    "compute.workers": (3.35, 4.8),
    "plan": (1.6, 6),
    "metrics": (3.8, 6),
    "data": (1.6, 7),
    "compute.saved": (2.85, 7),
    "store": (1.6, 8),
    "suite": (1.6, 9),
    "suite.toml": (1.6, 10),
    "registry": (3.5, 10),
}
"""Column and row of each room in the picture; an arrow points down."""
WIDTH, HEIGHT, COLUMN, ROW, LEFT, TOP = 118, 34, 146, 66, 74, 34
STYLE = """
  .ground { fill: #ffffff } text { fill: #1f2328; font: 15px sans-serif }
  .small { font-size: 12.5px } .box { fill: #e8eef7; stroke: #3b6ea5; stroke-width: 1.5 }
  .torch { fill: #fbe9d7; stroke: #b8651b }
  .line { stroke: #6b7683; stroke-width: 1.4; fill: none } .head { fill: #6b7683 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #1e2129 } text { fill: #e6e9ee } .box { fill: #26364d; stroke: #7aa7dc }
    .torch { fill: #4a3520; stroke: #e0a36a } .line { stroke: #a3adba } .head { fill: #a3adba }
  }
"""


def modules() -> dict[str, Path]:
    """Files of the harness by module name."""
    paths = sorted(ROOT.rglob("*.py"))
    names = [".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in paths]
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


def room_of(path: Path) -> str:
    """The room of a file: its folder, or the name of a module in the root."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] or parts)


def imports() -> dict[str, set[str]]:
    """Rooms that each room imports, also within functions, without the vocabulary."""
    paths = modules()
    found: dict[str, set[str]] = {name: set() for name in DESCRIPTIONS if name not in VOCABULARY}
    for path in paths.values():
        here = room_of(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _names(node):
                there = room_of(paths[name]) if name in paths else ""
                if here in found and there in found and there != here:
                    found[here].add(there)
    return found


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def essential(graph: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Imports that do not follow from others (the transitive reduction)."""

    def reach(room: str) -> set[str]:
        return graph[room].union(*(reach(there) for there in graph[room]))

    for here, targets in graph.items():
        for there in sorted(targets):
            if not any(there in reach(other) for other in targets - {there}):
                yield here, there


def rooms_table() -> Iterator[str]:
    """A Markdown table of the vocabulary and the rooms, in the order of their imports."""
    graph = imports()
    yield "| module or room | purpose | imports the rooms |"
    yield "| --- | --- | --- |"
    for name, purpose in DESCRIPTIONS.items():
        rooms = ", ".join(room for room in DESCRIPTIONS if room in graph.get(name, ()))
        path = name.replace(".", "/")
        path += "/" if (ROOT / path).is_dir() else ".py"
        yield f"| `harness/{path}` | {purpose} | {rooms} |"


def picture() -> Iterator[str]:
    """An SVG: a box for each room, an arrow for each essential import."""
    graph = imports()
    if missing := set(graph) ^ set(PLACES):
        raise ValueError(f"PLACES in scripts/rooms.py and the rooms differ by {sorted(missing)}")
    width, bottom = 2 * LEFT + 5 * COLUMN, TOP + 11 * ROW
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 76}" role="img">'
    )
    yield "<title>Rooms of the harness; an arrow points from a room to a room it imports</title>"
    yield f"<style>{STYLE}</style>"
    yield '<defs><marker id="head" markerWidth="9" markerHeight="9" refX="8" refY="4"'
    yield 'orient="auto"><path class="head" d="M0,0 L9,4 L0,8 z"/></marker></defs>'
    yield f'<rect class="ground" width="{width}" height="{bottom + 76}" rx="8"/>'
    for here, there in essential(graph):
        yield _arrow(here, there)
    for name in graph:
        wide = width - 40 if name == "cli" else WIDTH
        kind = "box torch" if name.split(".")[0] in ("compute", "testing") else "box"
        yield _box(*_centre(name), wide, kind, name)
    x, y = LEFT + 4.55 * COLUMN, TOP + 9 * ROW
    yield _box(x, y, WIDTH, "box", "plugins/")
    yield _line(x, y + HEIGHT / 2, x, bottom - 18)
    yield f'<text class="small" x="{x + 6:.0f}" y="{y + ROW}">through oodbench</text>'
    x, y = _centre("registry")
    yield _line(x, y + HEIGHT / 2, x, bottom - 18)
    yield _box(width / 2, bottom, width - 40, "box", " · ".join(VOCABULARY))
    yield (
        f'<text class="small" x="{width / 2}" y="{bottom + 46}" text-anchor="middle">Vocabulary: '
        "what all rooms may import. Orange: the two rooms with torch.</text>"
    )
    yield "</svg>"


def _centre(name: str) -> tuple[float, float]:
    column, row = PLACES[name]
    return LEFT + column * COLUMN, TOP + row * ROW


def _box(x: float, y: float, width: float, kind: str, text: str) -> str:
    return (
        f'<rect class="{kind}" x="{x - width / 2:.0f}" y="{y - HEIGHT / 2:.0f}" '
        f'width="{width:.0f}" height="{HEIGHT}" rx="5"/>'
        f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle">{text}</text>'
    )


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    return (
        f'<path class="line" marker-end="url(#head)" d="M{x:.0f},{y:.0f} L{to_x:.0f},{to_y:.0f}"/>'
    )


def _arrow(here: str, there: str) -> str:
    """A line from the lower edge of a box to the upper edge of another, spread over the edges.

    The box of `cli` is as wide as the picture, so its arrows go straight down.
    """
    x, y = _centre(here)
    to_x, to_y = _centre(there)
    drift = max(-45.0, min(45.0, (to_x - x) / 5))
    if here == "cli":
        x, drift = to_x, 0
    return _line(x + drift, y + HEIGHT / 2, to_x - drift, to_y - HEIGHT / 2 - 1)
