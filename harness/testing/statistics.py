"""Conformance checks for statistics, on a tiny model or a model passed by the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.contracts import DensityModel, FittedStatistic, Per, Statistic
from harness.domain import Domain
from harness.errors import UnsupportedError
from harness.testing.checks import Check, Fault, NotApplicable, check_not_fitted, run_checks
from harness.testing.model_subject import DOMAINS, ModelUnderTest, changed_by, check_untouched
from harness.testing.toy_models import TinyAutoregression, TinyFlow

_GROUPS = 6
_SIZE = 3
_FIT_EXAMPLES = 8


@dataclass(frozen=True)
class StatisticUnderTest:
    """A statistic under test, with a model to evaluate it on."""

    build: Callable[[], Statistic]
    models: ModelUnderTest

    def model(self) -> DensityModel:
        """Return a model in float64 and evaluation mode."""
        return self.models.double()

    def groups(self, statistic: Statistic, *, count: int = _GROUPS, size: int = _SIZE) -> Tensor:
        """Return groups of examples; with one example each if the statistic is per example."""
        size = size if statistic.per == "group" else 1
        x = self.models.examples(count * size, seed=4)
        return x.view(count, size, *self.models.domain.shape)

    def fit_examples(self, *, seed: int = 5) -> Tensor:
        """Return examples to fit a statistic to, (N, *domain.shape)."""
        return self.models.examples(_FIT_EXAMPLES, seed=seed)

    def ready(self, model: DensityModel) -> Statistic:
        """Return a new statistic, fitted if it has a `fit`."""
        statistic = self.build()
        if isinstance(statistic, FittedStatistic):
            statistic.fit(model, self.fit_examples())
        return statistic

    def unfitted(self) -> FittedStatistic:
        """Return a new statistic that needs a fit; skip the check if there is no `fit`."""
        statistic = self.build()
        if not isinstance(statistic, FittedStatistic):
            raise NotApplicable("the statistic has no `fit`")
        return statistic

    def fitted(self, model: DensityModel, examples: Tensor) -> FittedStatistic:
        """Return a new statistic, fitted to a copy of the given examples."""
        statistic = self.unfitted()
        statistic.fit(model, examples.clone())
        return statistic

    def values(self, groups: Tensor | None = None, *, seed: int = 0) -> NDArray[np.float64]:
        """Evaluate groups with a new statistic and a new model."""
        model = self.model()
        statistic = self.ready(model)
        given = self.groups(statistic) if groups is None else groups.clone()
        torch.manual_seed(seed)
        return statistic(model, given)

    def on(self, device: torch.device) -> NDArray[np.float64]:
        """Fit if necessary, and evaluate, with a new statistic and model on a device."""
        model, statistic = self.model().to(device), self.build()
        if isinstance(statistic, FittedStatistic):
            statistic.fit(model, self.fit_examples().to(device))
        return statistic(model, self.groups(statistic).to(device))


def check_statistic(
    build: Callable[[], Statistic],
    *,
    model: Callable[[Any], DensityModel] | None = None,
    domain: Domain | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Check]:
    """Run every conformance check on a statistic, on the CPU.

    Arguments:
        build: Returns a new statistic with its options.
        model: Returns a new, small model for a domain, with the capabilities that the statistic
            needs; by default, one of the kit's models.
        domain: A domain that the model can be built for; by default four pixels, or four tokens
            for a statistic that raises `UnsupportedError` for images.
        expected_failures: Reason for each expected failure, by check name. An expected failure
            that does not happen is reported as a failure.

    Returns:
        One result per check; pass the list to `assert_conforms`.

    Examples:
        >>> import numpy as np
        >>> from oodbench.testing import assert_conforms, check_statistic
        >>> class Brightness:
        ...     per = "example"
        ...     reads_model = False
        ...
        ...     def features(self, model):
        ...         return ["brightness"]
        ...
        ...     def __call__(self, model, groups):
        ...         return groups.double().flatten(1).mean(1, keepdim=True).cpu().numpy()
        >>> assert_conforms(check_statistic(Brightness))
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        found, domain = reference_model(build, domain)
        model = model or found
        subject = StatisticUnderTest(build, ModelUnderTest(model, domain, domain))
        return run_checks(STATISTIC_CHECKS, subject, expected_failures or {})


def reference_model(
    build: Callable[[], Statistic], domain: Domain | None = None
) -> tuple[Callable[[Domain], DensityModel], Domain]:
    """Return the first of the kit's models that a statistic supports, and a domain for the model.

    Arguments:
        build: Returns a new statistic.
        domain: The domain; None tries a small domain of every kind.
    """
    tried: list[tuple[Callable[[Domain], DensityModel], Domain]] = [
        (model, found)
        for found in ([domains.unit for domains in DOMAINS] if domain is None else [domain])
        for model in (TinyAutoregression, TinyFlow)
    ]
    for model, found in tried:
        try:
            statistic: Any = build()
            statistic.features(model(found))
            if not getattr(statistic, "reads_model", True):  # only the examples tell
                subject = StatisticUnderTest(build, ModelUnderTest(model, found, found))
                statistic(None, subject.groups(statistic))
        except UnsupportedError:
            continue
        except Exception:  # the checks report the error
            return model, found
        return model, found
    return tried[0]


def interface(subject: StatisticUnderTest) -> None:
    """The statistic has a valid `per`, is callable, and names every column exactly once."""
    statistic: Any = subject.build()
    per = getattr(statistic, "per", None)
    if per not in get_args(Per):
        raise Fault(f'`per` must be "example" or "group", not {per!r}')
    if not callable(statistic):
        raise Fault("the statistic cannot be called with a model and groups")
    features = statistic.features(subject.model())
    if isinstance(features, str) or not all(isinstance(name, str) for name in features):
        raise Fault(f"`features` must return the names of the columns, not {features!r}")
    if not features or len(set(features)) != len(features):
        raise Fault(f"`features` must name every column once: {list(features)!r}")


def shape_and_dtype(subject: StatisticUnderTest) -> None:
    """The value is a float64 NumPy array with shape (M, F), where F is the number of features."""
    statistic = subject.build()
    columns = len(statistic.features(subject.model()))
    for count, size in ((_GROUPS, _SIZE), (_GROUPS, 1), (1, _SIZE)):
        groups = subject.groups(statistic, count=count, size=size)
        values = subject.values(groups)
        if not isinstance(values, np.ndarray) or values.dtype != np.float64:
            kind = getattr(values, "dtype", type(values).__name__)
            raise Fault(f"the value must be a float64 NumPy array, not {kind}")
        if values.shape != (count, columns):
            raise Fault(
                f"{count} groups have values with shape {values.shape}, not ({count}, {columns}): "
                "return one row per group and one column per feature"
            )


def finite(subject: StatisticUnderTest) -> None:
    """Values on a well-behaved model are finite."""
    values = subject.values()
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise Fault(f"{bad} of {values.size} values are NaN or infinite")


def deterministic(subject: StatisticUnderTest) -> None:
    """Values are the same every time, regardless of torch's seed."""
    if _differs(subject.values(seed=1), subject.values(seed=2)):
        raise Fault("values for the same groups change: seed the statistic's random draws")
    model = subject.model()
    statistic = subject.ready(model)
    groups = subject.groups(statistic)
    if _differs(statistic(model, groups.clone()), statistic(model, groups.clone())):
        raise Fault("a second call changes the values: a call must keep nothing")


def input_untouched(subject: StatisticUnderTest) -> None:
    """The statistic does not write into the groups."""
    model = subject.model()
    statistic = subject.ready(model)
    check_untouched("the statistic", partial(statistic, model), subject.groups(statistic))


def left_as_found(subject: StatisticUnderTest) -> None:
    """The model's mode, state, gradients and flags are unchanged, including existing gradients."""
    groups = subject.groups(subject.build())
    for with_gradients in (False, True):
        model = subject.model()
        statistic = subject.ready(model)
        if with_gradients:
            for _, parameter in model.named_parameters():
                parameter.grad = torch.ones_like(parameter)
        if changed := changed_by(partial(statistic, model, groups.clone()), model):
            raise Fault(
                f"the statistic changes the model ({changed[0]}): restore everything "
                "(torch.autograd.grad, unlike backward, leaves .grad unchanged)"
            )


def per_group(subject: StatisticUnderTest) -> None:
    """The row for a group does not depend on the other groups in the call."""
    groups = subject.groups(subject.build())
    expected = subject.values(groups)
    fewer = subject.values(groups[:2])
    alone = np.concatenate([subject.values(group[None]) for group in groups])
    if _differs(fewer, expected[:2]) or _differs(alone, expected):
        raise Fault("the row for a group depends on the other groups in the call")
    permutation = [3, 0, 5, 1, 4, 2]
    if _differs(subject.values(groups[permutation]), expected[permutation]):
        raise Fault("rows depend on the order of the groups in the call")


def order_within_group(subject: StatisticUnderTest) -> None:
    """The row for a group does not depend on the order of the group's examples."""
    statistic = subject.build()
    if statistic.per != "group":
        raise NotApplicable("the statistic is per example")
    groups = subject.groups(statistic)
    if _differs(subject.values(groups.flip(1)), subject.values(groups)):
        raise Fault("the row for a group depends on the order of its examples: a group is a set")


def fit_as_found(subject: StatisticUnderTest) -> None:
    """`fit` returns the statistic itself and leaves model and examples unchanged."""
    statistic, model, examples = subject.unfitted(), subject.model(), subject.fit_examples()
    fit = partial(statistic.fit, model)
    if changed := changed_by(partial(fit, examples.clone()), model):
        raise Fault(f"fit changes the model ({changed[0]}): restore everything")
    check_untouched("fit", fit, examples)
    result = fit(examples)
    if result is not statistic:
        raise Fault(f"fit must return self, not {type(result).__name__}")


def refit(subject: StatisticUnderTest) -> None:
    """Only the last `fit` counts, and a call before any fit raises NotFittedError."""
    model = subject.model()
    groups = subject.groups(subject.build())
    statistic = subject.fitted(model, subject.fit_examples(seed=7))
    first = statistic(model, groups.clone())
    statistic.fit(model, subject.fit_examples())
    second = subject.fitted(model, subject.fit_examples())(model, groups.clone())
    if not _differs(first, second):
        raise Fault("fits to different examples give the same values: remove the unneeded `fit`")
    if _differs(statistic(model, groups.clone()), second):
        raise Fault("fit keeps something from an earlier fit: reset every fitted attribute")
    check_not_fitted("a call", lambda: subject.build()(model, groups.clone()))


def fit_is_of_a_set(subject: StatisticUnderTest) -> None:
    """The order of the fit examples makes no difference."""
    model, examples = subject.model(), subject.fit_examples()
    groups = subject.groups(subject.build())
    expected = subject.fitted(model, examples)(model, groups.clone())
    if _differs(subject.fitted(model, examples.flip(0))(model, groups.clone()), expected):
        raise Fault("values depend on the order of the fit examples")


def without_a_model(subject: StatisticUnderTest) -> None:
    """With `reads_model = False`, features and values are the same without a model."""
    statistic: Any = subject.build()
    if getattr(statistic, "reads_model", True):
        raise NotApplicable("the statistic reads the model")
    groups = subject.groups(statistic)
    expected = subject.values(groups)
    try:
        names, values = statistic.features(None), statistic(None, groups.clone())
    except Exception as error:
        raise Fault(
            "reads_model is False, but a call without a model raises "
            f"{type(error).__name__}: {error}"
        ) from error
    if list(names) != list(statistic.features(subject.model())) or _differs(values, expected):
        raise Fault("reads_model is False, but values or features differ without a model")


STATISTIC_CHECKS: tuple[Callable[[StatisticUnderTest], str | None], ...] = (
    interface,
    shape_and_dtype,
    finite,
    deterministic,
    input_untouched,
    left_as_found,
    per_group,
    order_within_group,
    fit_as_found,
    refit,
    fit_is_of_a_set,
    without_a_model,
)


def _differs(found: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    """Return True if values differ by more than float64 rounding; NaN is left to `finite`."""
    if found.shape != expected.shape:
        return True
    return not np.allclose(found, expected, rtol=1e-8, atol=1e-10, equal_nan=True)
