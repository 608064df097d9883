"""Surroundings, by real processes: users without a home, folders that are read-only, streams that
are closed, variables that notebooks set, files that other editors wrote."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import forks
from tests.environments import ROOT, write_fake_torch
from tests.terminals import on_terminal

BENCH = [sys.executable, "-m", "oodbench"]
NEEDED = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
"""What a command cannot do without; it has no other variables than these and those given."""
SUITE = """
[training.brief]
learning_rate = 1e-3
minibatch = 64
examples = 64

[models.flow]
plugin = "glow"
options = { levels = 1, steps = 1, width = 4 }
training = "brief"

[datasets.digits]
plugin = "digits"

[datasets.noise]
plugin = "noise"
options = { n_train = 10, n_test = 40 }

[[comparisons]]
models = "flow"
in = "digits"
out = "noise"
epochs = [0]
scorers = ["log-likelihood"]
n_in = 30
n_fit = 30
n_out = 30
"""
OTHER_USER = [
    *("setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"),
    # May read everything, as Python may be in a home folder, and write nothing of another user.
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
]


def bench(folder, *arguments, before=(), **variables):
    """Run a command."""
    return subprocess.run(
        [*before, *BENCH, *arguments],
        cwd=folder,
        env=NEEDED | variables,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


def plan(folder, suite, finished):
    """Run `bench plan` with the store and data of a suite that has been run, in a fork."""
    return forks.run("oodbench", "plan", suite, cwd=folder, env=NEEDED | places(finished))


@contextmanager
def folder_for_all(mode):
    """A folder that other users find, as they do not find those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(mode)
        yield Path(name)


@pytest.fixture(scope="module")
def finished():
    """A folder with a suite that has been run; nobody writes there."""
    with folder_for_all(0o755) as folder:
        (folder / "tiny.toml").write_text(SUITE)
        env = os.environ | places(folder)
        done = forks.run("oodbench", "run", "tiny.toml", "--display", "none", cwd=folder, env=env)
        assert done.returncode == 0, done.stderr
        (folder / "printed").write_text(done.stdout)
        yield folder


@pytest.fixture
def shared():
    """A folder in which everybody may write."""
    with folder_for_all(0o777) as folder:
        yield folder


@pytest.fixture(scope="module")
def other_user():
    """What runs a command as a user with a number and no passwd entry."""
    if not shutil.which("setpriv") or os.geteuid() != 0:
        pytest.skip("another user needs setpriv and root")
    if subprocess.run([*OTHER_USER, "true"], capture_output=True).returncode != 0:
        pytest.skip("this system does not let root become another user")
    return OTHER_USER


def places(folder):
    return {"BENCH_STORE": str(folder / "store"), "BENCH_DATA": str(folder / "data")}


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def findings(folder, before, **variables):
    """Exit status and lines of `bench doctor`, without the imports of torch and torchvision."""
    with folder_for_all(0o755) as fake:
        searched = f"{write_fake_torch(fake)}{os.pathsep}{ROOT}"
        done = bench(folder, "doctor", before=before, PYTHONPATH=searched, **variables)
    return done.returncode, done.stdout.splitlines()


NO_HOME = "this user has no home folder, so no data folder: name one with --data or $BENCH_DATA"


def test_a_user_without_a_home(finished, other_user):
    done = bench(finished, "run", "tiny.toml", before=other_user)
    assert (done.returncode, done.stdout, done.stderr) == (74, "", f"bench: {NO_HOME}\n")
    status, lines = findings(finished, other_user)
    assert status == 1
    assert f"bad  data folder: {NO_HOME}" in lines


def test_a_home_that_cannot_be_written(finished, other_user, shared):
    home = shared / "home"
    home.mkdir(0o755)
    variables = {"HOME": str(home), "BENCH_STORE": str(shared / "store")}
    data = home / ".local" / "share" / "oodbench"
    done = bench(finished, "run", "tiny.toml", before=other_user, **variables)
    assert (done.returncode, done.stdout) == (74, "")
    assert done.stderr.splitlines()[-1] == (
        f"bench: data set 'digits' must be converted, but {data} cannot be written: change the "
        "permissions, or name another folder with --data or $BENCH_DATA"
    )
    status, lines = findings(finished, other_user, **variables)
    (bad,) = [line for line in lines if line.startswith("bad ")]
    assert status == 1
    assert bad.startswith(f"bad  data folder: {data}: cannot be written (Permission denied)")


def test_data_that_is_shared_and_read_only(finished, other_user, shared):
    variables = places(finished) | {"BENCH_STORE": str(shared / "store")}
    before = snapshot(finished)
    done = bench(finished, "run", "tiny.toml", before=other_user, **variables)
    assert (done.returncode, done.stdout) == (0, (finished / "printed").read_text())
    assert snapshot(finished) == before


def test_data_that_would_have_to_be_converted(finished, other_user, shared):
    other = shared / "other.toml"
    other.write_text(SUITE.replace("n_test = 40", "n_test = 41"))
    variables = places(finished) | {"BENCH_STORE": str(shared / "store")}
    done = bench(shared, "run", "other.toml", before=other_user, **variables)
    assert (done.returncode, done.stdout) == (74, "")
    message = f"data set 'noise' must be converted, but {finished / 'data'} cannot be written: "
    assert done.stderr.splitlines()[-1].startswith(f"bench: {message}")


def test_a_store_that_is_read_only(finished, other_user, shared):
    variables, printed = places(finished), (finished / "printed").read_text()
    before = snapshot(finished)
    done = bench(finished, "run", "tiny.toml", before=other_user, **variables)
    assert (done.returncode, done.stdout) == (0, printed)
    assert f"{finished / 'store'} cannot be written: no results are saved\n" in done.stderr
    done = bench(finished, "report", "tiny.toml", before=other_user, **variables)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] in printed
    more = shared / "more.toml"
    more.write_text(SUITE.replace("epochs = [0]", "epochs = [0, 1]"))
    done = bench(finished, "run", str(more), before=other_user, **variables)
    assert (done.returncode, done.stdout) == (74, "")
    assert done.stderr.splitlines()[-1] == (
        f"bench: 6 jobs must be computed, but {finished / 'store'} cannot be written: change the "
        "permissions, or name another store with --store or $BENCH_STORE"
    )
    done = bench(finished, "doctor", before=other_user, **variables)  # with the true torch
    assert done.returncode == 0
    for what, path in (("store", "store"), ("data folder", "data")):
        found = f"{finished / path}: can be read but cannot be written (Permission denied)"
        assert f"note {what}: {found}" in done.stdout
    assert snapshot(finished) == before


def in_shell(redirection):
    return ["sh", "-c", f'exec "$@" {redirection}', "sh"]


@pytest.mark.parametrize("redirection", [">&-", "2>&-"])
def test_a_stream_that_is_closed(finished, redirection):
    command = ("report", "tiny.toml")
    done = bench(finished, *command, before=in_shell(redirection), **places(finished))
    usual = bench(finished, *command, **places(finished))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (usual.stdout if redirection == "2>&-" else "")


def test_a_run_without_streams_leaves_a_sound_store(finished, tmp_path):
    """Otherwise a file of the store would get the number of a stream."""
    (tmp_path / "tiny.toml").write_text(SUITE)
    variables = places(finished) | {"BENCH_STORE": str(tmp_path / "store")}
    command = ("run", "tiny.toml", "--executor", "processes")
    done = bench(tmp_path, *command, before=in_shell("<&- >&- 2>&-"), **variables)
    assert done.returncode == 0
    checked = bench(tmp_path, "store", "fsck", **variables)
    assert checked.returncode == 0, checked.stdout
    report = ("report", "tiny.toml", "--format", "json")
    usual = bench(finished, *report, **places(finished))
    assert bench(tmp_path, *report, **variables).stdout == usual.stdout


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("suite", ["tiny.toml", "lost.toml"])
def test_a_reader_that_goes_away_changes_no_status(finished, stream, suite):
    reader, writer = os.pipe()
    os.close(reader)
    other = "stderr" if stream == "stdout" else "stdout"
    done = subprocess.run(
        [*BENCH, "report", suite],
        cwd=finished,
        env=os.environ | places(finished),
        text=True,
        timeout=100,
        **{stream: writer, other: subprocess.PIPE},
    )
    os.close(writer)
    assert done.returncode == (0 if suite == "tiny.toml" else 2)
    if stream == "stdout" and suite == "tiny.toml":
        assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_output_that_cannot_be_written(finished):
    done = bench(
        finished, "report", "tiny.toml", before=in_shell("> /dev/full"), **places(finished)
    )
    assert done.returncode == 74
    assert done.stderr == (
        "bench: [Errno 28] No space left on device; after fixing this, resume with: "
        "bench report tiny.toml\n"
    )


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_a_backend_that_a_notebook_names_draws_no_figure(finished, tmp_path, backend):
    (tmp_path / "matplotlib_inline.py").write_text("raise ImportError('not installed')")
    variables = {"MPLBACKEND": backend, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    arguments = ("report", "tiny.toml", "--figures", str(tmp_path / "figures"))
    done = bench(finished, *arguments, **places(finished), **variables)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "figures").glob("*.png"))


def test_variables_that_change_nothing(finished):
    variables = {
        "CLICOLOR": "1",
        "COLUMNS": "0",
        "LINES": "0",
        "TERM": "dumb",
        "OMP_NUM_THREADS": "many",
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "PYTHONDEVMODE": "1",
        "TMPDIR": "/nonexistent",
    }
    for command in (["report", "tiny.toml"], ["run", "tiny.toml", "--display", "none"]):
        usual = bench(finished, *command, **places(finished))
        done = bench(finished, *command, **places(finished) | variables)
        assert (done.returncode, done.stdout, done.stderr) == (0, usual.stdout, "")


def test_a_terminal_without_a_size(finished):
    command = [*BENCH, "report", "tiny.toml"]

    def shown(*size, **variables):
        status, said = on_terminal(command, *size, cwd=finished, **places(finished) | variables)
        assert status == 0
        return unstyled(said)

    usual = shown(80)
    assert shown(80, COLUMNS="0", LINES="0") == usual
    assert shown(0, 0, COLUMNS="0", LINES="0") == usual
    assert shown(0, 0, COLUMNS="", TERM="") == usual


def unstyled(shown):
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


@pytest.fixture(scope="module")
def usual_plan(finished):
    """What `bench plan` prints for the suite that has been run."""
    done = plan(finished, "tiny.toml", finished)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "content",
    [
        SUITE.encode("utf-8-sig"),
        SUITE.replace("\n", "\r\n").encode(),
        SUITE.replace("\n", "\r\n").encode("utf-8-sig"),
    ],
    ids=["mark", "Windows line ends", "both"],
)
def test_suites_that_other_editors_wrote(finished, usual_plan, tmp_path, content):
    (tmp_path / "tiny.toml").write_bytes(content)
    assert plan(tmp_path, "tiny.toml", finished).stdout == usual_plan
    (tmp_path / "tiny.toml").write_bytes(content.replace(b"n_in", b"n_inn"))
    line = SUITE[: SUITE.index("n_in")].count("\n") + 1
    done = plan(tmp_path, "tiny.toml", finished)
    assert done.returncode == 2
    assert done.stderr.startswith(f"bench: tiny.toml:{line}: comparisons[0].n_inn: ")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_suite_in_utf_16(tmp_path, encoding):
    (tmp_path / "tiny.toml").write_bytes(SUITE.encode(encoding))
    done = plan(tmp_path, "tiny.toml", tmp_path)
    message = "bench: tiny.toml:1: UTF-16 text, not UTF-8 text (save the file as UTF-8)\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_epochs_far_away(finished, tmp_path):
    suite = tmp_path / "far.toml"
    suite.write_text(SUITE.replace("epochs = [0]", f"epochs = [0, {10**9}]"))
    done = plan(finished, suite, finished)
    assert done.returncode == 0, done.stderr
    assert "flow on digits  0              1000000000" in done.stdout
    suite.write_text(SUITE.replace("epochs = [0]", f"epochs = [0, {10**30}]"))
    done = plan(finished, suite, finished)
    assert done.returncode == 2
    assert "comparisons[0].epochs[1]: input should be less than or equal to" in done.stderr
