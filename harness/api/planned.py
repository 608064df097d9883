"""Planned work: stored and new jobs of a suite, with reasons and an estimate of the time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.api.shown import Shown
from harness.cli.display.progress import duration
from harness.errors import DataError
from harness.plan.estimate import estimate_chain
from harness.plan.explain import Reasons
from harness.plan.jobs import Chain, StatisticJob
from harness.plan.missing import is_impossible, statistic_failure, training_failure
from harness.plan.plan import Plan
from harness.store.failures import Failure
from harness.store.records import Store
from harness.text import columns_text, counted, listed, one_line


class PlannedWork(Shown):
    """The jobs and cells of a suite: stored, new, or not applicable; and an estimate of the time.

    Arguments:
        plan: Plan of the suite.
        store: Store with earlier results.
        why: Whether each new job has its reason.
        workers: Number of tasks at a time, for the estimate.
    """

    def __init__(self, plan: Plan, store: Store, why: bool, workers: int) -> None:
        self._found = _describe(plan, store, why, workers)
        self._why = why

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-like values, as printed by `bench plan --json`."""
        return self._found

    def __str__(self) -> str:
        """Return the text printed by `bench plan`."""
        return "\n".join(_lines(self._found, self._why)) + "\n"


def _describe(plan: Plan, store: Store, why: bool, workers: int) -> dict[str, Any]:
    reasons = Reasons(plan, store) if why else None
    chains = [
        {
            "chain": str(chain.id),
            "unit": chain.unit,
            "train_key": plan.train_key(chain.id),
            "jobs": _jobs(plan, store, chain, reasons),
        }
        for chain in plan.chains.values()
    ]
    estimates = [estimate_chain(plan, store, chain) for chain in plan.chains.values()]
    return {
        "suite": plan.suite,
        "set": list(plan.changes),
        "chains": chains,
        "saved": _saved(plan),
        "cells": _count_cells(plan, store),
        "missing_data": plan.missing,
        "unusable_data": plan.unusable,
        "missing_revisions": plan.absent_revisions(),
        "impossible": _impossible(plan),
        "estimate": {
            "seconds": sum(estimate.seconds for estimate in estimates) / workers,
            "jobs_without_rate": sum(estimate.unknown for estimate in estimates),
        },
    }


def _saved(plan: Plan) -> list[str]:
    """Describe the models that are read and never trained, in a line each."""
    found: dict[str, None] = {}
    for chain in plan.chains.values():
        if (saved := chain.model.saved) is not None:
            here = " on this machine" if saved.table.revisions else ""
            count = counted(len(saved.paths), saved.unit) + here
            found[f"{chain.id.model}: {count} in {saved.source}, read and never trained"] = None
    return list(found)


def _count_cells(plan: Plan, store: Store) -> dict[str, int]:
    """Count all cells, the cells with new jobs, and the cells that the model cannot have."""
    states: dict[StatisticJob, str] = {}
    counts = {"all": len(plan.cells), "new": 0, "unsupported": 0}
    for planned in plan.cells:
        for job in planned.jobs():
            if job not in states:
                states[job] = _state(plan, store, job)
        found = {states[job] for job in planned.jobs()}
        if state := next((state for state in ("unsupported", "new") if state in found), None):
            counts[state] += 1
    return counts


def _state(plan: Plan, store: Store, job: StatisticJob) -> str:
    if plan.keys(store).has_statistic(job):
        return "stored"
    return "unsupported" if is_impossible(statistic_failure(plan, store, job)) else "new"


def _impossible(plan: Plan) -> list[str]:
    """List the requests for more examples than a data set has, without repetition."""
    found: dict[str, None] = {}
    for chain in plan.chains.values():
        for job in chain.jobs:
            try:
                plan.require_examples(job)
            except DataError as error:
                found[str(error)] = None
    return list(found)


def _jobs(plan: Plan, store: Store, chain: Chain, reasons: Reasons | None) -> list[dict[str, Any]]:
    """Describe checkpoints and statistics in a chain; with `reasons`, new jobs get a reason."""
    keys, unit = plan.keys(store), plan.unit(chain.id)
    jobs: list[dict[str, Any]] = []
    for epoch in sorted(chain.epochs):
        stored = keys.has_checkpoint(chain.id, epoch)
        failure = None if stored else training_failure(plan, store, chain.id, epoch)
        saved = chain.model.saved
        text = (
            f"train to epoch {epoch}"
            if saved is None
            else f"read {unit} {epoch} from {saved.place(chain.id.seed, epoch)}"
        )
        jobs.append({**_job(text, stored, failure), "epoch": epoch})
        if reasons is not None and _is_new(jobs[-1]):
            jobs[-1]["why"] = reasons.training(chain.id, epoch)
    for item in chain.jobs:
        stored = keys.has_statistic(item)
        failure = None if stored else statistic_failure(plan, store, item)
        text = f"{item.statistic} of {item.draw.dataset} ({item.draw.role}){item.details()}"
        epoch_text = "" if item.epoch is None else f"{unit} {item.epoch}: "
        jobs.append(_job(epoch_text + text, stored, failure))
        if reasons is not None and _is_new(jobs[-1]):
            jobs[-1]["why"] = reasons.statistic(item)
    return jobs


def _job(name: str, stored: bool, failure: Failure | None) -> dict[str, Any]:
    """Describe a job; `unsupported` is the reason if the model cannot do the job."""
    reason = failure.text if failure is not None and is_impossible(failure) else None
    return {"job": name, "stored": stored, "unsupported": reason}


def _is_stored(job: dict[str, Any]) -> bool:
    return bool(job["stored"])


def _is_new(job: dict[str, Any]) -> bool:
    return not job["stored"] and job["unsupported"] is None


def _row(chain: dict[str, Any]) -> list[Any]:
    """Make the table row for a chain: stored and new epochs, stored and new statistics."""
    checkpoints = [job for job in chain["jobs"] if "epoch" in job]
    statistics = chain["jobs"][len(checkpoints) :]
    shown = [
        listed([job["epoch"] for job in checkpoints if counts(job)], " ") or "-"
        for counts in (_is_stored, _is_new)
    ]
    return [
        chain["chain"],
        *shown,
        sum(map(_is_stored, statistics)),
        sum(map(_is_new, statistics)),
    ]


def _lines(described: dict[str, Any], why: bool) -> Iterator[str]:
    axis = " or ".join(sorted({f"{chain['unit']}s" for chain in described["chains"]}))
    kinds = (axis, "statistics")
    headers = ["training", *(f"{kind} {state}" for kind in kinds for state in ("stored", "new"))]
    yield columns_text(headers, [_row(chain) for chain in described["chains"]]).rstrip("\n")
    yield from map(one_line, described["saved"])
    cells, estimate = described["cells"], described["estimate"]
    impossible = cells["unsupported"]
    lacking = f", {impossible:,} not applicable (n/a)" if impossible else ""
    yield f"\n{cells['all']:,} cells, {cells['new']:,} of them new{lacking}"
    for kind in ("missing_data", "unusable_data", "missing_revisions"):
        yield from map(one_line, described[kind].values())
    for message in described["impossible"]:
        yield one_line(f"cannot be computed: {message}")
    if cells["new"]:
        parts = [f"about {duration(estimate['seconds'])}"] if estimate["seconds"] else []
        if unknown := estimate["jobs_without_rate"]:
            parts.append(f"{unknown:,} jobs of unknown length (bench check SUITE measures them)")
        if parts:
            yield f"estimated time: {', and '.join(parts)}"
    if why:
        yield from _reasons(described)


def _reasons(described: dict[str, Any]) -> Iterator[str]:
    for chain in described["chains"]:
        new = [job for job in chain["jobs"] if _is_new(job)]
        reasons = dict.fromkeys(job["unsupported"] for job in chain["jobs"] if job["unsupported"])
        if new or reasons:
            yield f"\n{chain['chain']}"
        yield from (f"  {job['job']}: {job['why']}" for job in new)
        yield from (f"  n/a: {one_line(reason)}" for reason in reasons)
