"""The commands and suites in the tutorials work as printed."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from typer.testing import CliRunner

from harness.cli.app import app
from harness.suite import load_suite

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"


def page(name):
    return TUTORIALS.joinpath(name).read_text(encoding="utf-8")


def test_the_first_suite_is_valid(write_suite):
    (text,) = re.findall(r"```toml\n(.*?)```", page("first-suite.md"), re.DOTALL)
    suite = load_suite(write_suite(text))
    (comparison,) = suite.suite.comparisons
    assert suite.out_datasets(comparison, "mine") == ("noise",)


def test_own_data_takes_the_place_of_the_first_suites_data(write_suite):
    (first,) = re.findall(r"```toml\n(.*?)```", page("first-suite.md"), re.DOTALL)
    (own,) = re.findall(r"```toml\n(.*?)```", page("own-data.md"), re.DOTALL)
    start, end = first.index("[datasets.mine]"), first.index("[datasets.noise]")
    suite = load_suite(write_suite(first[:start] + own + first[end:]))
    assert {"mine", "scans"} <= set(suite.datasets)


def run_commands(blocks):
    """Run the commands of a page, with the output of the last one."""
    for line in blocks["commands"].splitlines():
        command = shlex.split(line)[1:]
        if command[0] == "run":
            command += ["--display", "none", "--executor", "sequential"]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    return done


def blocks_of(name):
    """The blocks of a page, by the comment before them."""
    return dict(re.findall(r"<!-- (.*?) -->\n```\w+\n(.*?)```", page(name), re.DOTALL))


def test_a_folder_of_text_leads_to_a_table_and_a_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("corpus").mkdir()
    for path in TUTORIALS.glob("*.md"):  # any two have the 38 windows that a detector needs
        shutil.copy(path, "corpus")
    blocks = blocks_of("text.md")
    Path("text.toml").write_text(blocks["text.toml"])
    run_commands(blocks)
    assert "Text" in Path("report.html").read_text()
    done = CliRunner().invoke(app, ["report", "text.toml"], catch_exceptions=False)
    assert "bits/byte" in done.output
    assert re.search(r"^log-likelihood +0 +\d\.\d+ +\d", done.output, re.MULTILINE)
    windows = sum(file.stat().st_size // 64 for file in Path("corpus").iterdir())
    for line in blocks["detector"].splitlines():
        done = CliRunner().invoke(app, line.split()[1:], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert "corpus/pins.md[64:128]" in done.stdout
    assert f"of {windows:,} scores flagged" in done.stderr
    assert "dropped: " in done.stderr


def test_the_commands_lead_to_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of("own-scorer.md")
    Path("mine.toml").write_text(blocks["mine.toml"])
    done = run_commands(blocks)
    assert re.search(r"^my-scorer +1 +\d", done.output, re.MULTILINE)
    assert "flow, in-distribution stripes" in done.output


def written_commands():
    """Every call of `bench` in code of the pages, without the generated ones."""
    pages = [*TUTORIALS.parent.rglob("*.md"), TUTORIALS.parents[1] / "README.md"]
    for path in pages:
        if path.parent.name != "reference" or path.name == "suites-and-data.md":
            text = path.read_text(encoding="utf-8")
            inline = re.findall(r"`(?:uv run )?(bench\s[^`]+)`", text)
            blocks = re.findall(r"^(?:    )?(?:uv run )?(bench [^`\n]+)$", text, re.MULTILINE)
            yield from (call.split() for call in [*inline, *blocks])


def test_every_command_and_option_on_the_pages_exists():
    reference = (TUTORIALS.parent / "reference" / "commands.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (bench [a-z ]+)\n(.*?)(?=^## |\Z)", reference, re.M | re.S))
    calls = 0
    for words in written_commands():
        names = (" ".join(words[:3]), " ".join(words[:2]))
        name = next((name for name in names if name in sections), None)
        if name is None:
            assert words[1].startswith(("-", "COMMAND")), words
            continue
        calls += 1
        for word in words:
            if word.startswith("-") and word != "-h":
                assert re.search(rf"^- `.*{re.escape(word)}\b", sections[name], re.M), words
    assert calls > 50
