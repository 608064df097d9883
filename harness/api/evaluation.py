"""Evaluation of models, images and functions in memory, as in a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.api.results import Results
from harness.api.suites import Place, compute, settings_of
from harness.data.contents import distinct
from harness.data.questions import count_shared
from harness.data.roles import Draw
from harness.errors import BenchError, DataError, MissingDataError
from harness.plan.plan import Plan
from harness.registry.registered import ObjectEntry, object_entry
from harness.run.prepare import missing_data_message, plan_opened
from harness.settings import BATCH_SIZE, Settings, data_folder, share_processors
from harness.suite import ModelComponent, ResolvedSuite, build_suite
from harness.text import counted

if TYPE_CHECKING:
    from harness.cli.display.displays import DisplayKind

IN_MEMORY = "in memory: "
"""Beginning of the names that objects have as plugins; tables have the names of the user."""


def evaluate(
    models: Mapping[str, Any],
    id: Any,
    ood: Any,
    scorers: Sequence[str] | Mapping[str, Mapping[str, Any]],
    group_sizes: Sequence[int] = (1,),
    *,
    protocol: Mapping[str, Any] = MappingProxyType({}),
    name: str = "evaluate",
    plugins: Sequence[str] = (),
    store: Place = None,
    data: Place = None,
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    threads: int = 0,
    display: DisplayKind = "auto",
) -> Results:
    """Score models in memory; nothing is trained, and no file describes the models.

    Statistics are stored by content: the state of a module, the code of its classes, and the
    log-probabilities of a few ID examples. The same objects find them again, under any name.

    Arguments:
        models: By name, a module with `log_prob` (see `DensityModel`; `domain` and `likelihood`
            are optional), or a function x -> log p in nats of uint8 images. Modules are copied.
        id: The ID set: uint8 images, (N, channels, height, width), as an array, a tensor, a .npy
            file or a DataLoader that does not shuffle; a pair (train, test) of these; a `Dataset`;
            the name of a data set; a table of a suite; or any of them in a mapping with a name.
            Images without a split are test examples: scorers are fitted to a part of them.
        ood: The OOD sets: a mapping of names to such values, or names of data sets.
        scorers: Names of scorers, or tables of a suite by name.
        group_sizes: Numbers of examples to judge together.
        protocol: Numbers of examples, with the keys of the table `protocol` of a suite.
        name: Name of the folder for the results in the store.
        plugins: Plugin files or modules, or `no:NAME`, as after `-p`.
        store: Store; `$BENCH_STORE`, else `bench-store`, by default.
        data: Data folder, which images are copied to; `$BENCH_DATA`, else the user's, by default.
        device: `"cpu"`, `"cuda"` ...; `"auto"` takes a GPU if available.
        batch_size: Examples evaluated at once; changes rounding only.
        threads: Threads; 0 chooses.
        display: How progress is shown, on stderr.

    Returns:
        Results at epoch 0, which say that a suite alone cannot reproduce them.

    Raises:
        SuiteError: A name or value is unknown or of the wrong kind.
        DataError: Images are not uint8 or have another shape, examples are too few, or most
            scored ID examples are also fit or train examples.
        MissingDataError: A data set is missing.
        BenchError: A model fails for the images.

    Example:
        >>> import numpy as np
        >>> import oodbench
        >>> dark, bright = (np.random.default_rng(0).integers(a, a + 99, (40, 1, 4, 4), np.uint8)
        ...                 for a in (0, 150))
        >>> results = oodbench.evaluate(
        ...     models={"dark": lambda x: -x.double().flatten(1).mean(1)},
        ...     id=dark, ood={"bright": bright}, scorers=["log-likelihood"], display="none")
        >>> results.to_dicts()[0]["auroc"]
        1.0
    """
    settings = settings_of(
        store, data, device=device, batch_size=batch_size, workers=1, threads=threads
    )
    with TemporaryDirectory() as folder, data_folder(settings.data):
        objects = _Objects(Path(folder))
        (in_dataset,) = objects.datasets(_id_set(id))
        tables = {
            "scorers": dict(scorers) if isinstance(scorers, Mapping) else {},
            "protocol": dict(protocol),
        }
        comparison = {
            "models": objects.models(models),
            "in": in_dataset,
            "out": objects.datasets(_ood_sets(ood)),
            "epochs": 0,
            "group_sizes": group_sizes,
            "scorers": scorers if isinstance(scorers, str) else list(scorers),
        }
        suite = build_suite(
            {**objects.tables, **tables, "comparisons": [comparison]},
            name,
            plugins,
            objects.entries,
        )
        suite = _by_content(suite, objects.modules, settings)
        outcome = compute(suite, settings, display)
    return Results(suite, outcome, settings)


class _Objects:
    """Objects in memory, with tables of a suite that name them.

    Arguments:
        folder: Folder for files with the weights.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tables: dict[str, dict[str, Any]] = {"models": {}, "datasets": {}}
        self.entries: list[ObjectEntry] = []
        self.modules: dict[str, Any] = {}

    def models(self, given: Mapping[str, Any]) -> list[str]:
        """Add models; return their names."""
        from harness.compute.memory.models import as_model, builder, model_form, weights

        if not isinstance(given, Mapping):
            raise BenchError(
                "models: expected a mapping of names to modules or functions, such as "
                f"{{'mine': module}}, not {type(given).__name__}"
            )
        for number, (name, item) in enumerate(given.items()):
            module, plugin = as_model(name, item), IN_MEMORY + name
            content, precision = weights(name, module)
            path = self._folder / f"{number}.safetensors"
            path.write_bytes(content)
            saved = {"epochs": {"0": str(path)}, "precision": precision}
            self.tables["models"][name] = {"plugin": plugin, "checkpoints": saved}
            target = builder(name, module)
            self.entries.append(object_entry("models", plugin, model_form(module), "", target))
            self.modules[name] = module
        return list(given)

    def datasets(self, given: Mapping[str, Any]) -> list[str]:
        """Add data sets; return their names."""
        from harness.compute.memory.images import dataset_entry

        for name, item in given.items():
            plugin = IN_MEMORY + name
            if isinstance(item, Mapping):
                self.tables["datasets"][name] = dict(item)
            elif not _is_name(item):
                self.tables["datasets"][name] = {"plugin": plugin}
                self.entries.append(dataset_entry(name, plugin, item))
            elif item != name:
                self.tables["datasets"][name] = {"plugin": item}
        return list(given)


def _is_name(given: Any) -> bool:
    """Tell the name of a data set from that of a file and from images."""
    return isinstance(given, str) and not given.endswith(".npy")


def _id_set(given: Any) -> Mapping[str, Any]:
    """Return the ID set by name."""
    if isinstance(given, Mapping) and "plugin" not in given:
        if len(given) != 1:
            raise BenchError(f"id: expected one ID set, not {len(given)}")
        return given
    return {given if _is_name(given) else "id": given}


def _ood_sets(given: Any) -> Mapping[str, Any]:
    """Return the OOD sets by name."""
    if isinstance(given, Mapping):
        return given
    names = [given] if isinstance(given, str) else given
    if isinstance(names, list | tuple) and all(map(_is_name, names)):
        return {name: name for name in names}
    raise BenchError("ood: expected a mapping of names to images, or names of data sets")


def _by_content(
    suite: ResolvedSuite, modules: Mapping[str, Any], settings: Settings
) -> ResolvedSuite:
    """Open the data sets, check the examples, and complete the keys of the models.

    Raises:
        DataError: A data set is unusable, examples are too few, or scored ones were seen.
        MissingDataError: A data set is missing.
        BenchError: A model fails for the images.
    """
    from harness.compute.device import find_device, thread_count
    from harness.compute.memory.models import PROBED, model_content

    plan = plan_opened(suite, settings, lambda event: None)
    if plan.missing:
        raise MissingDataError(missing_data_message(plan))
    if plan.unusable:
        raise DataError("\n".join(plan.unusable.values()))
    for chain in plan.chains.values():
        for job in chain.jobs:
            plan.require_examples(job)
    _require_unseen(plan, suite)
    (in_dataset,) = suite.suite.comparisons[0].in_datasets
    prepared = plan.prepared[in_dataset]
    examples = prepared.load("test")[:PROBED]
    device, threads = find_device(settings.device), share_processors(settings, 1)[1]

    def keyed(component: ModelComponent) -> ModelComponent:
        name, module, old = component.name, modules[component.name], component.registered
        with thread_count(threads):
            content = model_content(
                name, module, prepared.domain, examples, device, component.recipe.precision
            )
        entry = object_entry("models", old.entry.name, old.entry.summary, content, old.load())
        return replace(component, registered=entry)

    return replace(suite, models={name: keyed(item) for name, item in suite.models.items()})


def _require_unseen(plan: Plan, suite: ResolvedSuite) -> None:
    """Refuse scored ID examples of which most are also fit examples, or train examples.

    Published data sets have some copies, which get a note; most are a mistake.
    """
    (comparison,) = suite.suite.comparisons
    (name,) = comparison.in_datasets
    prepared = plan.prepared[name]
    splits = {split: prepared.contents(split) for split in prepared.counts}
    if (test := splits["test"]) is None or comparison.fit_overlap == "paper":
        return
    scored, fit = (
        test.digests[Draw.of(comparison, name, role).ids(len(test.digests))]
        for role in ("in", "fit")
    )
    seen = {"fit examples": distinct(fit)}
    if train := splits.get("train"):
        seen["train examples"] = train.distinct
    for what, digests in seen.items():
        count = count_shared(scored, digests)
        if 2 * count > len(scored):
            raise DataError(
                f"{name}: {count:,} of {counted(len(scored), 'scored example')} are also {what}: "
                "scored examples must be new to the model and the scorer"
            )
