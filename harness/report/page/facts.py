"""Facts about a run: models, data sets, plugins, versions, notes, and missing results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.plan.plan import Plan
from harness.report.tables import failures, provenance_notes
from harness.results import STATUS_WORDS, Result
from harness.store.layout import DATASETS
from harness.store.records import Store
from harness.suite import Component, ModelComponent, ResolvedSuite
from harness.text import one_line, short


@dataclass(frozen=True)
class Facts:
    """Text for the first sections on the page.

    Attributes:
        models: Name, plugin, options and recipe for each model.
        datasets: Name, plugin, options, description and availability for each data set.
        parts: Kind, name, plugin and options for each statistic and scorer.
        versions: Distinct sets of package versions used for computing statistics.
        notes: Remarks about the numbers that a reader must know.
        reasons: Status, word for the status, count and message for cells without a number.
    """

    models: list[dict[str, str]]
    datasets: list[dict[str, str]]
    parts: list[dict[str, str]]
    versions: list[str]
    notes: list[str]
    reasons: list[dict[str, Any]]


def gather(suite: ResolvedSuite, plan: Plan, results: Sequence[Result], pending: int) -> Facts:
    """Gather all facts from the plan and from result provenance."""
    return Facts(
        models=_models(plan),
        datasets=[_dataset(suite.datasets[name], plan) for name in plan.needed_datasets()],
        parts=_parts(plan),
        versions=_versions(results),
        notes=[one_line(note) for note in provenance_notes(results)],
        reasons=_reasons(results, pending),
    )


def _described(component: Component) -> dict[str, str]:
    """Describe a component by name, plugin and options."""
    source = component.registered.provenance()
    plugin = (
        f"{source['plugin']}, version {source['version']} "
        f"({source['distribution']} {source['distribution_version']})"
    )
    return {
        "name": one_line(component.name),
        "plugin": one_line(plugin),
        "options": _options(component.options),
    }


def _options(options: Mapping[str, Any]) -> str:
    return one_line(", ".join(f"{name} = {short(value)}" for name, value in options.items()))


def _models(plan: Plan) -> list[dict[str, str]]:
    models = {chain.model.name: chain.model for chain in plan.chains.values()}
    return [{**_described(model), "recipe": _recipe(model)} for model in models.values()]


def _recipe(model: ModelComponent) -> str:
    """Format every training setting, or where saved epochs are from."""
    if model.saved is not None:
        place = f", trained on {model.dataset}" if model.dataset else ""
        return one_line(f"not trained here: {model.saved.unit}s in {model.saved.source}{place}")
    settings = {**model.recipe.model_dump(), "dataset": model.dataset}
    return _options({key: value for key, value in settings.items() if value is not None})


def _dataset(component: Component, plan: Plan) -> dict[str, str]:
    name = component.name
    prepared = plan.prepared.get(name)
    if prepared is None:
        why = plan.missing.get(name) or plan.unusable.get(name) or "not opened yet"
        state, about = f"missing: {why}", ""
    else:
        counts = ", ".join(f"{count:,} {split}" for split, count in prepared.counts.items())
        about = f"{prepared.domain}; {counts}"
        path = Store(prepared.root).path(DATASETS, prepared.key)
        state = (
            "here"
            if (path / "test.npy").is_file()
            else f"{prepared.domain.example}s not on this machine"
        )
    return {
        **_described(component),
        "about": about,
        "state": one_line(state),
        "fingerprint": prepared.fingerprints["test"][:12] if prepared else "",
    }


def _parts(plan: Plan) -> list[dict[str, str]]:
    """Describe each statistic and scorer once."""
    parts: dict[tuple[str, str], Component] = {}
    for chain in plan.chains.values():
        for component in chain.jobs.values():
            parts.setdefault(("statistic", component.name), component)
    for planned in plan.cells:
        parts.setdefault(("scorer", planned.scorer.name), planned.scorer)
    return [{"kind": kind, **_described(part)} for (kind, _), part in parts.items()]


def _versions(results: Sequence[Result]) -> list[str]:
    found: dict[str, None] = {}
    for result in results:
        for origin in result.provenance.get("statistics", {}).values():
            versions = origin.get("versions", {})
            found[one_line(", ".join(f"{name} {v}" for name, v in versions.items()))] = None
    return [text for text in found if text]


def _reasons(results: Sequence[Result], pending: int) -> list[dict[str, Any]]:
    found = [
        {
            "status": failure.status,
            "word": STATUS_WORDS[failure.status],
            "message": one_line(failure.message),
            "count": failure.count,
        }
        for failure in failures(results)
    ]
    waiting = {
        "status": "pending",
        "word": "pending",
        "message": "not computed yet",
        "count": pending,
    }
    return [*found, waiting] if pending else found
