"""A suite on a Ray cluster of three nodes on this machine, nodes of which die at random moments.

    python tests/reliability/nodes.py suites/quickstart.toml --removals 10

compares the results with those of a run without Ray. The number of removals is for the whole run:
a node is killed without a warning, and another joins the cluster. Between two removals some worker
takes up work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
BENCH = [sys.executable, "-m", "oodbench"]
PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
TRIALS = 3
"""Times that a node is tried: on a busy machine a node may be slower than Ray's limit of 15 s."""


def free_ports() -> dict[str, int]:
    """A free port for each name; Ray waits less long for a node that knows its ports."""
    sockets = [socket.socket() for _ in PORTS]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return dict(zip(PORTS, found, strict=True))


def add_node(cluster, processors: int):
    """A node, on this machine."""
    for trial in range(TRIALS):
        options = {"object_store_memory": 100_000_000, "include_dashboard": False}
        try:
            return cluster.add_node(num_cpus=processors, **options, **free_ports())
        except Exception:
            if trial == TRIALS - 1:
                raise
    return None


def bench(folder: Path, *arguments: str, **options) -> subprocess.Popen:
    """`bench` with a store of its own; both runs share the data."""
    env = {**os.environ, "BENCH_STORE": str(folder / "store")}
    env["BENCH_DATA"] = str(folder.parent / "data")
    return subprocess.Popen([*BENCH, *arguments], env=env, text=True, **options)


def results(folder: Path, suite: Path) -> str:
    """The results of a suite as JSON, without provenance."""
    process = bench(folder, "report", str(suite), "--format", "json", stdout=subprocess.PIPE)
    output, _ = process.communicate()
    assert process.returncode == 0
    report = json.loads(output)
    for result in report["results"]:
        result.pop("provenance")
    return json.dumps(report)


def run_on_cluster(folder: Path, suite: Path, removals: int, seconds: float, seed: int) -> int:
    """Run the suite on three nodes, and remove nodes within about `seconds` each."""
    from ray.cluster_utils import Cluster

    source, removed, taken = random.Random(seed), 0, 0
    cluster = Cluster()
    add_node(cluster, 0)  # the head, to which the run is connected
    nodes = [add_node(cluster, 1) for _ in range(2)]
    address = f"executors.ray.address={cluster.address}"
    log = folder / "log"
    with log.open("w") as told:
        options = ("--executor", "ray", "--set", address, "--threads", "1", "--display", "json")
        process = bench(folder, "run", str(suite), *options, stdout=told, stderr=told)
        while process.poll() is None:
            if removed < removals and log.read_text().count("WorkTaken") > taken:
                time.sleep(source.uniform(0, seconds))
                taken = log.read_text().count("WorkTaken")
                cluster.remove_node(nodes.pop(source.randrange(len(nodes))), allow_graceful=False)
                removed += 1
                nodes.append(add_node(cluster, 1))
            time.sleep(0.1)
    cluster.shutdown()
    print(log.read_text())
    assert process.returncode == 0
    return removed


def main() -> None:
    """Compare both runs, and say what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--removals", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0, help="between removals, at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    suite = arguments.suite
    with tempfile.TemporaryDirectory() as name:
        plain, on_cluster = Path(name) / "plain", Path(name) / "ray"
        for folder in (plain, on_cluster):
            folder.mkdir()
        options = ("--executor", "sequential", "--threads", "1", "--display", "none")
        process = bench(plain, "run", str(suite), *options, stdout=subprocess.DEVNULL)
        assert process.wait() == 0
        began = time.monotonic()
        given = (arguments.removals, arguments.seconds, arguments.seed)
        removed = run_on_cluster(on_cluster, suite, *given)
        seconds = time.monotonic() - began
        same = results(plain, suite) == results(on_cluster, suite)
        found = "same results" if same else "DIFFERENT RESULTS"
        print(f"{removed} nodes removed in {seconds:.0f} s: {found}")
        sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
