"""Code and mischief brought in by every way there is: refused, or inert."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest

from harness.errors import BenchError, StoreError, SuiteError
from harness.events import Message, StepStarted
from harness.maintenance.import_archive import import_archive
from harness.plan.expand import make_plan
from harness.report.render.formats import render
from harness.results import Cell
from harness.store.records import Store
from harness.suite import load_suite
from oodbench import DataError, Images
from plugins.datasets.arrays import read_array
from plugins.datasets.published.batches import read_batch
from tests.made_results import made_result

GRAY, COLOUR = Images(1, 8, 8), Images(3, 32, 32)


class Malice:
    """Unpickling it would make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trap(tmp_path):
    """Code that leaves a trace; none may be there in the end."""
    path = tmp_path / "ran"
    pickle.loads(pickle.dumps(Malice(path)))
    assert path.exists(), "the trap works"
    path.rmdir()
    yield Malice(path)
    assert not path.exists()


def arrays_with(trap):
    return np.array([trap], dtype=object)


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_a_pickle_in_an_array_of_a_folder(tmp_path, trap, name):
    save = np.savez if name.endswith("npz") else np.save
    save(tmp_path / name, arrays_with(trap), allow_pickle=True)
    with pytest.raises(DataError, match=r"cannot be (read|loaded)"):
        read_array(tmp_path / name, GRAY)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("where", ["whole", "value", "key", "array"])
def test_a_pickle_in_batches_of_cifar_and_imagenet(tmp_path, trap, protocol, where):
    content = {
        "whole": trap,
        "value": {"data": trap},
        "key": {("data", trap): 1},
        "array": {"data": arrays_with(trap)},
    }[where]
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(DataError, match="cannot be read as a pickle of arrays"):
        read_batch(tmp_path / "data_batch_1", COLOUR)


def test_a_pickle_in_an_npz_of_imagenet(tmp_path, trap):
    np.savez(tmp_path / "val_data.npz", data=arrays_with(trap))
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        read_batch(tmp_path / "val_data.npz", COLOUR)


def test_a_pickle_that_would_take_for_ever(tmp_path):
    """A tuple of itself twice, a hundred deep, as a key: its hash takes 2**100 steps."""
    nested = b"(" + b"K\x01" + b"t" + b"2\x86" * 100
    for content in (
        b"}" + nested + b"K\x01s.",
        b"}(" + nested + b"K\x01u.",
        b"(" + nested + b"d.",
    ):
        (tmp_path / "batch").write_bytes(b"\x80\x02" + content)
        with pytest.raises(DataError, match="cannot be read as a pickle of arrays"):
            read_batch(tmp_path / "batch", COLOUR)


def test_a_torch_file_in_place_of_safetensors(tmp_path, trap):
    import torch

    from harness.compute.checkpoints import load_tensors

    buffer = io.BytesIO()
    torch.save({"weight": trap}, buffer)
    for content in (buffer.getvalue(), pickle.dumps(trap)):
        with pytest.raises(StoreError, match="cannot be read as safetensors"):
            load_tensors(content)


@pytest.mark.parametrize("name", ["../evil.json", "/tmp/evil.json", "results/../../evil.json"])
def test_an_archive_whose_members_lead_elsewhere(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        index = {"format": 1, "suite": "x", "files": {name: {"sha256": "0" * 64, "bytes": 4}}}
        archive.writestr("bench-export.json", json.dumps(index))
        archive.writestr(name, b"evil")
    with pytest.raises(BenchError, match="has no place in a store; nothing is imported"):
        import_archive(tmp_path / "a.zip", Store(tmp_path / "store"), lambda size: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


SUITE = """
[training.brief]
[models.flow]
plugin = "{model}"
training = "brief"
[[comparisons]]
models = "flow"
in = "{data}"
out = "noise"
epochs = 0
scorers = "{scorer}"
"""
SOUND = {"model": "glow", "data": "digits", "scorer": "typicality"}


@pytest.fixture
def evil_plugin(tmp_path, monkeypatch):
    """A Python file that a suite may wish to be run."""
    path = tmp_path / "evil.py"
    path.write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    monkeypatch.chdir(tmp_path)
    yield path
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", SOUND)
@pytest.mark.parametrize("name", ["evil.py", "./evil", "evil:Thing", "evil", "{path}"])
def test_a_plugin_name_that_is_a_path_or_module(tmp_path, evil_plugin, place, name):
    names = {**SOUND, place: name.format(path=evil_plugin)}
    (tmp_path / "suite.toml").write_text(SUITE.format(**names))
    with pytest.raises(SuiteError, match="there is no"):
        load_suite(tmp_path / "suite.toml")


def test_no_plugin_is_taken_from_the_current_folder(tmp_path, evil_plugin):
    about = tmp_path / "evil-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: evil\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[bench]\nevil = evil\n")
    (tmp_path / "suite.toml").write_text(SUITE.format(**SOUND))
    suite = load_suite(tmp_path / "suite.toml")
    assert "evil" not in {source.plugin for source in suite.registry.sources}


@pytest.mark.parametrize("path", ["/dev/zero", "pipe", "."])
def test_files_that_never_end_are_not_read(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    text = SUITE.format(**SOUND)
    for line in (f'include = ["{path}"]', f'reference = "{path}"'):
        (tmp_path / "suite.toml").write_text(f"{line}\n{text}")
        with pytest.raises(SuiteError, match="not a file"):
            load_suite(tmp_path / "suite.toml")
    if path != ".":
        (tmp_path / "suite.toml").write_text(f'plugins.paths = ["{path}"]\n{text}')
        with pytest.raises(SuiteError, match="not a file"):
            load_suite(tmp_path / "suite.toml")
    for name in ("a.npy", "a.npz", "a-ubyte", "a-ubyte.gz"):
        os.symlink(tmp_path / path if path == "pipe" else path, name)
        with pytest.raises(DataError, match="not a regular file"):
            read_array(tmp_path / name, GRAY)


def test_files_that_include_one_another_without_end(tmp_path):
    for number in range(40):
        below = f'include = ["{number + 1}.toml", "{number + 1}.toml"]\n'
        (tmp_path / f"{number}.toml").write_text(below)
    (tmp_path / "40.toml").write_text("")
    with pytest.raises(SuiteError, match="includes at most 100 files"):
        load_suite(tmp_path / "0.toml")


def test_a_suite_that_asks_for_more_than_fits_is_refused_at_once(tmp_path):
    several = f"epochs = {list(range(2000))}\nseeds = {list(range(2000))}\n"
    text = SUITE.format(**SOUND).replace("epochs = 0\n", several)
    (tmp_path / "suite.toml").write_text(text)
    with pytest.raises(SuiteError, match="more than 1,000,000 cells"):
        make_plan(load_suite(tmp_path / "suite.toml"), {})


def test_many_values_are_read_in_time(tmp_path):
    """Each looked up among all, and each line counted from the start, took minutes."""
    text = SUITE.format(**SOUND).replace("epochs = 0", f"epochs = {list(range(100_000))}")
    (tmp_path / "suite.toml").write_text(text)
    assert len(load_suite(tmp_path / "suite.toml").suite.comparisons[0].epochs) == 100_000


@pytest.mark.parametrize("name", ["...toml", "..toml"])
def test_a_suite_whose_name_leads_out_of_the_results(tmp_path, name):
    (tmp_path / name).write_text(SUITE.format(**SOUND))
    with pytest.raises(SuiteError, match="a suite needs a name"):
        load_suite(tmp_path / name)


def test_a_number_of_thousands_of_digits(tmp_path):
    (tmp_path / "suite.toml").write_text(f"title = {'1' * 5000}\n")
    with pytest.raises(SuiteError, match="not valid TOML: Exceeds the limit"):
        load_suite(tmp_path / "suite.toml")


def test_a_list_of_mistakes_is_cut(tmp_path):
    wrong = ", ".join(["-1"] * 20_000)
    text = SUITE.format(**SOUND).replace("epochs = 0", f"epochs = [{wrong}]")
    (tmp_path / "suite.toml").write_text(text)
    with pytest.raises(SuiteError) as caught:
        load_suite(tmp_path / "suite.toml")
    assert len(str(caught.value)) < 20_000


def bomb(path, shape, dtype="|u1", packed=1000):
    """An .npz whose array claims to be larger than its file can hold."""
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    npy = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.npy", npy + bytes(packed))


def test_arrays_that_claim_terabytes_are_not_allocated(tmp_path):
    bomb(tmp_path / "a.npz", (2**40, 8, 8))
    with pytest.raises(DataError, match="the header declares 70368744177664 bytes, not 1000"):
        read_array(tmp_path / "a.npz", GRAY, "train")


NAMES = ["[bold red]x[/]", "[link=file:///etc/passwd]x[/link]", "[/x]", "=1+1", "+1", "-1", "@x"]
NAMES += ["\x1b[2J\x1b]0;title\x07", "a|b", r"\input{/etc/passwd}", "<script>", "＝1", "x\ny"]


def result(name):
    return made_result(
        Cell(name, name, name, name, 0, 1, 0),
        "ok",
        message=name,
        auroc=-0.5,
        auroc_se=0.1,
        n_in=10,
        n_out=10,
    )


@pytest.mark.parametrize("name", NAMES)
def test_names_are_inert_in_every_report(name):
    from rich.console import Console

    file = io.StringIO()
    options = {"suite": name, "title": name}
    for format in ("table", "markdown", "latex"):
        console = Console(file=file, force_terminal=True, color_system="truecolor", width=200)
        text = render([result(name)], format=format, console=console, **options)
        assert "\x1b[2J" not in text
        assert "\x1b]0" not in text
        assert "\x1b]8" not in text  # a link
        if format == "table" and name.startswith("["):
            assert name in text  # it is shown as it is
        if format == "latex":
            acting = [line for line in text.splitlines() if not line.startswith("%")]
            assert r"\input" not in "".join(acting)
        if format == "markdown":
            assert "<script>" not in text


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_of_csv_is_a_formula_and_numbers_stay_numbers(name):
    text = render([result(name)], suite="x", title="x", format="csv")
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    for column in ("model", "in", "out", "scorer", "message"):
        assert not row[column].startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))
        assert row[column] in (name, f"'{name}")
    assert float(row["auroc"]) == -0.5


@pytest.mark.parametrize("name", NAMES)
def test_names_are_inert_in_progress_and_listings(name, capsys):
    from harness.cli.display.displays import PlainDisplay
    from harness.cli.display.live import RichDisplay
    from harness.cli.output import print_rows, tell

    for kind in (PlainDisplay, RichDisplay):
        stream = io.StringIO()
        with kind(stream) as show:
            show(StepStarted("task", name, 10, "MB"))
            show(Message(name))
        assert "\x1b[2J" not in stream.getvalue()
        assert "\x07" not in stream.getvalue()
    print_rows(["name"], [[name]])
    tell(name)
    output = "".join(capsys.readouterr())
    assert "\x1b" not in output
    assert "\x07" not in output
