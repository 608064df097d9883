"""The Slurm executor: the script, word for word, and runs through small programs of Slurm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oodbench
from oodbench import BenchError
from plugins.executors.slurm import Slurm
from plugins.executors.slurm_script import quoted
from tests import forks
from tests.unit.plugins import slurm_programs

BENCH = [sys.executable, "-m", "oodbench"]


@dataclass
class Worker:
    """What a script is written from."""

    command: list[str] | None
    threads: int = 3
    folder: Path = Path("store/runs/my suite/1")


def workers(count, *words):
    return [
        Worker(["work", "suite.toml", *words, "--share", f"{number}/{count}", "--until-done"])
        for number in range(1, count + 1)
    ]


SCRIPT = r"""#!/bin/bash
#SBATCH --job-name="bench-my suite"
#SBATCH --array=1-4%2
#SBATCH --cpus-per-task=3
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR2@120
#SBATCH --output=%a.log
#SBATCH --partition="a \"b\" c"
#SBATCH --time=04:00:00
#SBATCH --gres=gpu:a100:1
#SBATCH --exclusive

# Each element of the array is a worker on the same store: what is stored is done.
cd '{folder}/it'"'"'s $HOME' || exit
module load cuda
source "$HOME/venv/bin/activate"

# Slurm signals this shell 120 seconds before the end of the element's time. The worker then
# stores the progress of its training and ends, and the element is queued again.
pass_on() {{ heard=yes; kill -s "$1" "$worker" 2>/dev/null; }}
trap 'again=yes; pass_on USR2' USR2
trap 'pass_on TERM' TERM
/opt/python -P -m oodbench work suite.toml --store '/a b/$c "d"' --share "$SLURM_ARRAY_TASK_ID/4" &
worker=$!
while heard=; wait "$worker"; status=$?; [ -n "$heard" ]; do :; done
if [ -n "${{again:-}}" ] && [ "$status" -ne 0 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""


def test_the_script_is_written_word_for_word(tmp_path, monkeypatch):
    folder = tmp_path / "it's $HOME"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "executable", "/opt/python")
    slurm = Slurm(
        limit=2,
        partition='a "b" c',
        time="04:00:00",
        gpus="a100:1",
        sbatch=("--exclusive",),
        setup=("module load cuda", 'source "$HOME/venv/bin/activate"'),
    )
    script = slurm.script(workers(4, "--store", '/a b/$c "d"'))
    assert script == SCRIPT.format(folder=tmp_path)


ODD = ["", "a b", "it's", '"', "$HOME", "`id`", "\\", "*", "~", "a\nb", "ü", "--x=y z", "#", "!"]


def test_a_shell_gives_the_worker_its_words(tmp_path, monkeypatch):
    program = tmp_path / "a program"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    (tmp_path / "array.sh").write_text(Slurm().script(workers(2, *ODD)))
    env = {**os.environ, "SLURM_ARRAY_TASK_ID": "2"}
    done = subprocess.run(["bash", "array.sh"], cwd=tmp_path, env=env, capture_output=True)
    words = ["-P", "-m", "oodbench", "work", "suite.toml", *ODD, "--share", "2/2"]
    assert json.loads(done.stdout) == words
    assert done.stderr == b""


def sbatch_reads(text):
    """A value as sbatch reads it from a line of directives, by its source `_get_argument`."""
    read, quote, escaped = "", "", False
    for letter in text:
        if escaped:
            read, escaped = read + letter, False
        elif letter == "\\":
            escaped = True
        elif quote and letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif not quote and (letter.isspace() or letter == "#"):
            break
        else:
            read += letter
    assert not quote
    return read


@given(st.text(st.characters(exclude_characters="\n", codec="utf-8")))
def test_sbatch_reads_what_was_quoted(value):
    assert sbatch_reads(quoted(value)) == value


def test_line_breaks_in_directives_are_refused():
    with pytest.raises(BenchError, match="has a line break, which a line #SBATCH cannot hold"):
        Slurm(partition="a\nb")
    with pytest.raises(BenchError, match="'exclusive' is not an option, such as '--exclusive'"):
        Slurm(sbatch=("exclusive",))


WORKER = """#!{python}
import signal, sys, time
from pathlib import Path
here = Path({here!r})
signal.signal(signal.SIGUSR2, lambda *_: sys.exit({status}))
(here / "begun").touch()
(here / "starts").open("a").write(".")
while not (here / "over").exists():
    time.sleep(0.01)
"""


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(("signalled", "status", "requeued"), [
    (signal.SIGUSR2, 75, True),
    (signal.SIGUSR2, 0, False),
    (signal.SIGTERM, -signal.SIGTERM, False),
])  # fmt: skip
def test_an_element_is_queued_again_after_the_notice(
    tmp_path, monkeypatch, signalled, status, requeued
):
    """The shell passes the notice on, waits for the worker, and asks Slurm for another start."""
    state = slurm_programs.install(tmp_path / "bin")
    program = tmp_path / "program"
    code = WORKER.format(python=sys.executable, here=str(tmp_path), status=max(status, 0))
    program.write_text(code)
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    (tmp_path / "array.sh").write_text(Slurm().script(workers(1)))
    env = {**os.environ, "SLURM_ARRAY_TASK_ID": "1", "SLURM_JOB_ID": "77"}
    env["PATH"] = slurm_programs.path_with(tmp_path / "bin")
    shell = subprocess.Popen(["bash", "array.sh"], cwd=tmp_path, env=env)
    until((tmp_path / "begun").exists)
    shell.send_signal(signalled)
    assert shell.wait(60) == (128 - status if status < 0 else status)
    assert (state / "requeued-77").exists() == requeued


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Slurm's programs on the path; their state."""
    monkeypatch.setenv("PATH", slurm_programs.path_with(tmp_path / "bin"))
    state = slurm_programs.install(tmp_path / "bin")
    yield state
    slurm_programs.end(state)


def bench(*arguments, **options):
    command = [*BENCH, *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **streams, **options)


def finished(process):
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def without_provenance(text):
    report = json.loads(text)
    for result in report["results"]:
        result.pop("provenance")
    return report


def test_a_run_is_left_and_taken_up_and_gives_the_same_results(tiny_suite, tmp_path, cluster):
    """The elements are workers in processes of their own, which wait for a file."""
    text = tiny_suite.read_text()
    tiny_suite.write_text(f"""{text}
[executors.slurm]
setup = ["while [ ! -e {tmp_path}/go ]; do sleep 0.1; done"]
""")
    store = tmp_path / "a store"
    command = ("run", tiny_suite, "--store", store, "--executor", "slurm", "--threads", "1")
    command = (*command, "--workers", "2", "--display", "plain")
    first = bench(*command)
    until(lambda: list(store.glob("runs/tiny/slurm-*/job.json")))
    first.send_signal(signal.SIGINT)
    status, _, errors = finished(first)
    assert status == 130
    assert "submitted Slurm job 4711; script and output: " in errors
    assert "Slurm job 4711 goes on: the same command follows it again" in errors
    assert "to end it: scancel --clusters=here 4711" in errors
    second = bench(*command)
    (tmp_path / "go").touch()
    status, output, errors = finished(second)
    assert status == 0, errors
    assert "following Slurm job 4711" in errors
    assert "flow on digits · epoch 2: " in errors  # told by a worker's event log
    assert (cluster / "submissions").read_text().count("\n") == 1
    plain = ("--executor", "sequential", "--threads", "1", "--store", tmp_path / "plain")
    done = forks.run("oodbench", "run", tiny_suite, *plain, "--display", "none")
    assert (done.returncode, done.stdout) == (0, output)
    reports = [
        forks.run("oodbench", "report", tiny_suite, "--store", place, *JSON).stdout
        for place in (store, tmp_path / "plain")
    ]
    reports = [without_provenance(report) for report in reports]
    assert reports[0] == reports[1]


JSON = ("--format", "json")


@pytest.mark.parametrize(
    ("changes", "workers", "expected"),
    [
        (
            [],
            1001,
            "array.sh: sbatch: error: Batch job submission failed: Invalid job array "
            "specification; fewer --workers make a smaller array",
        ),
        (["executors.slurm.partition=absent"], 1, "invalid partition specified: absent"),
        (
            ["executors.slurm.partiton=gpu"],
            1,
            "executors.slurm.partiton: unknown option (did you mean 'partition'?)",
        ),
        (["executors.slurm.time=[1]"], 1, "executors.slurm.time: input should be a valid"),
    ],
)
def test_errors_before_anything_is_submitted(tiny_suite, cluster, changes, workers, expected):
    def run():
        suite = oodbench.load(tiny_suite, changes=changes)
        suite.run(executor="slurm", workers=workers, display="none")

    with pytest.raises(BenchError) as caught:
        run()
    assert expected in str(caught.value)
    assert not (cluster / "submissions").exists()


def test_a_store_whose_name_slurm_would_change_is_refused(tiny_suite, tmp_path, cluster):
    suite = oodbench.load(tiny_suite)
    with pytest.raises(BenchError, match=r"Slurm reads % and \\ in paths as patterns; use anoth"):
        suite.run(executor="slurm", display="none", store=tmp_path / "100%a")
    assert not (cluster / "submissions").exists()


def test_without_slurm_the_error_says_where_to_run(tiny_suite, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="there is no sbatch on the PATH: run the command on a"):
        oodbench.load(tiny_suite).run(executor="slurm", display="none")


def test_a_suite_in_memory_cannot_be_run_elsewhere(tiny_suite):
    with tiny_suite.open("rb") as file:
        suite = oodbench.Suite(tomllib.load(file))
    with pytest.raises(BenchError, match="need a suite in a file: save it as TOML"):
        suite.script(executor="slurm")
    with pytest.raises(BenchError, match="executor 'sequential' writes no script"):
        oodbench.load(tiny_suite).script(executor="sequential")
