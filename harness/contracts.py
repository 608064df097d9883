"""Contracts of the plugin kinds. A plugin satisfies a Protocol and inherits nothing.

Conventions everywhere: examples are integers of shape (N, *domain.shape), uint8 for images;
log-probabilities are in nats per discrete example; scores are higher for examples that are more
out-of-distribution (OOD), and OOD is the positive class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

from harness.domain import Domain, Examples

if TYPE_CHECKING:
    from pathlib import Path

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
    """Raw examples in named splits. The constructor is cheap and touches no data.

    Example:
        >>> import numpy as np
        >>> from oodbench import Dataset, Images
        >>> class Black:
        ...     domain = Images(channels=1, height=8, width=8)
        ...     splits = ("train", "test")
        ...
        ...     def load(self, split):
        ...         return np.zeros((100, *self.domain.shape), np.uint8)
        >>> isinstance(Black(), Dataset)
        True
        >>> Black().load("test").shape
        (100, 1, 8, 8)
    """

    @property
    def domain(self) -> Domain:
        """Shape and number of levels of each example."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Available splits, from `"train"` and `"test"`. Splits share no examples."""

    def load(self, split: str) -> Examples:
        """Load all examples in a split, always in the same order.

        Returns:
            `domain.dtype`, (N, *domain.shape), values below `domain.levels`; may be a memory map.

        Raises:
            MissingDataError: The data is not available on this machine.
            DataError: The data is available but invalid.
        """


@runtime_checkable
class HasStamp(Protocol):
    """Optional data set capability: a cheap stamp for the state of files that may change.

    Example:
        >>> from oodbench import HasStamp
        >>> class Folder:
        ...     def stamp(self):
        ...         return "a.png 9834876dcfb05cb1, b.png 4a44dc15364204a8"
        >>> isinstance(Folder(), HasStamp)
        True
    """

    def stamp(self) -> str:
        """Return text that changes whenever the content may have changed.

        For example the names of the files with a hash of the contents. For files too large to be
        read by every command: the names with `st_size`, `st_mtime_ns`, `st_ctime_ns` and
        `st_ino`, because files with other content can have the same size and modification time.
        After a change the files are read again; with equal content, no number is computed again.
        """


@runtime_checkable
class HasNotes(Protocol):
    """Optional data set capability: remarks about the files that were read.

    Reports print the remarks below every table with the data set, after its name.

    Example:
        >>> from oodbench import HasNotes
        >>> class Folder:
        ...     def notes(self):
        ...         return ["5 files were passed over: 5 .heic"]
        >>> isinstance(Folder(), HasNotes)
        True
    """

    def notes(self) -> Sequence[str]:
        """Return the remarks, one line each, after all splits have been loaded."""


@runtime_checkable
class CopiesExamples(Protocol):
    """Optional data set capability: example i is a changed copy of example i of another data set.

    The scores of an image and its own copy depend on one another, so errors of a comparison
    between both data sets are computed by image.

    Example:
        >>> from oodbench import CopiesExamples
        >>> class Inverted:
        ...     copies_examples = True
        >>> isinstance(Inverted(), CopiesExamples)
        True
    """

    @property
    def copies_examples(self) -> bool:
        """True; usually a class attribute. The constructor then takes one other data set."""


@runtime_checkable
class Fetchable(Protocol):
    """Optional data set capability: published data with a home page, a licence and a download.

    Example:
        >>> from oodbench import Fetchable
        >>> class Faces:
        ...     home = "https://example.org/faces"
        ...     licence = "research only"
        ...
        ...     def fetch(self, progress):
        ...         progress(f"faces.zip: downloaded from {self.home}")
        >>> isinstance(Faces(), Fetchable)
        True
        >>> Faces().fetch(print)
        faces.zip: downloaded from https://example.org/faces
    """

    @property
    def home(self) -> str:
        """Address of the publisher's page."""

    @property
    def licence(self) -> str:
        """Terms of use, in a few words."""

    def fetch(self, progress: Callable[[str], None]) -> None:
        """Download and verify the raw files; files that already exist are kept.

        Arguments:
            progress: Called with a line of text at each step.

        Raises:
            MissingDataError: The files cannot be downloaded; says how to get them by hand.
        """


@runtime_checkable
class DensityModel(Protocol):
    """A density over discrete examples; in practice a `torch.nn.Module`.

    The constructor takes the domain first, then the options. The annotation of the domain,
    such as `Images`, says which kinds of domains the model takes; for another unsupported domain
    the constructor must raise `DomainError`. Layers are the named parameter tensors.

    With precision `bfloat16`, methods are called under `torch.autocast`: parameters and inputs are
    float32, and products and convolutions return bfloat16. The model converts what its networks
    return to float32 before it goes on, and turns autocasting off for any other product. So
    densities, log-determinants, losses and sums are float32.

    Example:
        >>> import torch
        >>> from oodbench import DensityModel, Images, bits_per_dim
        >>> class Histogram(torch.nn.Module):
        ...     likelihood = "exact"
        ...
        ...     def __init__(self, domain):
        ...         super().__init__()
        ...         self.domain = domain
        ...         self.logits = torch.nn.Parameter(torch.zeros(domain.levels))
        ...
        ...     def log_prob(self, x):
        ...         return self.logits.log_softmax(0)[x.long()].flatten(1).sum(1)
        >>> model = Histogram(Images(channels=1, height=2, width=2))
        >>> isinstance(model, DensityModel)
        True
        >>> x = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
        >>> bits_per_dim(model.log_prob(x), dims=4).tolist()
        [8.0, 8.0, 8.0]
    """

    likelihood: Likelihood

    @property
    def domain(self) -> Domain:
        """The domain passed to the constructor."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of each discrete example.

        The result is differentiable in the parameters, deterministic and per example (no number
        depends on the rest of the batch); `x` is left unchanged. Scaling is up to the model: a
        continuous density is evaluated at the middle of the bin and includes -dims * bits * ln 2.
        That value is no probability, so such a model should also have `log_density`.

        Arguments:
            x: `domain.input_dtype`, (N, *domain.shape), on the device of the parameters.

        Returns:
            Floating, (N,), in nats, on the device of x.
        """

    def named_parameters(self) -> Iterable[tuple[str, Parameter]]:
        """Like `torch.nn.Module.named_parameters`; each tensor is named once."""

    def state_dict(self) -> dict[str, Tensor]:
        """Like `torch.nn.Module.state_dict`: everything that `log_prob` depends on."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> Any:
        """Like `torch.nn.Module.load_state_dict`."""

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Like `torch.nn.Module.to`: moves to a device or casts to float32 or float64."""

    def train(self, mode: bool = True) -> Self:
        """Like `torch.nn.Module.train`."""

    def eval(self) -> Self:
        """Like `torch.nn.Module.eval`."""


@runtime_checkable
class Preparable(Protocol):
    """Optional model capability: a data-dependent start, for example by ActNorm.

    Example:
        >>> from oodbench import Preparable
        >>> class Centred:
        ...     def prepare(self, x):
        ...         self.mean = x.double().mean(0)
        >>> isinstance(Centred(), Preparable)
        True
    """

    def prepare(self, x: Tensor) -> None:
        """Initialise from training examples, before epoch 0; the result is part of the state.

        Arguments:
            x: `domain.input_dtype`, (N, *domain.shape).
        """


@runtime_checkable
class Trainable(Protocol):
    """Optional model capability: a custom training loss; the default is -mean log_prob.

    Example:
        >>> import torch
        >>> from oodbench import Trainable
        >>> class Dequantised:
        ...     def training_loss(self, x, generator):
        ...         noisy = x + torch.rand(x.shape, generator=generator)
        ...         return (noisy / 256).square().flatten(1).sum(1).mean()
        >>> isinstance(Dequantised(), Trainable)
        True
    """

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the loss of a batch, for example the negative log-density after dequantisation.

        Arguments:
            x: `domain.input_dtype`, (N, *domain.shape).
            generator: On the CPU; the only source of randomness.

        Returns:
            A scalar, in nats per example (the harness optimises the loss in bits per dimension).
        """


@runtime_checkable
class Samplable(Protocol):
    """Optional model capability: drawing samples.

    Example:
        >>> import torch
        >>> from oodbench import Samplable
        >>> class Uniform:
        ...     def sample(self, n, generator, temperature=1.0):
        ...         size = (n, 1, 8, 8)
        ...         return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
        >>> isinstance(Uniform(), Samplable)
        True
        >>> Uniform().sample(3, torch.Generator()).shape
        torch.Size([3, 1, 8, 8])
    """

    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw samples.

        Arguments:
            n: Number of samples.
            generator: On the CPU; the only source of randomness.
            temperature: Factor on the standard deviation of the base density.

        Returns:
            `domain.input_dtype`, (n, *domain.shape).
        """


@runtime_checkable
class HasLogProbTerms(Protocol):
    """Optional model capability: a log-probability with named terms.

    Example:
        >>> from oodbench import HasLogProbTerms
        >>> class TwoTerms:
        ...     def log_prob_terms(self, x):
        ...         z = x.flatten(1) / 256
        ...         return {"base": -z.square().sum(1), "ladj": z.new_zeros(len(z))}
        >>> isinstance(TwoTerms(), HasLogProbTerms)
        True
    """

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Return the terms, for example `base`, `ladj` and `bins`, with sum `log_prob(x)`.

        Terms of one kind that belong to different levels of a model end in the level number,
        counted from 0 at the data: `base.0`, `ladj.0`, `base.1`, `ladj.1`, `bins`. Names and
        order depend on the model alone, not on x.

        Returns:
            Floating, each (N,), in nats.
        """


@runtime_checkable
class HasLogProbTokens(Protocol):
    """Optional capability of a model of text: a log-probability for each token.

    Example:
        >>> import math
        >>> import torch
        >>> from oodbench import HasLogProbTokens
        >>> class Uniform:
        ...     def log_prob_tokens(self, x):
        ...         return torch.full(x.shape, -math.log(256))
        >>> isinstance(Uniform(), HasLogProbTokens)
        True
    """

    def log_prob_tokens(self, x: Tensor) -> Tensor:
        """Return log P(x_t | x_1, ..., x_{t-1}) for each token; their sum is `log_prob(x)`.

        Arguments:
            x: int64, (N, T).

        Returns:
            Floating, (N, T), in nats.
        """


@runtime_checkable
class HasLogDensity(Protocol):
    """Optional model capability: a density over real-valued images, behind `log_prob`.

    The density p gives a discrete example x the probability E_u p(x + u), u uniform in [0, 1)^D.
    Bits per dimension of a model with this capability are -E_u log p(x + u) / (D ln 2), an upper
    bound by Jensen's inequality; bits per dimension of any other model come from `log_prob`.

    Example:
        >>> import torch
        >>> from oodbench import HasLogDensity
        >>> class Uniform:
        ...     def log_density(self, y):
        ...         return -torch.full((len(y),), 256.0).log() * y[0].numel()
        ...
        ...     def log_prob(self, x):
        ...         return self.log_density(x + 0.5)
        >>> isinstance(Uniform(), HasLogDensity)
        True
        >>> Uniform().log_density(255 * torch.rand(2, 1, 1, 1)).exp().tolist()
        [0.00390625, 0.00390625]
    """

    def log_density(self, y: Tensor) -> Tensor:
        """Return the log-density of real-valued images in grey levels.

        A bin has volume 1, and `log_prob(x)` is `log_density(x + 1/2)`. The result is
        differentiable in y and the parameters, deterministic and per example; `y` is left
        unchanged.

        Arguments:
            y: Floating, (N, *domain.shape), with the dtype of the parameters, in grey levels: the
                bin of a discrete example x is x to x + 1 in each dimension.

        Returns:
            Floating, (N,), in nats.
        """


@runtime_checkable
class HasLogProbEstimate(Protocol):
    """Optional model capability: draws that improve on a `log_prob` that is a bound or estimate.

    The conformance kit compares `log_prob` with this estimate on a small domain.

    Example:
        >>> import torch
        >>> from oodbench import HasLogProbEstimate
        >>> class CoinThenPixel:
        ...     def estimate_log_prob(self, x, draws, generator):
        ...         coin = torch.randint(2, (draws, 1), generator=generator)  # the latent
        ...         bright = torch.where(coin == 1, 0.9, 0.1)
        ...         is_bright = x.flatten(1)[:, 0] > 127
        ...         return torch.where(is_bright, bright, 1 - bright).mean(0).log()
        >>> isinstance(CoinThenPixel(), HasLogProbEstimate)
        True
    """

    def estimate_log_prob(self, x: Tensor, draws: int, generator: Generator) -> Tensor:
        """Estimate the log-probability, for example by importance weights.

        Arguments:
            x: uint8, (N, *domain.shape).
            draws: Number of draws for each example; with more, the estimate converges.
            generator: On the CPU; the only source of randomness.

        Returns:
            Floating, (N,), in nats.
        """


@runtime_checkable
class Flow(Protocol):
    """Optional model capability: a normalising flow maps real-valued images to noise.

    Example:
        >>> import torch
        >>> from oodbench import Flow
        >>> class Scaling:
        ...     def to_noise(self, x):
        ...         return (x.flatten(1) - 127.5) / 64
        >>> isinstance(Scaling(), Flow)
        True
        >>> Scaling().to_noise(torch.full((1, 1, 1, 2), 191.5)).tolist()
        [[1.0, 1.0]]
    """

    def to_noise(self, x: Tensor) -> Tensor:
        """Return the noise from which the flow would generate an image, for all levels.

        The map is invertible, differentiable in x and the parameters, and per example.

        Arguments:
            x: Floating, (N, *domain.shape), with the dtype of the parameters, in grey levels; at
                whole numbers `log_prob` evaluates the same point.

        Returns:
            Floating, (N, domain.dims), in units of a base density without learned means or scales.
        """


@runtime_checkable
class Reconstructs(Protocol):
    """Optional model capability: adding noise to examples and removing it again.

    Example:
        >>> import torch
        >>> from oodbench import Reconstructs
        >>> class Shrinking:
        ...     def reconstruct(self, x, start, steps, noise_seed):
        ...         return (1 - start) * x.float() + start * 127.5
        >>> isinstance(Shrinking(), Reconstructs)
        True
        >>> Shrinking().reconstruct(torch.full((1, 1, 1, 1), 255).byte(), 0.5, 1, 0).item()
        191.25
    """

    def reconstruct(self, x: Tensor, start: float, steps: int, noise_seed: int) -> Tensor:
        """Reconstruct examples from noise; deterministic and per example, without a graph.

        Arguments:
            x: `domain.input_dtype`, (N, *domain.shape).
            start: Amount of noise, in (0, 1]; 1 leaves almost nothing of an example.
            steps: Number of steps in which the noise is removed.
            noise_seed: Seed for the noise, which is the same for every example.

        Returns:
            Floating, (N, *domain.shape), in grey levels, where whole numbers are examples.
        """


class Statistic(Protocol):
    """An expensive function of a model and groups of examples, computed once and stored.

    A statistic that ignores the model declares `reads_model = False`: the harness passes None for
    the model, and a single stored value serves all models and epochs.

    Example:
        >>> import torch
        >>> from oodbench import Statistic
        >>> class MeanIntensity:
        ...     per = "example"
        ...     reads_model = False
        ...
        ...     def features(self, model):
        ...         return ["mean"]
        ...
        ...     def __call__(self, model, groups):
        ...         return groups.double().flatten(1).mean(1, keepdim=True).cpu().numpy()
        >>> statistic: Statistic = MeanIntensity()
        >>> statistic(None, torch.full((3, 1, 1, 2, 2), 7, dtype=torch.uint8)).tolist()
        [[7.0], [7.0], [7.0]]
    """

    @property
    def per(self) -> Per:
        """Unit of a row: an example (rows serve every group size) or a group."""

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the names of the F columns, for example the layers of the model."""

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the statistic.

        Arguments:
            model: In evaluation mode; must be left unchanged.
            groups: `domain.input_dtype`, (M, b, *domain.shape), on the device of the parameters; b
                is 1 where `per` is `"example"`.

        Returns:
            float64, (M, F).
        """


@runtime_checkable
class HasLayerNorms(Protocol):
    """Optional statistic capability: columns are the squared gradient norms of the layers.

    Figures and the report page draw such columns layer by layer.

    Example:
        >>> from oodbench import HasLayerNorms
        >>> class GradientNorms:
        ...     layer_norms = True
        >>> isinstance(GradientNorms(), HasLayerNorms)
        True
    """

    @property
    def layer_norms(self) -> bool:
        """True; usually a class attribute `layer_norms = True`."""


@runtime_checkable
class HasFakeFeatures(Statistic, Protocol):
    """Optional statistic capability: the conformance kit may make values up.

    The kit then examines scorers that read the statistic, without a model. The made-up values are
    positive, and larger out of distribution, unless the statistic also has `fake_values`.

    Example:
        >>> from oodbench import HasFakeFeatures
        >>> class Contrast:
        ...     per = "example"
        ...     fake_features = ("contrast",)
        ...     def features(self, model):
        ...         return ("contrast",)
        ...     def __call__(self, model, groups):
        ...         return groups.double().flatten(1).std(1, keepdim=True).cpu().numpy()
        >>> isinstance(Contrast(), HasFakeFeatures)
        True
    """

    @property
    def fake_features(self) -> Sequence[str]:
        """Names of the F columns of the made-up values; usually a class attribute."""


@runtime_checkable
class HasFakeValues(HasFakeFeatures, Protocol):
    """Optional statistic capability: made-up values that resemble values of the statistic.

    Example:
        >>> from oodbench import HasFakeValues
        >>> class Contrast:
        ...     per = "example"
        ...     fake_features = ("contrast",)
        ...     def features(self, model):
        ...         return ("contrast",)
        ...     def fake_values(self, noise, side):
        ...         return (20.0 if side == "in" else 60.0) + 3.0 * noise
        ...     def __call__(self, model, groups):
        ...         return groups.double().flatten(1).std(1, keepdim=True).cpu().numpy()
        >>> isinstance(Contrast(), HasFakeValues)
        True
    """

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """Make up values of groups in or out of distribution.

        Arguments:
            noise: float64, (..., F), standard normal.
            side: Whether the groups are in or out of distribution.

        Returns:
            float64, of the shape of `noise`.
        """


@runtime_checkable
class FittedStatistic(Statistic, Protocol):
    """Optional statistic capability: a fit to the examples of role `fit` before evaluation.

    The harness never evaluates a fitted statistic on the examples used for the fit. The examples
    of role `fit` are evaluated in two halves, each half by a statistic fitted on the other half.
    Groups of the roles `in` and `out` are evaluated by the statistic fitted on the second half, so
    all values come from fits to equally many examples.

    Example:
        >>> from oodbench import FittedStatistic
        >>> class Distance:
        ...     per = "example"
        ...
        ...     def features(self, model):
        ...         return ["distance"]
        ...
        ...     def fit(self, model, examples):
        ...         self.mean = examples.double().mean(0)
        ...         return self
        ...
        ...     def __call__(self, model, groups):
        ...         distances = (groups - self.mean).flatten(1).norm(dim=1, keepdim=True)
        ...         return distances.cpu().numpy()
        >>> isinstance(Distance(), FittedStatistic)
        True
    """

    def fit(self, model: DensityModel, examples: Tensor) -> Self:
        """Fit to in-distribution examples, discarding any earlier fit.

        Arguments:
            model: In evaluation mode; must be left unchanged. The evaluation uses the same model.
            examples: `domain.input_dtype`, (N, *domain.shape), on the device of the parameters.

        Raises:
            ScoreError: The examples do not allow a fit, for example because they are too few.
        """


class Scorer(Protocol):
    """A score from stored statistics, in NumPy; no torch, no model, no images.

    Each statistic is passed under the name given in `inputs`: with shape (M, b, F) for a statistic
    per example, (M, F) for a statistic per group. `fit` sees in-distribution groups only.

    Example:
        >>> import numpy as np
        >>> from oodbench import NotFittedError, Scorer
        >>> class Typicality:
        ...     inputs = ("log_prob",)
        ...     mean = None
        ...
        ...     def fit(self, statistics):
        ...         self.mean = statistics["log_prob"].mean()
        ...         return self
        ...
        ...     def score(self, statistics):
        ...         if self.mean is None:
        ...             raise NotFittedError("call fit first")
        ...         return np.abs(statistics["log_prob"].mean(axis=(1, 2)) - self.mean)
        >>> scorer: Scorer = Typicality()
        >>> groups = np.array([-4.0, -6.0]).reshape(2, 1, 1)  # (M, b, F)
        >>> scorer.fit({"log_prob": groups}).score({"log_prob": groups - 10.0}).tolist()
        [9.0, 11.0]
    """

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the statistics to read.

        By default a statistic is for the model, epoch and seed of the cell. `"name@model"` reads
        another model of the suite, `"name:4"` reads epoch 4, `"name/1"` reads seed 1; all parts
        can be combined, in this order: `"name@model:4/1"`.
        """

    def fit(self, statistics: Mapping[str, NDArray[np.float64]]) -> Self:
        """Fit to in-distribution groups, discarding any earlier fit.

        Raises:
            ScoreError: The statistics do not allow a fit, for example because groups are too few.
            UnsupportedError: The scorer does not apply to the model, for example one without
                levels.
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
    """Optional scorer capability: learning the names of the columns, for example the layers.

    Example:
        >>> from oodbench import NeedsFeatureNames
        >>> class LayerWeights:
        ...     def name_features(self, features):
        ...         self.layers = list(features["layer_gradient_sq_norms"])
        >>> isinstance(LayerWeights(), NeedsFeatureNames)
        True
    """

    def name_features(self, features: Mapping[str, Sequence[str]]) -> None:
        """Receive the column names of the statistics, before `fit`.

        The names are the same for the fit groups and all scored groups.

        Arguments:
            features: The names of the F columns, in order, for each entry in `inputs`.
        """


@runtime_checkable
class NeedsNormalized(Protocol):
    """Optional scorer capability: no meaning where log-probabilities lack an unknown constant.

    The constant of an unnormalized model depends on the weights. It moves all examples alike, so
    most scores do not need it; a score does that compares the log-probabilities of several weights
    otherwise than by a difference. Its cells are `n/a` for unnormalized models.

    Example:
        >>> from oodbench import NeedsNormalized
        >>> class VarianceOverSeeds:
        ...     needs_normalized = True
        >>> isinstance(VarianceOverSeeds(), NeedsNormalized)
        True
    """

    @property
    def needs_normalized(self) -> bool:
        """True; usually a class attribute `needs_normalized = True`."""


@runtime_checkable
class HasScoreTerms(Protocol):
    """Optional scorer capability: a score with named terms, for example a term for each layer.

    Example:
        >>> from oodbench import HasScoreTerms
        >>> class TwoTerms:
        ...     def score_terms(self, statistics):
        ...         values = statistics["log_prob_terms"].mean(axis=1)
        ...         return {"base": -values[:, 0], "ladj": -values[:, 1]}
        >>> isinstance(TwoTerms(), HasScoreTerms)
        True
    """

    def score_terms(
        self, statistics: Mapping[str, NDArray[np.float64]]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Return the terms by name, with sum `score(statistics)`.

        Returns:
            float64, (M,) each; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """


@runtime_checkable
class HasFitInfo(Protocol):
    """Optional scorer capability: facts about the fit, for example the number of omitted layers.

    Example:
        >>> from oodbench import HasFitInfo
        >>> class Trimmed:
        ...     def fit_info(self):
        ...         return {"layers_left_out": 2}
        >>> isinstance(Trimmed(), HasFitInfo)
        True
    """

    def fit_info(self) -> dict[str, float | int | str]:
        """Return named facts about the last fit, to be stored with each result."""


@runtime_checkable
class Baseline(Protocol):
    """Optional scorer capability: a trivial baseline, for example the mean intensity of an image.

    Every report flags a scorer that is beaten by a baseline of the same cell.

    Example:
        >>> from oodbench import Baseline
        >>> class MeanIntensity:
        ...     baseline = True
        >>> isinstance(MeanIntensity(), Baseline)
        True
    """

    @property
    def baseline(self) -> bool:
        """True; usually a class attribute `baseline = True`."""


@runtime_checkable
class Landmark(Protocol):
    """Optional scorer capability: a scorer that others are compared with, such as the likelihood.

    Figures and the page show it in colour by default, under its own name.

    Example:
        >>> from oodbench import Landmark
        >>> class LogLikelihood:
        ...     landmark = True
        >>> isinstance(LogLikelihood(), Landmark)
        True
    """

    @property
    def landmark(self) -> bool:
        """True; usually a class attribute `landmark = True`."""


class Executor(Protocol):
    """A way to run workers. The constructor takes `workers`, the maximum at once.

    Example:
        >>> from oodbench import Executor
        >>> class InOrder:
        ...     def __init__(self, workers):
        ...         self.workers = workers
        ...
        ...     def run(self, tasks, report):
        ...         for task in tasks:
        ...             task(report)
        >>> executor: Executor = InOrder(workers=1)
        >>> executor.run([lambda report: report("done")], print)
        done
    """

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Run every worker and pass on each event immediately.

        A worker deals with failures of its work by itself. If its process dies, the executor
        reports `JobFailed` with the task of the last `WorkTaken`, and may start the same worker
        again: the work of a dead worker is free at once, and a run leaves work at which two
        workers died.
        """


@runtime_checkable
class RunsElsewhere(Protocol):
    """Optional executor capability: its workers run on other machines, not on this one.

    So the number of processors here means nothing: without `--workers` there is a worker for each
    training, and without `--threads` a worker has the threads in `$OMP_NUM_THREADS`, else one.

    Example:
        >>> from oodbench import RunsElsewhere
        >>> class Cluster:
        ...     elsewhere = True
        >>> isinstance(Cluster(), RunsElsewhere)
        True
    """

    @property
    def elsewhere(self) -> bool:
        """True; usually a class attribute `elsewhere = True`."""


@runtime_checkable
class WritesScript(Protocol):
    r"""Optional executor capability: workers are started by a script, which people may read.

    Example:
        >>> from oodbench import WritesScript
        >>> class Scripted:
        ...     def script(self, tasks):
        ...         return "".join(f"bench {' '.join(task.command)}\n" for task in tasks)
        >>> isinstance(Scripted(), WritesScript)
        True
    """

    def script(self, tasks: Sequence[Task]) -> str:
        """Return the script that `run` would start; nothing is started."""


class Task(Protocol):
    """A picklable worker: it does what is left to do in a run, one piece of work after another.

    Workers divide the work through the store, so they need not know one another. A worker ends
    when everything is done, here or by others.

    Example:
        >>> from pathlib import Path
        >>> from oodbench import Task
        >>> from oodbench.events import Message
        >>> class Greeting:
        ...     name = "worker 1"
        ...     command = None
        ...     threads = 1
        ...     folder = Path("bench-store/runs/suite/1")
        ...
        ...     def left(self):
        ...         return 1
        ...
        ...     def __call__(self, report):
        ...         report(Message("hello"))
        >>> task: Task = Greeting()
        >>> task(print)
        Message(text='hello')
    """

    @property
    def name(self) -> str:
        """Name in displays and messages."""

    @property
    def command(self) -> Sequence[str] | None:
        """Arguments of `bench` that start this worker on a machine with the same store.

        None if no command can, because the suite was made in memory.
        """

    @property
    def threads(self) -> int:
        """Number of threads of the worker; another number changes rounding."""

    @property
    def folder(self) -> Path:
        """Folder of the run in the store; other runs and workers of the suite are beside it."""

    def left(self) -> int:
        """Count the jobs of the run that are not stored, by a look into the store."""

    def __call__(self, report: Callable[[Event], None]) -> None:
        """Work until everything is done, and report events along the way."""


FULL = "in_full_precision"
"""Class attribute of a model whose networks compute in bfloat16: its class before."""


@contextmanager
def full_precision(model: Any) -> Iterator[None]:
    """Let a model compute in the precision of its parameters inside the context.

    A suite may ask for networks in bfloat16 (`evaluation_precision`). A statistic that compares
    two ways to compute a number does so in full precision, where rounding hides no mistake.

    Example:
        >>> from oodbench import full_precision
        >>> class Model:
        ...     "In full precision already: nothing changes."
        >>> model = Model()
        >>> with full_precision(model):
        ...     print(type(model).__name__)
        Model
    """
    kind = type(model)
    model.__class__ = getattr(kind, FULL, kind)
    try:
        yield
    finally:
        model.__class__ = kind
