"""What each kind of plugin promises. A plugin satisfies a Protocol; it inherits nothing.

Everywhere: examples are uint8 of shape (N, channels, height, width); log-probabilities are nats
of the discrete example; scores are higher for examples that are more out-of-distribution (OOD),
and OOD is the positive class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

from harness.domain import Images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor
    from torch.nn import Parameter

    from harness.events import Event


Likelihood: TypeAlias = Literal["exact", "lower_bound", "estimate", "unnormalized"]
Per: TypeAlias = Literal["example", "group"]
Side: TypeAlias = Literal["in", "out"]


@runtime_checkable
class Dataset(Protocol):
    """Raw examples in named splits. Constructing one is cheap and touches no data."""

    @property
    def domain(self) -> Images:
        """What one example is."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits it has, of `"train"` and `"test"`. No example is in two of them."""

    def load(self, split: str) -> NDArray[np.uint8]:
        """The examples of one split, always in the same order.

        Returns:
            uint8, (N, *domain.shape), values below `domain.levels`; may be a memory map.

        Raises:
            MissingDataError: The data is not on this machine.
            DataError: It is, and is not what it should be.
        """


@runtime_checkable
class HasStamp(Protocol):
    """Capability of a data set read from files that may change: a cheap stamp of their state."""

    def stamp(self) -> str:
        """Text that changes whenever the content may have, such as names, sizes and times."""


@runtime_checkable
class Fetchable(Protocol):
    """Capability of a data set that others publish: where, on what terms, and how to get it."""

    @property
    def home(self) -> str:
        """Address of the page that publishes it."""

    @property
    def licence(self) -> str:
        """On what terms, in a few words."""

    def fetch(self, progress: Callable[[str], None]) -> None:
        """Download its files and verify them; what is there already is kept.

        Arguments:
            progress: Told of each step in a line of text.

        Raises:
            MissingDataError: They cannot be downloaded; says how to get them by hand.
        """


@runtime_checkable
class DensityModel(Protocol):
    """A density over discrete images; in practice a `torch.nn.Module`.

    Its constructor takes the domain first, then its options. It must raise `DomainError` for a
    domain that it cannot be built for. Layers are its named parameter tensors.
    """

    domain: Images
    likelihood: Likelihood

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of each discrete example.

        Differentiable in the parameters; deterministic; per example (no number depends on the
        rest of the batch); `x` is left as it was. Scaling is the model's: a continuous density is
        evaluated at the middle of the bin and includes -dims * bits * ln 2.

        Arguments:
            x: uint8, (N, *domain.shape), on the device of the parameters.

        Returns:
            Floating, (N,), in nats.
        """

    def named_parameters(self) -> Iterable[tuple[str, Parameter]]:
        """As `torch.nn.Module.named_parameters`; the same tensor is named once."""

    def state_dict(self) -> dict[str, Tensor]:
        """As `torch.nn.Module.state_dict`: all that `log_prob` depends on."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> Any:
        """As `torch.nn.Module.load_state_dict`."""

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """As `torch.nn.Module.to`: moves to a device or casts to float32 or float64."""

    def train(self, mode: bool = True) -> Self:
        """As `torch.nn.Module.train`."""

    def eval(self) -> Self:
        """As `torch.nn.Module.eval`."""


@runtime_checkable
class Preparable(Protocol):
    """Capability of a model with a data-dependent start, such as ActNorm."""

    def prepare(self, x: Tensor) -> None:
        """Initialise from training examples, before epoch 0; saved in the state.

        Arguments:
            x: uint8, (N, *domain.shape).
        """


@runtime_checkable
class Trainable(Protocol):
    """Capability of a model with a training loss of its own; the default is -mean log_prob."""

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Loss of a batch, such as the negative log-density of dequantised examples.

        Arguments:
            x: uint8, (N, *domain.shape).
            generator: On the CPU; the only source of randomness.

        Returns:
            A scalar, in nats per example (the harness optimises it in bits per dimension).
        """


@runtime_checkable
class Samplable(Protocol):
    """Capability of a model that can draw samples."""

    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw samples.

        Arguments:
            n: How many.
            generator: On the CPU; the only source of randomness.
            temperature: Factor on the standard deviation of the base density.

        Returns:
            uint8, (n, *domain.shape).
        """


@runtime_checkable
class HasLogProbTerms(Protocol):
    """Capability of a model whose log-probability is a sum of named terms."""

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """The terms, such as `base`, `ladj` and `bins`, whose sum is `log_prob(x)`.

        Terms of one kind that belong to the levels of a model end in the number of the level,
        which counts from 0 at the data: `base.0`, `ladj.0`, `base.1`, `ladj.1`, `bins`. The names
        and their order depend on the model alone, not on x.

        Returns:
            Floating, each (N,), in nats.
        """


@runtime_checkable
class Flow(Protocol):
    """Capability of a normalising flow: the noise behind an image, as a map of real images."""

    def to_noise(self, x: Tensor) -> Tensor:
        """The noise of which the flow would make an image: all of it, of every level.

        Invertible, and differentiable in x and the parameters; per example.

        Arguments:
            x: Floating, (N, *domain.shape), of the dtype of the parameters, in grey levels: at
                whole numbers it is what `log_prob` evaluates.

        Returns:
            Floating, (N, domain.dims), in units of a base density without learned means or scales.
        """


class Statistic(Protocol):
    """An expensive function of a model and groups of examples, computed once and stored.

    One of the examples alone says so by an attribute `reads_model = False`: it is given None for
    the model, and one stored value serves all models and epochs.
    """

    @property
    def per(self) -> Per:
        """Whether one row belongs to an example (used by every group size) or to a group."""

    def features(self, model: DensityModel) -> Sequence[str]:
        """The names of the F columns, such as the layers of the model."""

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the statistic.

        Arguments:
            model: In evaluation mode; must be left as found.
            groups: uint8, (M, b, *domain.shape), on the device of the parameters; b is 1 where
                `per` is `"example"`.

        Returns:
            float64, (M, F).
        """


@runtime_checkable
class HasLayerNorms(Protocol):
    """Capability of a statistic whose columns are squared gradient norms of the layers.

    Figures and the page draw them layer by layer.
    """

    @property
    def layer_norms(self) -> bool:
        """True; as a rule a class attribute `layer_norms = True`."""


@runtime_checkable
class HasFakeFeatures(Statistic, Protocol):
    """Capability of a statistic for which the conformance kit may make values up.

    Scorers that read the statistic are then examined without a model. The made-up values are
    positive, and larger out of distribution, unless the statistic also `HasFakeValues`.
    """

    @property
    def fake_features(self) -> Sequence[str]:
        """The names of the F columns of the made-up values; as a rule a class attribute."""


@runtime_checkable
class HasFakeValues(HasFakeFeatures, Protocol):
    """Capability of a statistic that makes up values like its own from noise."""

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """Values of groups in or out of distribution.

        Arguments:
            noise: float64, (..., F), standard normal.
            side: Whether the groups are in or out of distribution.

        Returns:
            float64, of the shape of `noise`.
        """


@runtime_checkable
class FittedStatistic(Statistic, Protocol):
    """Capability of a statistic that is fitted to the examples of role `fit` before it is used.

    The harness never evaluates one on examples that it was fitted on: the examples of role `fit`
    themselves are evaluated half by half, each half by a statistic fitted on the other. Groups of
    the roles `in` and `out` are evaluated by one that was fitted on the second half, so that all
    values come from fits to as many examples.
    """

    def fit(self, model: DensityModel, examples: Tensor) -> Self:
        """Fit to in-distribution examples; a second fit forgets the first.

        Arguments:
            model: In evaluation mode; must be left as found. The one it is then evaluated with.
            examples: uint8, (N, *domain.shape), on the device of the parameters.

        Raises:
            ScoreError: They cannot be fitted to, such as too few.
        """


class Scorer(Protocol):
    """A score from stored statistics, in NumPy; no torch, no model, no images.

    The statistics come by the names of `inputs`: of shape (M, b, F) where the statistic is per
    example, (M, F) where it is per group. `fit` sees in-distribution groups only.
    """

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the statistics it reads.

        They are of the cell's model, epoch and seed. `"name@model"` is that of another model of
        the suite, `"name:4"` that at epoch 4, `"name/1"` that of seed 1; all of them may be said,
        in this order: `"name@model:4/1"`.
        """

    def fit(self, statistics: Mapping[str, NDArray[np.float64]]) -> Self:
        """Fit to in-distribution groups; a second fit forgets the first.

        Raises:
            ScoreError: The statistics cannot be fitted, such as too few groups.
            UnsupportedError: Not those of such a model, such as one without levels.
        """

    def score(self, statistics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Score groups.

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """


@runtime_checkable
class NeedsFeatureNames(Protocol):
    """Capability of a scorer that needs to know what the columns are, such as which layers."""

    def name_features(self, features: Mapping[str, Sequence[str]]) -> None:
        """Told before `fit` what the columns of its statistics are.

        They are the same for the fit groups and for all that are scored.

        Arguments:
            features: For each of `inputs` the names of the F columns, in their order.
        """


@runtime_checkable
class HasScoreTerms(Protocol):
    """Capability of a scorer whose score is a sum of named terms, such as one for each layer."""

    def score_terms(
        self, statistics: Mapping[str, NDArray[np.float64]]
    ) -> Mapping[str, NDArray[np.float64]]:
        """The terms by name, whose sum is `score(statistics)`.

        Returns:
            float64, (M,) each; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """


@runtime_checkable
class HasFitInfo(Protocol):
    """Capability of a scorer that tells what its fit did, such as how many layers it left out."""

    def fit_info(self) -> dict[str, float | int | str]:
        """Named facts of the last fit; they are stored with each result."""


@runtime_checkable
class Baseline(Protocol):
    """Capability of a scorer that is a trivial baseline, such as the mean intensity of an image.

    A scorer that a baseline of the same cell beats is flagged in every report.
    """

    @property
    def baseline(self) -> bool:
        """True; as a rule a class attribute `baseline = True`."""


class Executor(Protocol):
    """A way to run independent tasks. Its constructor takes `workers`, how many at once."""

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Run every task and pass on its events as they come.

        A task deals with its own failures. One that cannot (its process died) is reported as
        `JobFailed` and does not stop the others. One that reports `Postponed` found another run
        at its work: it is run again as soon as it is `ready`.
        """


class Task(Protocol):
    """A picklable piece of work."""

    @property
    def name(self) -> str:
        """What displays and messages call it."""

    def ready(self) -> bool:
        """Whether nothing speaks against doing it now; asked often, so quick."""

    def __call__(self, report: Callable[[Event], None]) -> None:
        """Do it, reporting events on the way."""
