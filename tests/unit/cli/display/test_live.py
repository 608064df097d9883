"""The live view at several sizes, whole, and what must hold at any size."""

from __future__ import annotations

import itertools

import pytest
from rich.cells import cell_len

from harness import events
from harness.cli.display.live import view
from harness.cli.display.progress import Progress
from harness.events import CellKnown
from tests.unit.report.render.snapshots import assert_snapshot

OUTS = ["svhn", "<script>alert(1)</script>", "[red]a|b", "画像-of-many-levels", "flipped", "noise"]
SCORERS = ["log-likelihood", "50%_x", "gradient-gaussian\x1b[31m"]


class Clock:
    now = 5000.0

    def __call__(self):
        return self.now


def begun(tables=2):
    """A run of two models, announced and not begun."""
    clock = Clock()
    progress = Progress(clock)
    axes = {"epochs": [0, 4, 16], "unit": "epoch", "seeds": [0, 1]}
    shape = {"out": OUTS, "scorers": SCORERS, **axes}
    progress.follow(
        events.RunStarted(
            "story: [bold]it[/bold]",
            40,
            tables * 2 * 108,
            tables=[
                {"model": model, "in": "cifar10", "group_size": size, **shape}
                for model in ["glow", *(f"glow-{i}" for i in range(1, tables))]
                for size in (1, 5)
            ],
        )
    )
    return progress, clock


def at_work(tables=2, tasks=3):
    """The same after ten jobs in two minutes."""
    progress, clock = begun(tables)
    for number in range(10):
        progress.follow(events.JobFinished("glow on cifar10", f"epoch {number}"))
    progress.follow(events.JobFailed("glow-1 on cifar10", "glow-1 on cifar10", "no luck"))
    for number in range(tasks):
        task = f"glow-{number} on cifar10 (seed {number})"
        progress.follow(events.StepStarted(task, "training to epoch 16", 50_000, "examples"))
        clock.now += 60 / tasks
        progress.follow(events.StepAdvanced(task, 12_500 * number))
    first = "glow-0 on cifar10 (seed 0)"
    progress.follow(events.EpochFinished(first, "glow-0", "cifar10", 0, 3, 3.4567, 9.0))
    clock.now += 60
    places = itertools.product(["glow", "glow-1"], (1, 5), (0, 1), SCORERS[:2], OUTS[:5], (0, 4))
    for number, (model, size, seed, scorer, out, epoch) in enumerate(places):
        if model == "glow" or epoch == 0:
            auroc = 0.3 + number / 400
            known = CellKnown(model, "cifar10", out, scorer, epoch, size, seed, auroc)
            progress.follow(known)
    return progress, clock


def shown(progress, clock, width, height):
    return [line.plain for line in view(progress, width, height, clock())]


@pytest.mark.parametrize(("width", "height"), [(40, 20), (80, 24), (100, 30), (200, 50)])
def test_the_view(width, height):
    lines = shown(*at_work(), width, height)
    assert_snapshot(f"live-{width}x{height}", "".join(f"{line.rstrip()}\n" for line in lines))


def test_no_line_is_wider_and_no_view_higher_than_the_terminal():
    stories = [at_work(), at_work(tables=30, tasks=40), begun(), (Progress(Clock()), Clock())]
    for progress, clock in stories:
        for width, height in itertools.product((1, 7, 20, 33, 40, 79, 80, 131), (1, 3, 5, 12, 50)):
            lines = shown(progress, clock, width, height)
            assert len(lines) <= max(height - 1, 1)
            assert max(map(cell_len, lines), default=0) <= width
            assert all(line.isprintable() for line in lines)


def test_numbers_are_there_in_full_or_not_at_all():
    progress, clock = at_work()
    whole = {
        f"{block.auroc(*place):.3f}" for block in progress.blocks.values() for place in block.sums
    }
    for width in range(20, 120):
        for line in shown(progress, clock, width, 60)[6:]:
            words = [word for word in line.split() if word[:2] in ("0.", "1.")]
            assert set(words) <= whole


def test_the_mean_over_the_seeds_is_shown_and_what_is_not_known_is_a_dot():
    progress, clock = begun(tables=1)
    progress.follow(CellKnown("glow", "cifar10", "svhn", "50%_x", 4, 1, 0, 0.25))
    progress.follow(CellKnown("glow", "cifar10", "svhn", "50%_x", 4, 1, 1, 0.5))
    progress.follow(CellKnown("glow", "cifar10", "svhn", "50%_x", 0, 1, 1, 0.9))
    lines = shown(progress, clock, 120, 24)
    assert "glow on cifar10 · b = 1 · epoch 4 · 3/108 cells" in lines
    row = next(line for line in lines if line.startswith("50%_x"))
    assert row.split() == ["50%_x", "0.375", *"·····"]
    assert "b = 5" not in "".join(lines)  # nothing is known of it


def test_the_latest_to_change_are_shown_where_there_is_no_room_for_all():
    progress, clock = begun(tables=6)
    for model in ("glow", "glow-1", "glow-2", "glow-3", "glow-1"):
        progress.follow(CellKnown(model, "cifar10", "svhn", "50%_x", 4, 1, 0, 0.25))
    lines = shown(progress, clock, 80, 3 + 2 * 6)
    titles = [line for line in lines if " on cifar10" in line]
    assert [title.split()[0] for title in titles] == ["glow-1", "glow-3"]  # as in the suite


def test_a_title_names_the_unit_of_the_axis():
    progress, clock = begun(tables=1)
    next(iter(progress.blocks.values())).unit = "step"
    progress.follow(CellKnown("glow", "cifar10", "svhn", "50%_x", 500, 1, 0, 0.25))
    (title,) = [line for line in shown(progress, clock, 80, 24) if " on cifar10" in line]
    assert title.rstrip() == "glow on cifar10 · b = 1 · step 500 · 1/108 cells"


def test_time_left_is_that_of_the_jobs_done_and_not_told_before_a_tenth_is():
    progress, clock = begun()
    clock.now += 30
    assert shown(progress, clock, 80, 24)[1] == "0/40 jobs · 0:00:30 gone · 0/432 cells"
    for number in range(3):
        progress.follow(events.JobFinished("t", str(number)))
    assert shown(progress, clock, 80, 24)[1] == "3/40 jobs · 0:00:30 gone · 0/432 cells"
    for number in range(7):
        progress.follow(events.JobFinished("t", str(number)))
    assert shown(progress, clock, 80, 24)[1] == "10/40 jobs · ~0:01:30 left · 0/432 cells"
    for number in range(50):  # damage that was found is computed again
        progress.follow(events.JobFinished("t", str(number)))
    assert shown(progress, clock, 80, 24)[1] == "40/40 jobs · ~0.0 s left · 0/432 cells"


def test_steps_beyond_the_room_are_counted():
    lines = shown(*at_work(tasks=40), 80, 12)
    assert lines[:2] == shown(*at_work(tasks=40), 80, 12)[:2]
    (more,) = [line for line in lines if line.endswith("more tasks")]
    assert more == f"and {40 - (lines.index(more) - 2)} more tasks"


def test_an_event_of_an_unknown_task_or_table_is_no_mistake():
    progress, clock = begun()
    progress.follow(events.StepAdvanced("nobody", 3))
    progress.follow(events.StepFinished("nobody"))
    progress.follow(CellKnown("other", "cifar10", "svhn", "50%_x", 4, 1, 0, 0.25))
    assert "1/432 cells" in shown(progress, clock, 80, 24)[1]
