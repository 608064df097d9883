"""`bench check`: every model at true size, every statistic and scorer, on random examples."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.compute.checkpoints import build_model, evaluated, tensor_bytes
from harness.compute.evaluate import evaluate
from harness.compute.examination import EXAMPLES, examine
from harness.compute.inputs import model_input, stored_tensor
from harness.compute.saved.loading import load_saved
from harness.compute.seeds import generator
from harness.compute.trainer import Training
from harness.contracts import DensityModel, FittedStatistic, Likelihood, NeedsFeatureNames
from harness.domain import Domain, Examples
from harness.errors import DataError, DomainError, UnsupportedError
from harness.plan.jobs import Chain
from harness.plan.meaning import require_meaning
from harness.plan.plan import Plan
from harness.store.records import Store
from harness.store.timings import estimate_rate, statistic_work, training_work
from harness.suite import Component, ModelComponent, ResolvedSuite
from harness.text import counted

GROUPS = 4
"""Number of groups to fit and to score: a scorer may set half of the groups aside."""
TRIAL_MINIBATCH = 2


@dataclass
class Checked:
    """Outcome of one attempt.

    Attributes:
        what: Name of the attempt.
        problem: The error; empty without an error.
        unsupported: The reason if the model does not support a statistic or scorer, which is no
            failure.
        missing: How to get data or weights that this machine lacks; nothing was tried in this
            case.
        detail: Remark on an attempt that passed.
        seconds: Duration.
    """

    what: str
    problem: str = ""
    unsupported: str = ""
    missing: str = ""
    detail: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the attempt came to its end."""
        return not self.problem and not self.unsupported


@dataclass(frozen=True)
class _Values:
    """A statistic for a few groups, float64 (GROUPS, F), with its column names."""

    values: NDArray[np.float64]
    features: Sequence[str]


def check_suite(
    suite: ResolvedSuite, plan: Plan, store: Store, device: torch.device
) -> Iterator[Checked]:
    """Try every model, statistic and scorer in a suite, without data.

    Measured rates are stored for `bench plan`. Trial training uses minibatches with two examples,
    so the time estimated for training is too high rather than too low.
    """
    kinds: dict[tuple[str, Domain], Chain] = {}
    saved: dict[tuple[str, Domain, int], tuple[Chain, set[int]]] = {}
    for chain in plan.chains.values():
        first = kinds.setdefault((chain.id.model, chain.domain), chain)
        first.jobs.update(chain.jobs)
        if chain.model.saved is not None:
            place = (chain.id.model, chain.domain, chain.id.seed)
            saved.setdefault(place, (chain, set()))[1].update(chain.epochs)
    for chain, epochs in saved.values():
        yield from _check_saved(chain, epochs)
    for chain in kinds.values():
        yield from _check_model(suite, plan, chain, store, device)


def _check_saved(chain: Chain, epochs: set[int]) -> Iterator[Checked]:
    """Read saved epochs of a chain, look for equal weights, and measure the way between epochs."""
    saved, seed, first = chain.model.saved, chain.id.seed, dict[bytes, int]()
    assert saved is not None, "only of models with saved epochs"
    name = f"{chain.id.model} on {chain.domain}" + (f" (seed {seed})" if seed else "")
    is_strict, before = not saved.table.allow_equal, None
    shared = saved.shared_parts(seed, epochs) if is_strict else {}
    for epoch in sorted(epochs):
        what = f"{name}: {saved.unit} {epoch} in {saved.place(seed, epoch)}"
        if (absence := saved.absence(seed, epoch)) is not None:
            yield Checked(what, missing=absence)
            continue
        with _tried(what) as checked:
            model, way = _load_saved(chain, epoch)
            state = model.state_dict()
            checked.detail = counted(len(state), "tensor") + (f", {way}" if way else "")
            if before is not None:
                far = relative_distance(before[1], state)
                checked.detail += f", {far:.2g} from {saved.unit} {before[0]}"
            before = epoch, state
            weights = hashlib.sha256(tensor_bytes(state)).digest()
            twin = first.setdefault(weights, epoch)
            if twin != epoch and is_strict:
                raise DataError(saved.copy_message(seed, twin, epoch))
            if epoch in shared:
                raise DataError(shared[epoch])
        yield checked


def relative_distance(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> float:
    """Return how far weights moved: the Euclidean norm of the change over that of the weights.

    Arguments:
        before: Floating-point tensors by name; others are left out.
        after: Tensors with the same names and shapes.

    Returns:
        ||after - before|| / ||before||, in float64; infinite for a change from zeros.
    """
    named = [name for name, tensor in before.items() if tensor.is_floating_point()]
    moved = math.fsum(
        float((after[x].double() - before[x].double()).square().sum()) for x in named
    )
    size = math.fsum(float(before[x].double().square().sum()) for x in named)
    return math.sqrt(moved / size) if size else (math.inf if moved else 0.0)


def _load_saved(chain: Chain, epoch: int) -> tuple[DensityModel, str]:
    """Load a saved epoch; return the model, and how the weights were found."""
    saved, seed = chain.model.saved, chain.id.seed
    assert saved is not None, "only of models with saved epochs"
    model = build_model(chain.model, chain.domain, 0)
    return model, load_saved(model, saved, seed, epoch, saved.content(seed, epoch))


def _check_model(
    suite: ResolvedSuite, plan: Plan, chain: Chain, store: Store, device: torch.device
) -> Iterator[Checked]:
    label = f"{chain.id.model} on {chain.domain}"
    with _tried(label) as checked:
        model = _model(chain, store, device)
        examine(model, _input(chain.domain, EXAMPLES).to(device))
        tensors = [parameter for _, parameter in model.named_parameters()]
        numbers = sum(parameter.numel() for parameter in tensors)
        checked.detail = f"{len(tensors):,} parameter tensors, {numbers:,} parameters"
    yield checked
    if not checked.passed:
        return
    values: dict[tuple[str, int], _Values] = {}
    for component, group_size in _wanted(chain):
        size = "" if group_size is None else f", b = {group_size}"
        with _tried(f"{label}: {component.name}{size}") as checked:
            found, seconds = _statistic(component, model, chain.domain, group_size or 1, device)
            checked.detail = f"{len(found.features):,} columns"
        yield checked
        if checked.passed:
            values[component.name, group_size or 0] = found
            work = statistic_work(component, chain.model, chain.domain, group_size)
            estimate_rate(store, work, seconds, GROUPS * (group_size or 1))
    yield from _check_scorers(suite, plan, chain, label, model.likelihood, values)


def _model(chain: Chain, store: Store, device: torch.device) -> DensityModel:
    """Return a model to try, in evaluation mode: of a saved epoch, or after two trial steps."""
    saved, seed = chain.model.saved, chain.id.seed
    if saved is not None:
        there = [epoch for epoch in sorted(chain.epochs) if not saved.absence(seed, epoch)]
        if there:
            model, _ = _load_saved(chain, there[0])
            return evaluated(chain.model, model, device)
    training, seconds = _trial(chain.model, chain.domain, device)
    if saved is None:
        work = training_work(chain.model, chain.domain)
        estimate_rate(store, work, seconds, TRIAL_MINIBATCH)
    return evaluated(chain.model, training.model, device)


def _trial(
    component: ModelComponent, domain: Domain, device: torch.device
) -> tuple[Training, float]:
    """Train a model for two trial steps; return the training and the second step's duration."""
    changes = {"minibatch": TRIAL_MINIBATCH, "prepare_batches": 1, "examples": None}
    recipe = component.recipe.model_copy(update=changes)
    trial = replace(component, recipe=recipe)
    training = Training(trial, domain, _examples(domain, TRIAL_MINIBATCH), 0, device)
    training.start()
    training.run_epoch(lambda amount: None)
    started = time.perf_counter()
    training.run_epoch(lambda amount: None)
    seconds = time.perf_counter() - started
    training.model.eval()
    return training, seconds


def _examples(domain: Domain, count: int) -> Examples:
    """Return examples of random values and zeros in various shares: no statistic is constant."""
    drawn = torch.randint(0, domain.levels, (count, domain.dims), generator=generator(0, "check"))
    shares = torch.arange(1, count + 1)[:, None] / count
    drawn[torch.arange(domain.dims) >= shares * domain.dims] = 0
    return drawn.reshape(count, *domain.shape).numpy().astype(domain.dtype)


def _input(domain: Domain, count: int) -> Tensor:
    """Return the same examples as a model takes them, on the CPU."""
    return model_input(stored_tensor(_examples(domain, count)), domain)


def _wanted(chain: Chain) -> list[tuple[Component, int | None]]:
    """List the distinct statistics in a chain with their group sizes."""
    wanted = {(component.name, job.group_size): component for job, component in chain.jobs.items()}
    return [(component, group_size) for (_, group_size), component in wanted.items()]


def _statistic(
    component: Component,
    model: DensityModel,
    domain: Domain,
    group_size: int,
    device: torch.device,
) -> tuple[_Values, float]:
    """Evaluate a statistic; return the values and the seconds, without what is done only once.

    A first group takes the time for imports and plans, which more examples do not make longer.
    """
    statistic = component.build()
    if isinstance(statistic, FittedStatistic):
        statistic.fit(model, _input(domain, 2 * GROUPS).to(device))
    examples = _input(domain, GROUPS * group_size)

    def values_of(part: Tensor) -> NDArray[np.float64]:
        return evaluate(statistic, model, part, group_size, len(part), device, lambda amount: None)

    values_of(examples[-group_size:])
    started = time.perf_counter()
    values = values_of(examples)
    seconds = time.perf_counter() - started
    features = statistic.features(model)
    if values.shape != (GROUPS, len(features)):
        raise ValueError(f"shape {values.shape}, expected {(GROUPS, len(features))}")
    return _Values(values, features), seconds


def _check_scorers(
    suite: ResolvedSuite,
    plan: Plan,
    chain: Chain,
    label: str,
    likelihood: Likelihood,
    values: dict[tuple[str, int], _Values],
) -> Iterator[Checked]:
    """Fit and score every scorer that reads only this model, on the random groups."""
    wanted = {
        (planned.cell.scorer, planned.cell.group_size): planned
        for planned in plan.cells
        if planned.cell.model == chain.id.model
    }
    for (name, group_size), planned in wanted.items():
        component = suite.scorers[name]
        if any(item.model is not None for item in component.inputs):
            continue
        read, features = {}, {}
        for text, jobs in planned.reads.items():
            found = values.get((jobs.fit.statistic, jobs.fit.group_size or 0))
            if found is None:
                continue
            read[text], features[text] = found.values, found.features
            if jobs.fit.group_size is None:
                read[text] = np.repeat(found.values[:, None, :], group_size, axis=1)
        if len(read) < len(component.inputs):
            continue  # the statistic has failed, which is reported already
        with _tried(f"{label}: {name}, b = {group_size}") as checked:
            scorer = component.build()
            require_meaning(name, scorer, [likelihood])
            if isinstance(scorer, NeedsFeatureNames):
                scorer.name_features(features)
            scores = np.asarray(scorer.fit(read).score(read))
            if scores.shape != (GROUPS,):
                checked.problem = f"scores of shape {scores.shape}"
        yield checked


@contextmanager
def _tried(what: str) -> Iterator[Checked]:
    """Time an attempt; an error ends the block, and is recorded instead of raised."""
    checked, started = Checked(what), time.perf_counter()
    try:
        yield checked
    except Exception as error:
        if isinstance(error, UnsupportedError) and not isinstance(error, DomainError):
            checked.unsupported = str(error)
        else:  # also a model that cannot be built: no cell would have a number
            checked.problem = f"{type(error).__name__}: {error}"
    checked.seconds = time.perf_counter() - started
