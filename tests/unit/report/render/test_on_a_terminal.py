"""`bench report` and the live view on real pseudo-terminals."""

from __future__ import annotations

import io
import os
import re
import signal
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.report.render.formats import render
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.suite import load_suite
from tests.places import settings_in
from tests.terminals import on_terminal, resize

BENCH = [sys.executable, "-m", "oodbench"]
STYLES = re.compile(r"\x1b\[[0-9;]*m")


def report_of(made):
    return [*BENCH, "report", "small.toml", "--store", "store", "--data", "data"]


def expected(made, width):
    """What a console of that width is given, made in this process."""
    suite = load_suite(made / "small.toml")
    settings = settings_in(made)
    results = score_stored(plan_unopened(suite, settings), settings, lambda event: None).results
    options = {"force_terminal": True, "color_system": None} if width else {}
    console = Console(file=io.StringIO(), width=width, **options)
    return render(results, suite="small", title="Tiny", format="table", console=console)


@pytest.mark.parametrize("width", [40, 80])
def test_a_report_is_as_wide_as_its_terminal(made, width):
    status, shown = on_terminal(report_of(made), width, cwd=made)
    assert status == 0, shown
    plain = "".join(f"{line.rstrip()}\n" for line in STYLES.sub("", shown).splitlines())
    assert plain == expected(made, width)
    assert "\x1b[1m" in shown
    assert max(cell_len(line) for line in STYLES.sub("", shown).splitlines()) <= width
    assert plain != expected(made, None)


def test_a_dumb_terminal_gets_no_escape_sequence(made):
    status, shown = on_terminal(report_of(made), 40, cwd=made, TERM="dumb")
    assert status == 0
    assert "\x1b" not in shown


LIVE = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was ignored at the start
from harness import events
from harness.cli.display.displays import Guarded, make_display
from tests.unit.cli.display.test_live import at_work, begun

display = make_display("auto")
with display:
    show = Guarded(display, sys.stdout.write)
    display.progress = at_work()[0]
    display.progress.clock = display.clock = lambda: 6000.0
    show(events.Message("first [red] message"))
    time.sleep(1.2)
    AT
    time.sleep(60)
"""


def live(at="", width=80, height=24, **options):
    command = [sys.executable, "-c", LIVE.replace("AT", at)]
    return on_terminal(command, width, height, cwd=os.getcwd(), **options)


def test_an_interrupt_shows_the_cursor_and_takes_the_view_away():
    sent = []

    def interrupt(process, terminal, shown):
        if shown.count(b"gradient-gaussian") >= 3 and not sent:
            sent.append(True)
            process.send_signal(signal.SIGINT)

    status, shown = live(while_open=interrupt)
    assert status != 0
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "first [red] message" in shown
    assert "glow-1 on cifar10 · b = 5 · epoch 0" in shown
    assert shown.rindex("\x1b[2K") > shown.rindex("gradient-gaussian")  # its lines are erased
    assert "KeyboardInterrupt" in shown


def test_a_view_that_cannot_be_drawn_and_a_display_that_fails_stop_nothing():
    _, shown = live(
        "display.progress.steps = None; time.sleep(1); print('drawn no more'); "
        "display.progress.follow = None; show(events.Message('x')); "
        "show(events.Message('y')); print('alive'); sys.exit()"
    )
    before, failed, after = shown.partition("the display failed and is off:")
    assert failed
    assert "Traceback" not in before  # where it cannot be drawn
    assert "drawn no more" in before
    assert "the display failed" not in after  # it is asked once
    assert "alive" in after


def test_a_narrower_terminal_is_drawn_for_anew():
    done = []

    def narrow(process, terminal, shown):
        if b"gradient-gaussian" in shown and not done:
            done.append(len(shown))
            resize(terminal, 40, 20)

    _, shown = live("sys.exit()", while_open=narrow)
    assert "glow-1 on cifar10 · b = 1 · epoch 0 · 2…" in shown
    # what was wider has become more lines, all of which are erased, not only the 20 drawn at first
    erased = re.findall(r"(?:\x1b\[1A\x1b\[2K)+", shown)
    drawn = shown.partition("\x1b[1A")[0].count("\n") - 1
    assert max(map(len, erased)) / 8 > drawn + 5


def test_a_dumb_terminal_gets_plain_lines():
    code = (
        "from harness.cli.display.displays import PlainDisplay, make_display\n"
        "print(isinstance(make_display('auto'), PlainDisplay))\n"
    )
    assert on_terminal([sys.executable, "-c", code], 80, TERM="dumb") == (0, "True\n")
    assert on_terminal([sys.executable, "-c", code], 80) == (0, "False\n")
