"""A report page of a tiny run whose names try to act, made once for several tests."""

from __future__ import annotations

import json
import random
import re
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

from harness.report.looks import looks
from harness.report.page import render_page
from harness.run.outcome import Outcome, score_stored
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.settings import Settings
from harness.store.records import Store
from harness.suite import ResolvedSuite, load_suite
from tests.conftest import TINY_SUITE
from tests.places import settings_in

SCRIPT = "<script>alert(1)</script>"
SCORER = "100%_sure"
TITLE = "A | B <b>of</b> {{ 7 * 7 }}"

SUITE = (
    TINY_SUITE.replace('title = "Tiny"', f'title = "{TITLE}"')
    .replace('"typicality"', f'"{SCORER}"')
    .replace(
        "[[comparisons]]",
        f'[scorers."{SCORER}"]\n    plugin = "typicality"\n\n    [[comparisons]]',
    )
    .replace("[datasets.photos]", '[datasets."<script>alert(1)"]')
)
"""A name in a suite has no slash; `hostile` gives the data set one, as results may have it."""


@dataclass
class Made:
    """A suite with its results; `plain` has them as a run gave them, without the slash."""

    suite: ResolvedSuite
    outcome: Outcome
    plain: Outcome
    settings: Settings

    @property
    def store(self) -> Store:
        return Store(self.settings.store)

    def page(self, **changes) -> str:
        """The page, with the arguments of `render_page` or an `outcome` of its own."""
        given = {"outcome": self.outcome, "arguments": ["tiny suite.toml"]} | changes
        outcome = given.pop("outcome")
        given.setdefault("looks", looks(outcome.plan, outcome.results))
        return render_page(self.suite, outcome, self.store, **given)


def make(folder: Path) -> Made:
    """Run the suite in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.toml"
    path.write_text(textwrap.dedent(SUITE), encoding="utf-8")
    suite, settings = load_suite(path), settings_in(folder)
    run(suite, settings, lambda event: None)
    outcome = score_stored(plan_unopened(suite, settings), settings, lambda event: None)
    return Made(suite, hostile(outcome), outcome, settings)


def hostile(outcome: Outcome) -> Outcome:
    """The same, the data set `<script>alert(1)` under the name of a whole script element."""

    def renamed(cell):
        found = SCRIPT if cell.out_dataset == "<script>alert(1)" else cell.out_dataset
        return cell._replace(out_dataset=found)

    cells = [item._replace(cell=renamed(item.cell)) for item in outcome.plan.cells]
    results = [replace(item, cell=renamed(item.cell)) for item in outcome.results]
    return Outcome(replace(outcome.plan, cells=cells), results, outcome.pending)


def data_of(page: str):
    """The JSON that a page embeds."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def unpacked(column, cells):
    """The values of a column as the page's script reads it."""
    if isinstance(column, list):
        return column
    if "all" in column:
        return [column["all"]] * cells
    if "at" in column:
        return [column["of"][place] for place in column["at"]]
    return [None if found is None else found / 1e6 for found in column["millionths"]]


def column(data, key):
    """A column of all cells, names and all."""
    values = unpacked(data["columns"][key], data["cells"])
    return [data["names"][key][value] for value in values] if key in data["names"] else values


HOSTILE_TEXT = (
    b"</script><script>alert(1)</script>",
    b"\x1b]0;owned\x07\x1b[2J\x9b31m",
    "\u202egnp.exe\u2066 \u200b\u2028 a\u0301\u0301\u0301\u0301".encode(),
    b"\xff\xfe\xc3( \x00 &lt; {{ 7 * 7 }} \\",
)
TEXT_SUITE = """
    [training.counts]
    precision = "float64"
    minibatch = 8
    [models.bigram]
    plugin = "bigram"
    training = "counts"
    [datasets.words]
    plugin = "text-files"
    options = { path = "corpus", length = 24, test_share = 0.5 }
    [datasets.shuffled]
    plugin = "transformed"
    options = { source = "words", transform = "shuffle-bytes" }
    [[comparisons]]
    models = "bigram"
    in = "words"
    out = "shuffled"
    epochs = [0]
    scorers = ["log-likelihood", "mean-byte"]
    n_in = 12
    n_fit = 12
    n_out = 12
"""


def make_text(folder: Path) -> tuple[ResolvedSuite, Outcome, Store]:
    """Run a suite on text that tries to act, in a folder."""
    (folder / "corpus").mkdir()
    rng = random.Random(0)
    for number in range(12):
        content = b" ".join([*rng.choices(HOSTILE_TEXT, k=5), rng.randbytes(200)])
        (folder / f"corpus/{number}.txt").write_bytes(content)
    path = folder / "text.toml"
    path.write_text(textwrap.dedent(TEXT_SUITE), encoding="utf-8")
    suite, settings = load_suite(path), settings_in(folder)
    return suite, run(suite, settings, lambda event: None), Store(settings.store)
