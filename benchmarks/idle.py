"""A plugin whose model and statistic compute next to nothing, but may sleep: work of fixed length.

`scheduling.py` uses the plugin to measure what `bench` adds to the work of plugins.
"""

from __future__ import annotations

import time

import torch

from oodbench import Entry, hookimpl


@hookimpl
def bench_models():
    return [Entry("idle", ":Idle", "sleeps in its training", version="1")]


@hookimpl
def bench_statistics():
    return [Entry("level", ":Level", "the mean of the values, after a sleep", version="1")]


@hookimpl
def bench_scorers():
    return [Entry("by-level", ":ByLevel", "the level", version="1")]


class Idle(torch.nn.Module):
    """One parameter; a training step sleeps. `number` makes the trainings of a suite differ."""

    likelihood = "exact"

    def __init__(self, domain, *, number=0, seconds_per_step=0.0):
        super().__init__()
        self.domain, self.seconds = domain, seconds_per_step
        self.level = torch.nn.Parameter(torch.zeros(()))

    def log_prob(self, x):
        return -(x.flatten(1).double() / 255 - self.level.double()).square().sum(1)

    def training_loss(self, x, noise):
        time.sleep(self.seconds)
        return -self.log_prob(x).mean()


class Level:
    """The mean of each example; each call sleeps."""

    per = "example"

    def __init__(self, *, seconds=0.0):
        self.seconds = seconds

    def features(self, model):
        return ["level"]

    def __call__(self, model, groups):
        time.sleep(self.seconds)
        return groups.double().flatten(1).mean(1, keepdim=True).numpy() + model.level.item()


class ByLevel:
    """The level itself."""

    inputs = ("level",)

    def fit(self, statistics):
        return self

    def score(self, statistics):
        return statistics["level"].mean(axis=(1, 2))
