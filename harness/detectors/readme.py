"""README of a detector: parts, AUROC on each OOD set, and the commands that run the detector."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from harness.detectors.conformal import most_flagged
from harness.detectors.description import Description
from harness.domain import Images
from harness.registry.registered import FILE, MODULE
from harness.results import LIKELIHOODS
from harness.text import counted

MARKDOWN = str.maketrans({char: f"\\{char}" for char in "\\|*_`[]<>#"})


def readme(name: str, description: Description, facts: Mapping[str, Any]) -> str:
    """Write the README of a detector.

    Arguments:
        name: Name of its folder.
        description: Everything that determines the scores.
        facts: Cell, data, results and versions.
    """
    facts = {**facts, "in": _escaped(facts["in"])}
    blocks = [
        f"# Detector {_escaped(name)}",
        *_what(description, facts),
        "## How well it did",
        *_results(facts),
        "## How to run it",
        *_commands(name, description),
        "## What the p-value says",
        *_p_value(description, facts),
        "## What is in the folder",
        *_contents(description, facts),
    ]
    return "\n\n".join(blocks) + "\n"


def _what(description: Description, facts: Mapping[str, Any]) -> Iterator[str]:
    size, domain = facts["group_size"], description.input_domain
    sides = " (channels x height x width)" if isinstance(domain, Images) else ""
    judged = "each input alone" if size == 1 else f"groups of {size} inputs"
    yield _filled(
        f"Tells out-of-distribution (OOD) inputs from inputs like {facts['in']}: "
        f"{domain.example}s of {domain}{sides}, {judged}."
    )
    kind = facts["likelihood"]
    density = f"; its log-probability is {LIKELIHOODS[kind]}" if kind else ""
    changes = f", with {', '.join(facts['set'])}" if facts["set"] else ""
    yield "\n".join(
        [
            f"- Model: {_escaped(facts['model'])} at {facts['unit']} {facts['epoch']}, seed "
            f"{facts['seed']}{density}",
            f"- Scorer: {_escaped(facts['scorer'])}",
            f"- Made from the suite {_escaped(facts['suite'] + changes)}",
        ]
    )


def _results(facts: Mapping[str, Any]) -> Iterator[str]:
    size = facts["group_size"]
    unit = "examples" if size == 1 else f"groups of {size} examples"
    yield _filled(
        f"Measured on {facts['calibration_size']:,} test {unit} of {facts['in']} against {unit} "
        "of each OOD set: the area under the ROC curve (AUROC) with its 95 % interval, and the "
        f"share of OOD {unit} flagged at alpha = {facts['level']}."
    )
    lines = [
        f"| OOD set | {unit} | AUROC | 95 % interval | flagged |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in facts["results"]:
        ends = row["auroc_low"], row["auroc_high"]
        interval = "unknown" if None in ends else "{:.3f} to {:.3f}".format(*ends)
        flagged = "-" if row["flagged"] is None else f"{100 * row['flagged']:.1f} %"
        lines.append(
            f"| {_escaped(row['out'])} | {row['n_out']:,} | {row['auroc']:.3f} | {interval} | "
            f"{flagged} |"
        )
    yield "\n".join(lines)
    yield _filled("Other OOD data may be harder or easier to tell.")
    if facts["notes"]:
        yield "\n".join(f"- {_escaped(note)}" for note in facts["notes"])


def _commands(name: str, description: Description) -> Iterator[str]:
    plugins, domain = _outside(description), description.input_domain
    options = "".join(f" -p {plugin}" for plugin in plugins)
    shape = ", ".join(map(str, domain.shape))
    yield _filled(
        f"With a folder of files, a file, or an `.npy` array of {domain.dtype} and shape (N, "
        f"{shape}):"
    )
    yield f"    bench detector run {shlex.quote(name)} files/{options}"
    yield _filled(f"In Python, with {domain.example}s as such an array:")
    given = f", plugins={list(plugins)!r}" if plugins else ""
    yield (
        "    import oodbench\n"
        f"    found = oodbench.Detector.load({name!r}{given})({domain.example}s)\n"
        "    found.scores, found.p_values, found.flags(alpha=0.05)"
    )
    if plugins:
        yield _filled(
            "The folder contains no code. The plugins after `-p` must be the files or modules "
            "that the detector was made with; another content is refused."
        )


def _outside(description: Description) -> dict[str, None]:
    """Return a placeholder for each plugin file or module, by the entries from it."""
    found: dict[str, None] = {}
    for part in description.used():
        if part.distribution in (FILE, MODULE):
            found.setdefault(f"FILE-WITH-{part.plugin}")
    return found


def _p_value(description: Description, facts: Mapping[str, Any]) -> Iterator[str]:
    n = facts["calibration_size"]
    flagged = (
        f"At alpha = {facts['level']}, at most {100 * most_flagged(facts['level'], n):.2f} % are "
        "flagged."
        if facts["level"] * (n + 1) >= 1
        else f"The smallest alpha is 1 / {n + 1:,}."
    )
    yield _filled(
        f"p = (1 + number of calibration scores at least as high as the score) / ({n:,} + 1). "
        "An input is flagged if p <= alpha. Of new inputs like the calibration examples, at most "
        "floor(alpha (n + 1)) / (n + 1) are flagged, on average over calibration sets; with one "
        f"calibration set the share varies around this. {flagged}"
    )
    fitted = (
        f"nor to fit the scorer ({counted(facts['fit_size'], 'other group')} were used for that)"
        if facts["fit_size"]
        else "and nothing was fitted"
    )
    is_known = all(model.trained_on is not None for model in description.models)
    trained = (
        "were not used to train the model"
        if is_known
        else ("must not have been used to train the model, which was trained elsewhere")
    )
    yield _filled(
        f"The {n:,} calibration scores are those of the scored test examples of {facts['in']}. "
        f"They {trained}, {fitted}. They are reused in one way: the AUROC above was computed from "
        "the same scores. If this model, scorer or epoch was chosen as the best of many by these "
        "AUROCs, a little more than alpha may be flagged; the guarantee then needs other "
        "examples, for example another `draw_seed` in the suite."
    )


def _contents(description: Description, facts: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        "| file | content |",
        "| --- | --- |",
        "| `detector.json` | plugins with versions and options, checksums of all files |",
    ]
    for model in description.models:
        trained = "unknown data" if model.trained_on is None else model.trained_on
        what = f"weights of {model.name}, trained on {trained}, {facts['unit']} {model.epoch}"
        rows.append(f"| `{model.weights}` | {_escaped(what)} |")
    for part in description.statistics:
        rows.append(f"| `{part.fit}` | {_escaped(part.name)} of the fit groups |")
        if part.examples is not None:
            what = f"test examples of {facts['in']} to which {part.name} is fitted"
            rows.append(f"| `{part.examples}` | {_escaped(what)}: a part of the data itself |")
    rows.append(f"| `{description.calibration}` | scores for the p-values |")
    rows.append(f"| `{description.fit_scores}` | scores of the fit groups, to compare |")
    yield "\n".join(rows)
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    yield _filled(f"Made with {versions}. Loading verifies every file: a changed file is refused.")


def _filled(text: str) -> str:
    """Wrap a paragraph of escaped text."""
    return textwrap.fill(text, 99, break_long_words=False, break_on_hyphens=False)


def _escaped(text: Any) -> str:
    return " ".join(str(text).translate(MARKDOWN).split())
