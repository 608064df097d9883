"""Python processes that need not import torch: forks of one process that has imported torch.

A start of `bench` or pytest takes seconds, most of which torch takes. `run` gives the process its
own arguments, folder, environment, streams and exit status, as `subprocess.run` does; only the
packages in `HEAVY` are there already. What a test says about imports, or about the start itself,
needs a fresh process: `subprocess.run`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

HEAVY = (
    *("torch._dynamo", "torchvision", "sklearn.ensemble", "scipy.stats", "matplotlib.pyplot"),
    *("pydantic", "pytest", "rich.live", "rich.markup", "rich.table", "typer"),
)


def run(module, *arguments, python=sys.executable, cwd=None, env=None, timeout=300):
    """Run `python -m module arguments` in a fork; return its streams and its exit status."""
    argv = [module, *map(str, arguments)]
    with TemporaryDirectory() as folder:
        paths = [f"{folder}/{name}" for name in ("stdout", "stderr")]
        order = {
            "module": module,
            "argv": argv,
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "streams": paths,
            "timeout": timeout,
        }
        status = _ask(str(python), order)
        if status is None:
            raise subprocess.TimeoutExpired(argv, timeout)
        stdout, stderr = (Path(path).read_text(encoding="utf-8") for path in paths)
    return subprocess.CompletedProcess(argv, status, stdout, stderr)


def _ask(python, order):
    process = _parent(python, os.getpid())
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@functools.cache
def _parent(python, pid):
    """Start the process that forks; one for each process of tests, since its pipes are not shared.

    The end of its standard input ends it.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([python, __file__], text=True, **pipes)
    atexit.register(process.communicate)
    return process


def _serve():
    import importlib

    for name in HEAVY:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
        print(json.dumps(_wait(pid, order["timeout"])), flush=True)


def _become(order):
    """Run a module as `python -m` does, in this fork; never return."""
    import runpy

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for number, path in enumerate(order["streams"], start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    searched = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [order["cwd"], *filter(None, searched)]
    sys.argv = order["argv"]
    try:
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
        _leave(0)
    except SystemExit as error:
        _leave(error.code)
    except BaseException:
        traceback.print_exc()
        _leave(1)


def _leave(code):
    """End as `sys.exit` does, but without tearing down modules: Triton calls its own leaked."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _wait(pid, timeout):
    """Return the exit status, negative for a signal; None after `timeout` seconds."""

    def kill(*_):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise TimeoutError

    signal.signal(signal.SIGALRM, kill)
    signal.alarm(timeout)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except TimeoutError:
        return None
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    _serve()
