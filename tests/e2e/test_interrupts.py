"""Interrupts: exit status 130 and the command that resumes, however often one is asked to stop."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SLOW = """
import time
from harness.cli.app import app, main

@app.command()
def slow():
    try:
        print("working", flush=True)
        time.sleep(60)
    finally:
        print("cleaning", flush=True)
        time.sleep(CLEANING)

main()
"""


def interrupted(cleaning, *signals):
    """A command that is sent signals, the second while it cleans up after the first."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.replace("CLEANING", str(cleaning)), "slow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for number, line in zip(signals, ("working", "cleaning"), strict=False):
        assert process.stdout.readline().strip() == line
        process.send_signal(number)
    output, errors = process.communicate(timeout=50)
    return process.returncode, output, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cleans_up_and_names_the_command_that_resumes(number):
    status, output, errors = interrupted(0, number)
    assert (status, output) == (130, "cleaning\n")
    assert errors == "\ninterrupted; to resume: bench slow\n"


def test_a_second_interrupt_does_not_wait_for_the_clean_up():
    status, output, errors = interrupted(60, signal.SIGINT, signal.SIGTERM)
    assert (status, output) == (130, "")
    assert errors == "\ninterrupted; to resume: bench slow\n"


IN_A_FINALISER = """
import os, signal
from harness.cli import app as cli

class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass

@cli.app.command()
def slow():
    import time
    Last()
    time.sleep(60)

cli.main()
"""


def test_an_interrupt_within_a_finaliser_is_not_lost():
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FINALISER, "slow"], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "\ninterrupted; to resume: bench slow\n"


SWALLOWED = """
import gc, os, signal, time, weakref
from harness.cli import app as cli

def strike(*ignored):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass

def by_a_handler():
    try:
        strike()
    except BaseException:
        pass

def by_a_callback():
    class Thing: pass
    thing = Thing()
    kept = weakref.ref(thing, strike)
    del thing

def by_the_compiler():
    os.kill = lambda *_: None
    signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    compile("2**31 - 1\\n" * 20_000, "source", "exec")

def by_another_error():
    try:
        strike()
    except BaseException:
        raise ImportError("no such module") from None

@cli.app.command()
def slow():
    HOW()
    time.sleep(60)

cli.main()
"""


@pytest.mark.parametrize(
    "how", ["by_a_handler", "by_a_callback", "by_the_compiler", "by_another_error"]
)
def test_an_interrupt_that_is_swallowed_is_heard_all_the_same(how):
    code = SWALLOWED.replace("HOW", how)
    done = subprocess.run(
        [sys.executable, "-c", code, "slow"], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "\ninterrupted; to resume: bench slow\n"


FINISHED = """
import os, signal
from harness.cli import app as cli

@cli.app.command()
def quick():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        pass

cli.main()
"""


def test_an_interrupt_that_is_swallowed_just_before_the_end():
    done = subprocess.run(
        [sys.executable, "-c", FINISHED, "quick"], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 130
    assert done.stderr == "\ninterrupted; to resume: bench quick\n"
