"""Workers on a made-up suite whose trainings wait for one another, for tests of workers."""

from __future__ import annotations

import multiprocessing
import textwrap
import time

from harness import events
from harness.compute.workers.worker import Worker
from harness.run.prepare import plan_opened
from harness.settings import Share
from harness.store.clock import now_at
from harness.suite import load_suite
from tests.places import settings_in

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
