"""Memory that was freed stays with a process that asks for it."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

# Pages that the system had to clear for blocks of 40 MiB, written one after the other. The first
# may find no room where one was freed, if something small has been put there since.
FAULTS = """
import resource
import torch
from harness.compute.device import keep_freed_memory

{call}
torch.set_num_threads(1)
for count in (20, 40):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        torch.ones(10 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call):
    command = [sys.executable, "-c", FAULTS.format(call=call)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_used_again():
    assert faults("keep_freed_memory()") < faults("") / 2
