"""`bench list` in singular and plural, and the width of `bench plugins list`."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.cli.listing import LISTED
from harness.errors import PluginError


def listed(*arguments):
    return CliRunner().invoke(app, [*arguments])


@pytest.mark.parametrize("kind", LISTED)
def test_singular_and_plural(kind):
    plural, singular = listed("list", kind), listed("list", kind.removesuffix("s"))
    assert plural.exit_code == singular.exit_code == 0
    assert plural.stdout == singular.stdout != ""


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("modles", "did you mean 'models'?"),
        ("suits", "did you mean 'suites'?"),
        ("", "known: datasets, executors, models, scorers, statistics, suites"),
    ],
)
def test_unknown_kinds(kind, hint):
    error = listed("list", kind).exception
    assert isinstance(error, PluginError)
    assert str(error) == f"there is no kind {kind!r} to list ({hint})"


def test_plugins_fit_80_columns(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(
        "from oodbench import Entry, hookimpl\n\n\n@hookimpl\ndef bench_scorers():\n"
        "    return [Entry('mine', ':Mine', 'mine')]\n\n\n@hookimpl\ndef bench_models():\n"
        "    return [Entry('small', ':Small', 'small')]\n"
    )
    lines = listed("plugins", "list", "-p", str(own), "-p", "no:datasets").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "models: small; scorers: mine" in text
    assert "datasets oodbench 0.1.0 blocked" in text
    assert "models: bigram, causal-lm, diffusion, ebm," in text
    scorers = text[text.index("scorers: combined") :].partition("statistics")[0]
    assert scorers.startswith("scorers: combined-tests, ddpm-ood, diffusion-path, dose, ")
    assert scorers.rstrip().endswith("typicality, typicality-test, waic, zlib-size")
