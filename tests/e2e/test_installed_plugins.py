"""Distributions of third parties, built, installed into a fresh environment, used from a suite."""

from __future__ import annotations

import json

import numpy as np

from harness.registry.scaffold import PLUGIN_KINDS, new_package
from tests.environments import QUICK, ROOT, make_environment, run

EXAMPLE = ROOT / "examples" / "oodbench-example"
BENCH = "from oodbench._start import main; main()"
HOOK = """
from oodbench import Entry, hookimpl

@hookimpl
def {hook}():
    return [Entry("{name}", "oodbench_example.scorer:NormAndBits", "a variant")]
"""
VARIANTS = {
    "broken": "raise RuntimeError('no licence')",
    "misspelt": HOOK.format(hook="bench_scorer", name="misspelt"),
    "first": HOOK.format(hook="bench_scorers", name="twin"),
    "second": HOOK.format(hook="bench_scorers", name="twin"),
    "shadow": HOOK.format(hook="bench_scorers", name="typicality"),
}

SUITE = """
    [training.brief]
    learning_rate = 1e-3
    minibatch = 50

    [models.vae]
    plugin = "small-vae"
    options = { hidden = 8 }
    training = "brief"

    [datasets.mine]
    plugin = "csv"
    options = { path = "mine", size = 4 }

    [datasets.noise]
    plugin = "noise"
    options = { channels = 1, height = 4, width = 4, n_train = 10, n_test = 40 }

    [[comparisons]]
    models = "vae"
    in = "mine"
    out = "noise"
    epochs = [0, 1]
    scorers = "norm-and-bits"
    n_in = 20
    n_fit = 20
    n_out = 20
"""


def variant(folder, name, text):
    """A distribution whose one module is the text."""
    root = folder / "variants" / name
    (root / "src").mkdir(parents=True)
    (root / "src" / f"variant_{name}.py").write_text(text)
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "variant-{name}"\nversion = "0.{len(name)}"\n'
        f'[project.entry-points.bench]\n{name} = "variant_{name}"\n'
        f'[tool.hatch.build.targets.wheel]\nonly-include = ["src"]\nsources = ["src"]\n'
    )
    return root


def test_generated_distributions_pass_their_tests_and_are_listed(tmp_path):
    generated = tmp_path / "generated"
    generated.mkdir()
    names = {kind: f"new-{kind}" for kind in PLUGIN_KINDS}
    projects = [
        new_package(kind, name, generated)[0].parent.resolve() for kind, name in names.items()
    ]
    python = make_environment(tmp_path, projects)
    tests = [project / "tests" for project in projects]
    options = [*QUICK, "-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-W", "error"]
    done = run(python, "-m", "pytest", *options, *tests, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout
    done = run(python, "-c", BENCH, "plugins", "list", "--json", cwd=tmp_path)
    found = {row["distribution"]: row for row in json.loads(done.stdout)}
    for kind, name in names.items():
        row = found[f"oodbench-{name}"]
        assert (row["state"], row["version"], row["plugin"]) == ("active", "0.1.0", name)
        assert row["offers"] == [f"{kind}s: {name}"]


def write_csv(folder):
    """A ramp of random height in each image: 200 to train on, 60 to test."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 200), ("test", 60)):
        lines = np.linspace(0, 1, 16) * rng.integers(40, 256, (count, 1))
        np.savetxt(folder / f"{split}.csv", lines.astype(int), fmt="%d", delimiter=",")


def test_the_example_is_used_from_a_suite_whatever_else_is_installed(tmp_path, write_suite):
    variants = [variant(tmp_path, name, text) for name, text in VARIANTS.items()]
    python = make_environment(tmp_path, [EXAMPLE, *variants])

    def bench(*arguments):
        return run(python, "-c", BENCH, *arguments, cwd=tmp_path)

    rows = {row["plugin"]: row for row in json.loads(bench("plugins", "list", "--json").stdout)}
    assert rows["example"]["distribution"] == "oodbench-example"
    assert rows["example"]["version"] == "1.2.0"
    assert rows["example"]["offers"] == [
        "models: small-vae",
        "datasets: csv",
        "scorers: norm-and-bits",
    ]
    assert {name for name, row in rows.items() if row["state"] == "broken"} == {
        "broken",
        "misspelt",
    }
    assert rows["broken"]["reason"] == "RuntimeError: no licence"
    assert rows["misspelt"]["reason"] == (
        "there is no hook 'bench_scorer' (did you mean 'bench_scorers'?)"
    )

    write_csv(tmp_path / "mine")
    suite = write_suite(SUITE)
    done = bench("run", suite, "--display", "none")
    assert done.returncode == 0, done.stderr
    assert "norm-and-bits" in done.stdout
    results = json.loads(bench("report", suite, "--format", "json").stdout)["results"]
    assert [(row["epoch"], row["status"]) for row in results] == [(0, "ok"), (1, "ok")]
    ours = {
        "version": "1",
        "distribution": "oodbench-example",
        "distribution_version": "1.2.0",
    }
    for row in results:
        assert row["provenance"]["scorer"] == {"plugin": "norm-and-bits", **ours}
        text = json.dumps(row["provenance"]["statistics"])
        assert json.dumps({"plugin": "small-vae", **ours})[1:-1] in text

    for name, message in {
        "twin": "scorer 'twin' is given by first (variant-first 0.5, variant_first) and second "
        "(variant-second 0.6, variant_second); block one with -p no:PLUGIN",
        "typicality": "scorer 'typicality' is given by scorers (oodbench",
        "misspelt": "plugin misspelt (variant-misspelt 0.8, variant_misspelt) is broken",
    }.items():
        done = bench("plan", write_suite(SUITE.replace("norm-and-bits", name), "other.toml"))
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    blocked = bench("plan", tmp_path / "other.toml", "-p", "no:misspelt")
    assert "there is no scorer 'misspelt'" in blocked.stderr
