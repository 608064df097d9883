"""What a suite is: the keys of its TOML files, their types, defaults and meanings."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from harness.text import known_names, short

OTHERS = "others"


def _listed(value: Any) -> Any:
    """Let one value stand for a list of one."""
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, str | int) else value


def _known(kind: str, *words: str) -> AfterValidator:
    """A name that the suite defines or, where that is allowed, that a plugin bears; or a word."""

    def check(name: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get(kind)
        if known is not None and name not in {*known, *words}:
            raise PydanticCustomError(
                "unknown_name",
                "there is no {kind} {name}",
                {"kind": kind, "name": short(name), "hint": known_names(name, known)},
            )
        return name

    return AfterValidator(check)


def _others_alone(names: tuple[str, ...]) -> tuple[str, ...]:
    if OTHERS in names and len(names) > 1:
        raise PydanticCustomError("others", "'others' stands alone, without further names")
    return names


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    seen = set()
    for value in values:
        if value in seen:
            raise PydanticCustomError(
                "repeated", "{value} is there twice", {"value": short(value)}
            )
        seen.add(value)
    return values


Name: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[^\s@:/\\\x00-\x1f][^@:/\\\x00-\x1f]*$", max_length=100)
]
ModelName = Annotated[str, _known("model")]
DatasetName = Annotated[str, _known("data set")]
OutName = Annotated[str, _known("data set", OTHERS)]
ScorerName = Annotated[str, _known("scorer")]
RecipeName = Annotated[str, _known("training recipe")]
ModelPlugin = Annotated[str, _known("model plugin")]
DatasetPlugin = Annotated[str, _known("data set plugin")]
ScorerPlugin = Annotated[str, _known("scorer plugin")]
StatisticPlugin = Annotated[str, _known("statistic plugin")]
Count = Annotated[int, Field(ge=1)]
Epoch = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
T = TypeVar("T")
Several = Annotated[
    tuple[T, ...], BeforeValidator(_listed), AfterValidator(_distinct), Field(min_length=1)
]


class _Table(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Plugins(_Table):
    """Where to find plugins that are not installed."""

    paths: tuple[str, ...] = ()
    """Python files with hooks, relative to the suite file."""


class Recipe(_Table):
    """How a model is trained; every key is part of the train key."""

    # A new key is declared in `harness/plan/keys.py` too, with its neutral value.

    optimizer: Literal["adam", "adamax", "adamw"] = "adamax"
    """The optimiser, with the coefficients that torch gives it by default."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    """Step size after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """L2 penalty (adam, adamax) or decoupled decay (adamw)."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Length of the linear warm-up of the step size, in epochs."""
    minibatch: Count = 64
    """Examples a step; the last, smaller batch of an epoch is dropped."""
    clip_grad_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the whole gradient; larger ones are scaled down to it."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point type of the parameters, in training and in evaluation."""
    translate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Augmentation: largest shift, as a share of height and width, borders filled by zeros."""
    horizontal_flip: bool = False
    """Augmentation: mirror half of the examples."""
    prepare_batches: Count = 8
    """Minibatches for the data-dependent start of models that have one."""
    examples: Count | None = None
    """Number of random examples of the train split to train on, shown under every table. The
    training seed chooses them, and a larger number adds to the examples of a smaller one."""
    mutation_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Perturbation, for background models: share of the values (each channel of each pixel by
    itself) that a uniform one of all levels replaces, anew at every step; in training only."""


class Model(_Table):
    """A model to be trained."""

    plugin: ModelPlugin
    """Name of the model plugin."""
    options: dict[str, Any] = {}
    """Options of the plugin; see `bench show NAME`."""
    training: RecipeName
    """Name of the training recipe."""
    dataset: DatasetName | None = None
    """Data set whose train split it is trained on, for a general model that scorers read whatever
    is in-distribution (`log_prob@NAME`). By default the comparison's `in` data set."""


class DatasetTable(_Table):
    """A data set."""

    plugin: DatasetPlugin
    """Name of the data set plugin."""
    options: dict[str, Any] = {}
    """Options of the plugin; one that is a data set names another one of the suite."""


class Scorer(_Table):
    """A scorer with options."""

    plugin: ScorerPlugin
    """Name of the scorer plugin."""
    options: dict[str, Any] = {}
    """Options of the plugin; one that is a scorer, or several, names others."""


class Statistic(_Table):
    """A statistic with options, for scorers to name."""

    plugin: StatisticPlugin
    """Name of the statistic plugin."""
    options: dict[str, Any] = {}
    """Options of the plugin."""


class Protocol(_Table):
    """Draws of test examples, for each comparison that does not say otherwise."""

    n_in: Count | None = None
    """ID test examples to score; by default 1,000, or half of the test split if that is less."""
    n_fit: Count | None = None
    """ID test examples to fit the scorers on; by default all that are not scored."""
    n_out: Count | None = None
    """Test examples to score of each OOD data set; by default 1,000, or all if they are fewer."""
    fit_overlap: Literal["none", "paper"] = "none"
    """`"paper"`: fit on `n_fit` of all ID test examples, drawn with the scored ones first."""
    draw_seed: Seed = 0
    """Seed of the draw of test examples."""


class Comparison(Protocol):
    """Every combination of its models, data sets, epochs, group sizes, seeds and scorers."""

    model_config = ConfigDict(populate_by_name=True)

    models: Several[ModelName]
    """Models, each trained on the train split of each `in` data set. One with a `dataset` of its
    own can be judged only where that is the one `in` data set; elsewhere scorers read it."""
    in_datasets: Annotated[Several[DatasetName], Field(alias="in")]
    """In-distribution data sets."""
    out_datasets: Annotated[Several[OutName], AfterValidator(_others_alone), Field(alias="out")]
    """OOD data sets, or `"others"`: all other data sets that the suite defines on one domain."""
    epochs: Several[Epoch]
    """Epochs at which the model is judged; 0 is the initialised model."""
    group_sizes: Several[Count] = (1,)
    """Numbers of examples judged together."""
    seeds: Several[Seed] = (0,)
    """Seeds of the training."""
    scorers: Several[ScorerName]
    """Scorers, by plugin name or by a name under `scorers`."""

    def under(self, protocol: Protocol) -> Comparison:
        """The comparison, with the protocol's word on what it does not say itself."""
        unsaid = protocol.model_fields_set - self.model_fields_set
        return self.model_copy(update={name: getattr(protocol, name) for name in unsaid})


class Suite(_Table):
    """A validated suite. Everything in it is fixed; nothing has been built or loaded."""

    title: str = ""
    """Title of reports."""
    include: tuple[str, ...] = ()
    """Other suite files, relative to this one, whose tables and comparisons are taken in."""
    plugins: Plugins = Plugins()
    """Where to find plugins that are not installed."""
    models: dict[Name, Model] = {}
    """Models by name."""
    training: dict[Name, Recipe] = {}
    """Training recipes by name."""
    datasets: dict[Name, DatasetTable] = {}
    """Data sets by name."""
    statistics: dict[Name, Statistic] = {}
    """Statistics with options by name."""
    scorers: dict[Name, Scorer] = {}
    """Scorers with options by name."""
    reference: str = ""
    """JSON file of published values that reports show beside ours, relative to this one."""
    protocol: Protocol = Protocol()
    """Draws of test examples, for all comparisons."""
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1)]
    """What is compared."""
