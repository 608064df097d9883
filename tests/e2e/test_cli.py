"""The command line as people run it, in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from harness.cli import main
from tests import forks

BENCH = [sys.executable, "-m", "oodbench"]


def bench(*arguments, **options):
    return forks.run("oodbench", *arguments, **options)


HEAVY = ("torch", "torchvision", "sklearn", "scipy", "matplotlib", "PIL")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["work", "--help"],
        ["list", "scorers"],
        ["list", "models"],
        ["list", "suites"],
        ["plugins", "list"],
        ["plan", "suites/quickstart.toml"],
        ["plan", "suites/quickstart.toml", "--why"],
        ["plan", "suites/paper.toml"],
        ["data", "list"],
        ["schema"],
    ],
)
def test_light_commands_import_nothing_heavy(arguments):
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('heavy:', [m for m in {HEAVY} if m in sys.modules]))\n"
        "from oodbench._start import main\n"
        f"sys.argv = ['bench', *{arguments}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_a_second_run_imports_no_torch_and_prints_the_same(tiny_suite):
    first = bench("run", tiny_suite)
    assert first.returncode == 0, first.stderr
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "from oodbench._start import main\n"
        f"sys.argv = ['bench', 'run', {str(tiny_suite)!r}]\n"
        "main()\n"
    )
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert second.stdout == first.stdout
    assert second.stderr.splitlines() == ["tiny: nothing to compute, 24 cells", "False"]


def test_a_run_of_many_scorers_ranks_them_below_the_tables(tiny_suite):
    listed = '"log-likelihood", "typicality", "gradient-gaussian"'
    more = listed + ', "mean-intensity", "total-variation"'
    text = tiny_suite.read_text().replace(listed, more).replace("[0, 2]", "[0]")
    tiny_suite.write_text(text)
    printed = bench("run", tiny_suite).stdout
    ranking = bench("report", "--ranking", "scorers", tiny_suite).stdout
    ranked = ranking.partition("Scorers by mean rank")[2]
    assert ranked.count("mean-intensity") == 1
    assert "\n\nScorers by mean rank" + ranked in printed
    tiny_suite.write_text(text.replace(', "total-variation"', ""))
    assert "Scorers by mean rank" not in bench("run", tiny_suite).stdout
    assert "Nothing is ranked" in bench("report", tiny_suite, "--ranking", "models").stdout
    wrong = bench("report", "--ranking", tiny_suite)
    assert (wrong.returncode, "is not one of 'scorers', 'models'" in wrong.stderr) == (2, True)


def test_report_has_every_format(tiny_suite):
    assert bench("report", tiny_suite).returncode == 4  # nothing is stored yet
    run = bench("run", tiny_suite, "--display", "none")
    assert run.stderr == ""
    table = bench("report", tiny_suite)
    assert run.stdout.startswith(table.stdout)
    rows = json.loads(bench("report", tiny_suite, "--format", "json").stdout)
    assert rows["suite"] == "tiny"
    assert len(rows["results"]) == 24
    assert set(rows["results"][0]) >= {
        *("model", "in", "out", "scorer", "epoch", "group_size", "seed", "status", "auroc"),
        *("auroc_se", "auroc_low", "auroc_high", "aupr", "fpr95", "n_in", "n_out"),
        *("bits_per_dim_in", "provenance"),
    }
    assert "| typicality" in bench("report", tiny_suite, "--format", "markdown").stdout
    assert r"\begin{tabular}" in bench("report", tiny_suite, "--format", "latex").stdout
    assert len(bench("report", tiny_suite, "--format", "csv").stdout.splitlines()) == 25
    epochs = bench("report", tiny_suite, "--epochs").stdout
    assert "How early is enough: flow, in-distribution digits, group size 5" in epochs
    rows = json.loads(bench("report", tiny_suite, "--epochs", "--format", "json").stdout)["epochs"]
    # OOD sets, scorers, three rules; groups of five are too few to be judged, so without a rule
    assert len(rows) == 2 * 3 * (3 + 1)
    assert {row["last_epoch"] for row in rows if row["rule"]} == {2}
    with_errors = bench("report", tiny_suite, "--errors").stdout
    assert "±" in with_errors
    assert "±" not in table.stdout


def test_report_draws_figures_on_request_only(tiny_suite, tmp_path):
    text = tiny_suite.read_text().replace("[1, 5]", "[1]").replace('"others"', '"noise"')
    tiny_suite.write_text(text)
    table = bench("run", tiny_suite, "--display", "none").stdout
    folder = tmp_path / "new" / "figures"
    code = (
        "import sys, atexit\n"
        "from oodbench._start import main\n"
        "looked = {'matplotlib', 'matplotlib.pyplot', 'torch'}\n"
        "atexit.register(lambda: print(sorted(looked & set(sys.modules)), file=sys.stderr))\n"
        "main()\n"
    )
    figures = ["--figures", str(folder), "--temperature", "0.7"]
    for options, loaded in (([], []), (figures, ["matplotlib", "torch"])):
        command = [sys.executable, "-c", code, "report", str(tiny_suite), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert table.startswith(done.stdout)
        assert done.stderr.splitlines()[-1] == str(loaded)
    assert done.stderr.splitlines()[0] == f"22 files of figures are in {folder}"
    assert len(list(folder.iterdir())) == 22


def test_mistakes_end_with_2_and_without_a_traceback(write_suite):
    path = write_suite(
        """
        [training.brief]
        lerning_rate = 1e-3

        [models.flow]
        plugin = "glow"
        training = "brief"

        [[comparisons]]
        models = ["flow"]
        in = "digits"
        out = ["noise"]
        epochs = [-1]
        scorers = ["typicalty"]
        """
    )
    for command in ("run", "plan", "report", "check"):
        done = bench(command, path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.splitlines() == [
            f"bench: {path}:3: training.brief.lerning_rate: unknown key "
            "(did you mean 'learning_rate'?)",
            f"{path}:13: comparisons[0].epochs[0]: input should be greater than or equal to 0, "
            "not -1",
            f"{path}:14: comparisons[0].scorers[0]: there is no scorer 'typicalty' "
            "(did you mean 'typicality'?)",
        ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "glo"], "bench: there is no 'glo' (did you mean 'glow'?)"),
        (["list", "scorers", "-p", "no:scorer"], "no such plugin (did you mean 'scorers'?)"),
        (["list", "scorers", "-p", "absent.py"], "absent.py cannot be read"),
        (["lst"], "No such command 'lst'"),
        (["run", "absent.toml"], "bench: absent.toml: no such file"),
    ],
)
def test_unknown_names_end_with_2(arguments, message):
    done = bench(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent)
from oodbench._start import main
main()
"""


def test_results_are_reported_and_compared_where_torch_is_absent(tiny_suite, tmp_path):
    """On another machine, to which the stored results were copied without the data."""
    text = tiny_suite.read_text().replace("[0, 2]", "[0]").replace("[1, 5]", "[1]")
    tiny_suite.write_text(text.replace('"others"', '"noise"'))
    tables = bench("run", tiny_suite, "--display", "none").stdout
    bench("store", "export", tiny_suite, tmp_path / "tiny.zip")
    saved = shutil.copytree(tmp_path / "store" / "results" / "tiny", tmp_path / "saved")
    for folder in ("store", "data"):
        shutil.rmtree(tmp_path / folder)

    def without_torch(*arguments):
        command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    done = without_torch("store", "import", tmp_path / "tiny.zip")
    assert done.returncode == 0, done.stderr
    page = tmp_path / "page.html"
    done = without_torch("report", tiny_suite, "--html", page, "--figures", tmp_path / "figures")
    assert done.returncode == 0, done.stderr
    assert tables.startswith(done.stdout)
    assert "gradient-gaussian" in page.read_text(encoding="utf-8")
    assert any((tmp_path / "figures").glob("*.pdf"))
    for run in (tiny_suite, saved):
        done = without_torch("compare", run, saved)
        assert "0 of 3 places differ significantly" in done.stdout, done.stderr
    assert without_torch("run", tiny_suite).stdout == tables
    done = without_torch("check", tiny_suite)
    assert done.stderr.splitlines()[-1] == (
        "bench: this command needs torch, which is not installed"
    )
    assert done.returncode == 2


def test_an_unknown_device_is_an_error(tiny_suite):
    done = bench("run", tiny_suite, "--device", "toaster")
    assert done.returncode == 2
    assert "--device toaster: device not available" in done.stderr


def test_failed_cells_end_with_1_and_a_report(tiny_suite):
    text = tiny_suite.read_text().replace("n_out = 30", "n_out = 41")
    tiny_suite.write_text(text.replace("[0, 2]", "[0]"))
    done = bench("run", tiny_suite)
    assert done.returncode == 1
    assert "n_out = 41, but the test split of 'noise' has 40 examples" in done.stdout
    assert bench("report", tiny_suite).returncode == 1


def test_an_interrupted_run_ends_with_130_and_is_resumed(tiny_suite, tmp_path):
    text = tiny_suite.read_text().replace("[0, 2]", "[0, 40, 80]")
    tiny_suite.write_text(text)
    command = [*BENCH, "run", str(tiny_suite), "--display", "json"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in process.stderr:
        if json.loads(line)["event"] == "EpochFinished":
            break
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted; to resume: bench run {tiny_suite} --display json" in stderr.replace(
        "-c ", "bench "
    )


def test_workers_end_when_their_parent_is_killed(tiny_suite, tmp_path):
    tiny_suite.write_text(tiny_suite.read_text().replace("[0, 2]", "[0, 4000]"))
    options = ["--display", "json", "--executor", "processes", "--workers", "1"]
    process = subprocess.Popen(
        [*BENCH, "run", str(tiny_suite), *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if json.loads(line)["event"] == "EpochFinished":
            break
    process.kill()
    process.communicate()
    for _ in range(100):
        if not group_is_alive(process.pid):
            return
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("workers outlived the run")


def test_a_worker_that_is_killed_fails_its_cells_and_no_others(tiny_suite):
    text = tiny_suite.read_text()
    text = text.replace("[datasets.digits]", MORTAL + "[datasets.digits]")
    text = text.replace('models = "flow"', 'models = ["flow", "mortal"]')
    text = text.replace("[0, 2]", "[0]").replace("[1, 5]", "[1]")
    tiny_suite.write_text('plugins.paths = ["mortal.py"]\n' + text)
    tiny_suite.with_name("mortal.py").write_text(MORTAL_PLUGIN)
    done = bench("run", tiny_suite, "--executor", "processes")
    assert done.returncode == 1
    assert (
        "mortal on digits: its process was ended by signal 9 (probably out of memory"
        in done.stdout
    )
    assert "; run again to resume" in done.stdout
    rows = json.loads(bench("report", tiny_suite, "--format", "json").stdout)["results"]
    assert {(row["model"], row["status"]) for row in rows} == {("flow", "ok")}


MORTAL = """[models.mortal]
plugin = "mortal"
training = "brief"

"""

MORTAL_PLUGIN = """
import os, signal
from oodbench import Entry, hookimpl

@hookimpl
def bench_models():
    return [Entry("mortal", ":mortal", "ends its process")]

def mortal(domain):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def group_is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_check_tries_everything_without_data(tiny_suite):
    done = bench("check", tiny_suite, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {item["problem"] for item in found} == {""}
    assert found[0]["what"] == "flow on 1x8x8"
    assert found[0]["detail"].startswith("17 parameter tensors")
    # model, log_prob with and without noise, gradients at b = 1 and 5, scorers
    assert len(found) == 1 + 2 + 2 + 3 * 2
    plan = json.loads(bench("plan", tiny_suite, "--json").stdout)
    assert plan["estimate"]["jobs_without_rate"] == 0


def test_check_reports_a_model_that_cannot_be_built(tiny_suite):
    tiny_suite.write_text(tiny_suite.read_text().replace("levels = 1", "levels = 4"))
    done = bench("check", tiny_suite)
    assert done.returncode == 1
    assert "DomainError" in done.stdout


def test_plan_says_what_is_new_and_why(tiny_suite):
    bench("run", tiny_suite, "--display", "none")
    tiny_suite.write_text(tiny_suite.read_text().replace("[0, 2]", "[0, 2, 3]"))
    shown = bench("plan", tiny_suite, "--why").stdout
    assert "train to epoch 3: training continues from stored epoch 2" in shown
    assert "train to epoch 2" not in shown
    assert "36 cells, 12 of them new" in shown


def test_only_a_part_of_a_suite(tiny_suite):
    part = ["--only", "epoch=0", "--only", "scorer=typicality", "--only", "out=noise"]
    plan = json.loads(bench("plan", tiny_suite, *part, "--json").stdout)
    assert plan["cells"] == {"all": 2, "new": 2, "unsupported": 0}
    assert [job["job"] for job in plan["chains"][0]["jobs"]] == [
        "train to epoch 0",
        *(
            f"epoch 0: log_prob of {draw}"
            for draw in ("digits (fit)", "digits (in)", "noise (out)")
        ),
        *(f"epoch 0: dequantised_log_prob of {draw}" for draw in ("digits (in)", "noise (out)")),
    ]
    assert bench("run", tiny_suite, *part).returncode == 0
    rows = json.loads(bench("report", tiny_suite, *part, "--format", "json").stdout)["results"]
    assert [(row["epoch"], row["out"], row["status"]) for row in rows] == [(0, "noise", "ok")] * 2
    checked = json.loads(bench("check", tiny_suite, *part, "--json").stdout)
    # model, log_prob with and without noise, typicality at two group sizes
    assert len(checked) == 1 + 2 + 2
    for command in ("run", "plan", "report", "check"):
        done = bench(command, tiny_suite, "--only", "out=nose")
        assert done.returncode == 2
        assert done.stderr == (
            "bench: --only out=nose: no cell has this value (did you mean 'noise'?)\n"
        )


def test_listings_are_also_json():
    rows = json.loads(bench("list", "scorers", "--json").stdout)
    assert {"gradient-gaussian", "log-likelihood", "typicality"} <= {row["name"] for row in rows}
    (shown,) = json.loads(bench("show", "glow", "--json").stdout)
    assert {"name": "levels", "default": 3}.items() <= shown["options"][0].items()
    plugins = json.loads(bench("plugins", "list", "--json", "-p", "no:scorers").stdout)
    assert {row["plugin"]: row["state"] for row in plugins}["scorers"] == "blocked"


def test_main_is_the_entry_point(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "--version"])
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)  # pytest keeps its own
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("bench ")
