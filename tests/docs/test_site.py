"""The pages of the site: all reachable, links and snippets resolve, lines are short.

`mkdocs build --strict` checks the site itself in scripts/check; these tests need no mkdocs.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.parent.name != "snippets")
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
GENERATED = ("python-interface.md", "interfaces.md", "suite-keys.md", "commands.md", "built-in.md")


def identify(path):
    return path.relative_to(ROOT).as_posix()


def prose(path):
    """The text of a page without code blocks."""
    return re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_every_page_is_in_the_navigation_once():
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in PAGES)


@pytest.mark.parametrize("path", TEXTS, ids=identify)
def test_local_links_lead_to_files(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if not target.startswith(("https://", "#")):
            assert path.parent.joinpath(target.partition("#")[0]).is_file(), target


@pytest.mark.parametrize("path", PAGES, ids=identify)
def test_snippets_exist(path):
    for name, _, section in re.findall(
        r'--8<-- "([^":]+)(:(\w+))?"', path.read_text(encoding="utf-8")
    ):
        text = ROOT.joinpath(name).read_text(encoding="utf-8")
        assert not section or f"--8<-- [start:{section}]" in text


@pytest.mark.parametrize("path", TEXTS, ids=identify)
def test_lines_have_at_most_100_characters(path):
    if path.name in GENERATED:
        return  # signatures are not wrapped
    for line in prose(path).splitlines():
        if not line.startswith(("|", "![")) and "](" not in line:
            assert len(line) <= 100, line
