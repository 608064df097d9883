"""`sbatch`, `squeue`, `scancel` and `scontrol` as small programs: elements are local processes."""

from __future__ import annotations

import os
import signal
import stat
import sys
from contextlib import suppress
from pathlib import Path

JOB = "4711"

SBATCH = f"""
import re, subprocess, sys
assert sys.argv[1] == "--parsable"
script = sys.argv[2]
text = open(script).read()
count = int(re.search(r"^#SBATCH --array=1-(\\d+)", text, re.M).group(1))
if count > 1000:
    sys.exit("sbatch: error: Batch job submission failed: Invalid job array specification")
if "--partition=absent" in text:
    sys.exit("sbatch: error: invalid partition specified: absent")
with open(state / "submissions", "a") as file:
    file.write(os.getcwd() + "\\n")
for element in range(1, count + 1):
    (state / f"element-{{element}}").touch()
    command = [sys.executable, str(programs / "element"), script, str(element)]
    quiet = {{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}}
    subprocess.Popen(command, process_group=0, **quiet)
print("{JOB};here")
"""

ELEMENT = f"""
import subprocess, sys
script, element = sys.argv[1:]
(state / f"group-{{element}}").write_text(str(os.getpid()))
names = {{"SLURM_JOB_ID": element, "SLURM_ARRAY_JOB_ID": "{JOB}"}}
while True:
    with open(f"{{element}}.log", "a") as log:
        env = {{**os.environ, **names, "SLURM_ARRAY_TASK_ID": element}}
        shell = subprocess.Popen(["bash", script], env=env, stdout=log, stderr=log)
        (state / f"pid-{{element}}").write_text(str(shell.pid))
        shell.wait()
    if not (state / f"requeued-{{element}}").exists():
        break
    (state / f"requeued-{{element}}").unlink()
(state / f"element-{{element}}").unlink()
"""

SQUEUE = f"""
import sys
assert "--clusters=here" in sys.argv
for element in state.glob("element-*"):
    print("{JOB} RUNNING")
print("12 PENDING")
"""

SCONTROL = """
import sys
assert sys.argv[1] == "requeue"
(state / f"requeued-{sys.argv[2]}").touch()
"""


def install(folder: Path) -> Path:
    """Write the programs into a folder; return the folder of their state."""
    state = folder / "state"
    state.mkdir(parents=True)
    programs = {"sbatch": SBATCH, "element": ELEMENT, "squeue": SQUEUE, "scontrol": SCONTROL}
    for name, code in programs.items():
        head = f"#!{sys.executable}\nimport os\nfrom pathlib import Path\n"
        places = f"programs = Path({str(folder)!r})\nstate = programs / 'state'\n"
        path = folder / name
        path.write_text(head + places + code)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return state


def path_with(folder: Path) -> str:
    """`$PATH` with the programs first."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def end(state: Path) -> None:
    """End the elements that are still there, for example after a failed test."""
    for file in state.glob("group-*"):
        with suppress(OSError, ValueError):
            os.killpg(int(file.read_text()), signal.SIGKILL)
