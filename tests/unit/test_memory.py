"""Memory that was freed stays with a process that asks for it."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

# Pages that the system had to clear for 20 blocks of 64 MiB, written one after the other.
FAULTS = """
import resource
import torch
from harness.memory import keep_freed_memory

{call}
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call):
    command = [sys.executable, "-c", FAULTS.format(call=call)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_used_again():
    assert faults("keep_freed_memory()") < faults("") / 4
