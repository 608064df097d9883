"""Write the tables of the page on studies from `bench report` of the suites in `suites/studies`.

    python scripts/studies.py --store STORE --data DATA [--set KEY=VALUE] [SUITE ...]

`docs/snippets/study-SUITE.md` gets a table for each ID set and group size: a row for each model,
OOD set and scorer, a column for each epoch. Where there are several epochs to choose from, a last
table has the epochs that `bench report --epochs` finds for the gradient score, by the paper's rule
beside the others. So no number on the page is written by hand.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
SUITES = ROOT / "suites" / "studies"
SNIPPETS = ROOT / "docs" / "snippets"
CLAIMED = ("gradient-gaussian", "gradient-of-log-prob", "gradient-of-latent-sum")
"""Names of the score that the paper makes its claim for."""
RULES = {"any": "any epoch", "last": "last epoch", "paper": "paper"}

Row = dict[str, Any]


def report(suite: Path, arguments: list[str]) -> dict[str, Any]:
    """Return what `bench report --format json` prints for a suite, from its store."""
    command = [sys.executable, "-m", "oodbench", "report", str(suite), "--format", "json"]
    printed = subprocess.run(command + arguments, check=True, stdout=subprocess.PIPE).stdout
    found: dict[str, Any] = json.loads(printed)
    return found


def results(suite: Path, arguments: list[str]) -> list[Row]:
    """Return the results with a number."""
    return [row for row in report(suite, arguments)["results"] if row["status"] == "ok"]


def distinct(rows: Iterable[Row], *keys: str) -> list[tuple[Any, ...]]:
    """Return the distinct values of some keys, in order of appearance."""
    return list(dict.fromkeys(tuple(row[key] for key in keys) for row in rows))


def auroc(row: Row | None) -> str:
    """Format the AUROC of a cell; empty without one."""
    return "" if row is None else number(over(row)["auroc"])


def number(value: float) -> str:
    """Format an AUROC with three digits, without the leading zero."""
    return f"{value:.3f}".replace("0.", ".")


def over(row: Row) -> Row:
    """Return AUROC and limits over all seeds if there are several, else those of the row."""
    own = {"auroc": row["auroc"], "low": row["auroc_low"], "high": row["auroc_high"]}
    return row["over_seeds"] or own


def cells(rows: list[Row], epochs: list[int], key: tuple[Any, ...]) -> list[str]:
    """Return the cells of one row of a table, a cell for each epoch."""
    names = ("model", "out", "scorer")
    found = {row["epoch"]: row for row in rows if tuple(row[name] for name in names) == key}
    return [auroc(found.get(epoch)) for epoch in epochs]


def bits(rows: list[Row], epochs: list[int], model: str) -> list[str]:
    """Return the mean bits/dim of the ID examples at each epoch, over all seeds."""
    texts = []
    for epoch in epochs:
        here = [row for row in rows if (row["model"], row["epoch"]) == (model, epoch)]
        values = list({row["seed"]: row["bits_per_dim_in"] for row in here}.values())
        known = [value for value in values if value is not None]
        texts.append(f"{sum(known) / len(known):.2f}" if known else "")
    return texts


def table(rows: list[Row]) -> str:
    """Write the table of one ID set and group size, as Markdown."""
    epochs = sorted({row["epoch"] for row in rows})
    lines = [["model", "OOD", "score", *map(str, epochs)], ["---"] * (3 + len(epochs))]
    for (model,) in distinct(rows, "model"):
        own = [row for row in rows if row["model"] == model]
        unit = own[0]["provenance"].get("bits_unit", "bits/dim")
        lines.append([model, "", f"{unit}, ID", *bits(rows, epochs, model)])
        for key in distinct(own, "model", "out", "scorer"):
            lines.append([*key, *cells(rows, epochs, key)])
    return markdown(lines)


def markdown(lines: list[list[str]]) -> str:
    """Write the cells of a table as Markdown."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def basis(rows: list[Row]) -> str:
    """Say how many groups and trainings stand behind a table, and how wide the intervals are."""
    n_in, n_out, n_fit = (numbers(rows, name) for name in ("n_in", "n_out", "n_fit"))
    seeds = len({row["seed"] for row in rows})
    trainings = "a single training" if seeds == 1 else f"{seeds} trainings"
    known = [over(row) for row in rows if over(row)["low"] is not None]
    reach = sorted(max(x["auroc"] - x["low"], x["high"] - x["auroc"]) for x in known)
    return (
        f"{n_in} ID and {n_out} OOD groups, {n_fit} to fit, {trainings}; 95 % intervals reach"
        f" {median(reach):.3f} from the AUROC in the median cell, {reach[-1]:.3f} in the widest"
    )


def numbers(rows: list[Row], name: str) -> str:
    """Return the distinct counts of some groups, joined by strokes."""
    return "/".join(map(str, sorted({row[name] for row in rows if row[name]}))) or "none"


def page(rows: list[Row]) -> str:
    """Write all tables of a suite."""
    parts = []
    for in_, size in distinct(sorted(rows, key=lambda row: row["group_size"]), "in", "group_size"):
        here = [row for row in rows if (row["in"], row["group_size"]) == (in_, size)]
        parts.append(f"ID {in_}, b = {size}: {basis(here)}\n\n{table(here)}")
    return "\n".join(parts)


def early(rows: list[Row]) -> str:
    """Write the table of the epochs that are early enough; empty with two epochs or fewer."""
    rows = [row for row in rows if row["scorer"] in CLAIMED and row["epochs_compared"] > 2]
    if not rows:
        return ""
    names = ("model", "in", "out", "scorer", "group_size")
    found = {(*(row[name] for name in names), row["rule"]): row for row in rows}
    lines = [["model", "ID", "OOD", "score", "b", *RULES.values(), "AUROC at the last"]]
    lines.append(["---"] * len(lines[0]))
    for key in distinct(rows, *names):
        answers = [found[*key, rule] for rule in RULES]
        at_last = number(answers[0]["auroc_last"])
        lines.append([*map(str, key), *map(chosen, answers), at_last])
    margin = rows[0]["margin"]
    head = f"Epochs found by `bench report --epochs --margin {margin}`, with the AUROC there:"
    return f"\n{head}\n\n{markdown(lines)}"


def chosen(answer: Row) -> str:
    """Format the epoch that a rule finds, and the AUROC there."""
    if answer["epoch"] is None:
        return "not shown"
    return f"{answer['epoch']} ({number(answer['auroc'])})"


def main() -> None:
    """Write the tables of the suites named, or of all studies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suites", nargs="*", help="Names of studies; all by default.")
    parser.add_argument("--store", required=True, help="Store with the results.")
    parser.add_argument("--data", required=True, help="Data folder.")
    parser.add_argument("--set", action="append", default=[], help="As of `bench report`.")
    asked = parser.parse_args()
    arguments = ["--store", asked.store, "--data", asked.data]
    arguments += [part for value in asked.set for part in ("--set", value)]
    for name in asked.suites or sorted(path.stem for path in SUITES.glob("*.toml")):
        suite = SUITES / f"{name}.toml"
        tables = page(results(suite, arguments))
        found = report(suite, [*arguments, "--epochs"])["epochs"]
        (SNIPPETS / f"study-{name}.md").write_text(tables + early(found))


if __name__ == "__main__":
    main()
