"""Workers: what they take, in what order, together with others, and when they are asked to end."""

from __future__ import annotations

import multiprocessing
import shutil
import textwrap
import time
from collections import Counter
from dataclasses import replace

import pytest
import torch

from harness import events
from harness.compute.device import gpus_to_share, machine_kind
from harness.compute.workers import context
from harness.compute.workers.worker import MOST_DEATHS, Worker, pause_after
from harness.errors import Interrupted
from harness.report.tables import provenance_notes
from harness.run.outcome import score_stored
from harness.run.prepare import plan_opened
from harness.settings import Share
from harness.store import claims
from harness.store.claims import claimed
from harness.store.clock import now_at
from harness.suite import load_suite
from tests.places import settings_in
from tests.unit import stored

PLUGIN = '''
import os
import time
from pathlib import Path

import numpy as np
import torch

from oodbench import Entry, hookimpl

FOLDER = Path(os.environ["WAITING"])


@hookimpl
def bench_models():
    return [Entry("waiting", ":Waiting", "waits for others in its training", version="1")]


@hookimpl
def bench_statistics():
    return [Entry("level", ":Level", "one number per example", version="1")]


@hookimpl
def bench_scorers():
    return [Entry("by-level", ":ByLevel", "the level", version="1")]


def wait_for(pattern, count):
    """Wait until other processes have left enough files; fail rather than wait for ever."""
    end = time.monotonic() + 120
    while len(list(FOLDER.glob(pattern))) < count:
        if time.monotonic() > end:
            raise TimeoutError(f"no {count} files {pattern}")
        time.sleep(0.02)


class Waiting(torch.nn.Module):
    def __init__(self, domain, *, name="", together=0, breaks=False, likelihood="exact"):
        super().__init__()
        self.likelihood = likelihood
        self.domain, self.name, self.together, self.breaks = domain, name, together, breaks
        self.level = torch.nn.Parameter(torch.zeros(()))
        self.steps = 0

    def log_prob(self, x):
        return self.level - (x.flatten(1).double() / 255 - self.level.double()).square().sum(1)

    def training_loss(self, x, noise):
        self.steps += 1
        (FOLDER / f"trained-{self.name}-{os.getpid()}").touch()
        if self.breaks:
            raise ValueError("cannot be trained")
        if self.together:
            wait_for("trained-*", self.together)
        elif self.steps > 8:  # of the third epoch: others are to evaluate epochs 0 to 2 meanwhile
            wait_for(f"evaluated-{self.name}-*", 2)
        return -self.log_prob(x).mean()


class Level:
    per = "example"

    def features(self, model):
        return ["level"]

    def __call__(self, model, groups):
        (FOLDER / f"evaluated-{model.name}-{model.level.item()}").touch()
        return groups.double().flatten(1).mean(1, keepdim=True).numpy() + model.level.item()


class ByLevel:
    inputs = ("level",)

    def fit(self, statistics):
        return self

    def score(self, statistics):
        return statistics["level"].mean(axis=(1, 2))
'''
SUITE = """
    plugins.paths = ["waiting.py"]

    [training.brief]
    learning_rate = 1e-2
    minibatch = 64
    examples = 256

    MODELS
    [datasets.digits]
    plugin = "digits"
    [datasets.noise]
    plugin = "noise"
    options = { n_train = 10, n_test = 40 }

    [[comparisons]]
    models = NAMES
    in = "digits"
    out = "noise"
    epochs = EPOCHS
    scorers = ["by-level"]
    n_in = 30
    n_fit = 30
    n_out = 30
"""


def write_suite(folder, monkeypatch, models, epochs):
    """A suite with models of the plugin, by name: their options."""
    monkeypatch.setenv("WAITING", str(folder))
    tables = [
        f'[models.{name}]\nplugin = "waiting"\ntraining = "brief"\noptions = {{ {options} }}\n'
        for name, options in models.items()
    ]
    text = textwrap.dedent(SUITE).replace("MODELS", "\n".join(tables))
    text = text.replace("NAMES", str(list(models))).replace("EPOCHS", str(epochs))
    (folder / "waiting.py").write_text(PLUGIN)
    (folder / "small.toml").write_text(text)


def make_workers(folder, count, began=None):
    """Workers on one plan, as a run makes them."""
    settings = settings_in(folder)
    plan = plan_opened(load_suite(folder / "small.toml"), settings, lambda event: None)
    began = now_at(settings.store) if began is None else began
    return [
        Worker(number, Share(number, count), plan, settings, 1, began) for number in range(count)
    ]


def work(worker, report=lambda event: None, stop=lambda: False):
    worker.plan.look_again()
    worker.work(report, stop, until_done=False)


def work_together(workers, meet=False):
    """Let workers run in processes of their own; return the events of each, with times.

    With `meet`, each waits at its first piece until all have taken one.
    """
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(len(workers)), context.SimpleQueue()

    def run(worker):
        seen = []

        def report(event):
            if meet and not seen and isinstance(event, events.WorkTaken):
                barrier.wait(120)
            seen.append((time.monotonic(), event))

        worker(report)
        queue.put((worker.number, seen))

    processes = [context.Process(target=run, args=(worker,)) for worker in workers]
    for process in processes:
        process.start()
    found = dict(queue.get() for _ in processes)
    for process in processes:
        process.join()
    return [found[worker.number] for worker in workers]


def taken(seen):
    return [event.task for _, event in seen if isinstance(event, events.WorkTaken)]


def test_a_worker_evaluates_what_it_has_trained_before_it_trains_more(tmp_path, monkeypatch):
    models = {name: f'name = "{name}", together = 1' for name in ("a", "b")}
    write_suite(tmp_path, monkeypatch, models, [0, 1])
    seen = []
    first, second = make_workers(tmp_path, 2)
    work(first, lambda event: seen.append((0, event)))
    of = [
        [f"{name} on digits", *(f"{name} on digits, epoch {x}" for x in (0, 1))] for name in "ab"
    ]
    assert taken(seen) == of[0] + of[1]
    finished = [event.job for _, event in seen if isinstance(event, events.JobFinished)]
    assert len(finished) == 2 * (2 + 2 * 7)
    seen.clear()
    work(second, lambda event: seen.append((0, event)))
    assert seen == []  # everything is stored
    again = tmp_path / "again"
    again.mkdir()
    write_suite(again, monkeypatch, models, [0, 1])
    _, second = make_workers(again, 2)
    work(second, lambda event: seen.append((0, event)))
    assert taken(seen) == of[1] + of[0]  # a share is where a worker begins, and not all it does


def test_early_epochs_are_evaluated_while_the_training_goes_on(tmp_path, monkeypatch):
    models = {name: f'name = "{name}"' for name in ("a", "b")}
    write_suite(tmp_path, monkeypatch, models, [0, 1, 2, 6])
    found = [event for seen in work_together(make_workers(tmp_path, 4)) for event in seen]
    trained = {
        event.model: moment
        for moment, event in found
        if isinstance(event, events.EpochFinished) and event.epoch == 6
    }
    early = {
        event.task
        for moment, event in found
        if isinstance(event, events.StepStarted)
        and event.step.startswith("level of")
        and moment < trained[event.task[0]]
    }
    for name in ("a", "b"):  # in a worker that has not trained the model
        assert len({task for task in early if task.startswith(f"{name} on digits, epoch")}) >= 2
    assert {row["status"] for row in stored.results(tmp_path)} == {"ok"}


def test_as_many_workers_as_trainings_do_one_each(tmp_path, monkeypatch):
    models = {f"m{number}": f'name = "m{number}", together = 8' for number in range(8)}
    write_suite(tmp_path, monkeypatch, models, [1])
    found = work_together(make_workers(tmp_path, 8))  # none trains on before all eight train
    trainings = [[task for task in taken(seen) if "," not in task] for seen in found]
    assert [len(tasks) for tasks in trainings] == [1] * 8
    assert len({task for (task,) in trainings}) == 8
    jobs = Counter(
        event.job for seen in found for _, event in seen if isinstance(event, events.JobFinished)
    )
    jobs["epoch 1"] //= 8  # checkpoints are named alike in all chains
    assert len(jobs) == 1 + 8 * 7
    assert max(jobs.values()) == 1


class NoLock:
    """What a faulty file system makes of a lock: everybody gets it."""

    def release(self):
        """Nothing is held."""


def test_with_a_lock_that_does_nothing_work_is_done_twice_with_the_same_results(
    made, tmp_path, monkeypatch
):
    stored.copy(made, tmp_path)
    for kind in ("checkpoints", "statistics"):
        (tmp_path / "store" / kind).rename(tmp_path / kind)
    monkeypatch.setattr(claims, "try_lock", lambda root, name: NoLock())
    found = work_together(make_workers(tmp_path, 2), meet=True)
    epochs = Counter(
        event.epoch
        for seen in found
        for _, event in seen
        if isinstance(event, events.EpochFinished)
    )
    assert epochs[1] == 2  # both have begun the only training
    assert stored.results(tmp_path) == stored.results(made)
    assert not list((tmp_path / "store/tmp").iterdir())


def test_a_worker_that_is_asked_to_end_stores_its_progress_at_once(made, tmp_path):
    (tmp_path / "small.toml").write_text((made / "small.toml").read_text())
    seen = []

    def stop():
        return any(isinstance(event, events.EpochFinished) for event in seen)

    (worker,) = make_workers(tmp_path, 1)
    with pytest.raises(Interrupted):
        work(worker, seen.append, stop)
    (state,) = (tmp_path / "store/rolling").glob("*/step-*")
    assert state.name == "step-000000004"  # the first epoch, which is asked for by no comparison
    assert not list((tmp_path / "store/locks").glob("*.begun"))
    seen.clear()
    work(worker, seen.append)
    assert [event.epoch for event in seen if isinstance(event, events.EpochFinished)] == [2]
    assert stored.results(tmp_path) == stored.results(made)


def test_the_loss_of_an_unnormalised_model_is_in_no_bits(tmp_path, monkeypatch):
    models = {kind: f'likelihood="{kind}"' for kind in ("lower_bound", "unnormalized")}
    write_suite(tmp_path, monkeypatch, models, [0, 1])
    (seen,) = work_together(make_workers(tmp_path, 1))
    units = {event.model: event.unit for _, event in seen if hasattr(event, "train_bits_per_dim")}
    assert units == {"lower_bound": "bits/dim", "unnormalized": "training loss"}


def test_a_worker_that_is_asked_to_end_leaves_an_evaluation(made, tmp_path):
    stored.copy(made, tmp_path)
    (tmp_path / "store/statistics").rename(tmp_path / "statistics")
    seen = []
    (worker,) = make_workers(tmp_path, 1)
    with pytest.raises(Interrupted):
        work(worker, seen.append, lambda: any(isinstance(x, events.StepStarted) for x in seen))
    assert not any(isinstance(event, events.JobFinished) for event in seen)
    work(worker)
    assert stored.results(tmp_path) == stored.results(made)


def test_a_pause_is_ten_times_the_look_but_between_half_a_second_and_a_minute():
    assert [pause_after(look) for look in (0.0, 0.04, 2.0, 100.0)] == [0.5, 0.5, 20.0, 60.0]


def test_what_failed_is_tried_once_per_run(tmp_path, monkeypatch):
    write_suite(tmp_path, monkeypatch, {"a": 'name = "a", breaks = true'}, [1])
    first, second = make_workers(tmp_path, 2)
    seen = []
    for worker in (first, second):
        work(worker, seen.append)
    (failed,) = [event for event in seen if isinstance(event, events.JobFailed)]
    assert failed.message == "ValueError: cannot be trained"
    time.sleep(0.02)  # longer than the step of a file system's clock
    (later,) = make_workers(tmp_path, 1)
    work(later, seen.append)
    assert sum(isinstance(event, events.JobFailed) for event in seen) == 2


def test_a_run_leaves_work_at_which_workers_died(made, tmp_path):
    (tmp_path / "small.toml").write_text((made / "small.toml").read_text())
    (worker,) = make_workers(tmp_path, 1)
    training = worker.plan.train_key(next(iter(worker.plan.chains)))
    for deaths in range(MOST_DEATHS):
        with claimed(tmp_path / "store", training) as claim:
            assert claim.deaths(worker.began) == deaths
        with (tmp_path / "store/locks" / f"{training}.begun").open("ab") as mark:
            mark.write(b".")  # as by a process that was killed before it removed the mark
    seen = []
    work(worker, seen.append)
    (told,) = [event for event in seen if isinstance(event, events.Message)]
    assert told.text == "flow on digits: 2 workers died at it, so this run leaves it"
    assert not any(isinstance(event, events.JobFinished) for event in seen)
    time.sleep(0.02)
    (later,) = make_workers(tmp_path, 1)
    work(later)
    assert stored.results(tmp_path) == stored.results(made)


def test_results_from_machines_of_several_kinds_have_notes(made, tmp_path, monkeypatch):
    stored.copy(made, tmp_path)
    plan, _ = stored.plan_of(tmp_path)

    def notes():
        plan.look_again()
        results = score_stored(plan, settings_in(tmp_path), lambda event: None).results
        return provenance_notes([result for result in results if result.status == "ok"])

    assert not any("several kinds" in note for note in notes())
    (epoch,) = (tmp_path / "store/checkpoints").glob("*/epoch-000002")
    shutil.rmtree(epoch)
    for path in sorted((tmp_path / "store/statistics").iterdir())[::2]:
        shutil.rmtree(path)
    monkeypatch.setattr(context, "machine_kind", lambda device: "NVIDIA A100")
    (worker,) = make_workers(tmp_path, 1)
    work(worker)
    own = machine_kind(torch.device("cpu"))
    trained, evaluated = (note for note in notes() if "several kinds" in note)
    kinds = f"(NVIDIA A100, 1 thread; {own}, 1 thread)"
    assert trained.startswith(f"the models were trained on machines of several kinds {kinds}")
    kinds = f"(NVIDIA A100; {own})"
    assert evaluated.startswith(f"statistics were evaluated on machines of several kinds {kinds}")


@pytest.mark.parametrize(("asked", "used"), [(0, 3), (2, 2)])
def test_a_training_keeps_its_number_of_threads_unless_a_number_is_asked_for(
    tmp_path, monkeypatch, asked, used
):
    monkeypatch.delenv("OMP_NUM_THREADS")
    write_suite(tmp_path, monkeypatch, {"a": 'name = "a", together = 1'}, [1])
    (first,) = make_workers(tmp_path, 1)
    work(replace(first, threads=3))
    write_suite(tmp_path, monkeypatch, {"a": 'name = "a", together = 1'}, [1, 2])
    (second,) = make_workers(tmp_path, 1)
    before = torch.get_num_threads()
    work(replace(second, settings=replace(second.settings, threads=asked), threads=asked or 1))
    assert torch.get_num_threads() == before
    store = stored.store(tmp_path)
    threads = [
        store.manifest("checkpoints", key).facts["threads"] for key in store.keys("checkpoints")
    ]
    assert threads == [3, used]


def test_gpus_are_those_that_the_scheduler_has_assigned(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_to_share("auto") == gpus_to_share("cuda") == ["0", "1", "2"]
    assert gpus_to_share("cpu") == gpus_to_share("cuda:1") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-8f,6")
    assert gpus_to_share("auto") == ["4", "GPU-8f", "6"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpus_to_share("auto") == []
