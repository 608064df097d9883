"""Schema of a suite: the keys in TOML files, with types, defaults and meanings."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from harness.text import known_names, short

OTHERS = "others"


def _listed(value: Any) -> Any:
    """Accept a single value in place of a list."""
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, str | int) else value


def _known(kind: str, *words: str) -> AfterValidator:
    """Check that a name is defined by the suite or a plugin, or is an allowed word."""

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
        raise PydanticCustomError("others", "'others' cannot be combined with further names")
    return names


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    seen = set()
    for value in values:
        if value in seen:
            raise PydanticCustomError(
                "repeated", "{value} is listed twice", {"value": short(value)}
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
ExecutorPlugin = Annotated[str, _known("executor plugin")]
Count = Annotated[int, Field(ge=1)]
Epoch = Annotated[int, Field(ge=0, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
T = TypeVar("T")
Several = Annotated[
    tuple[T, ...], BeforeValidator(_listed), AfterValidator(_distinct), Field(min_length=1)
]


EvaluationPrecision: TypeAlias = Literal["full", "bfloat16"]


class _Table(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Plugins(_Table):
    """Locations of plugins outside any installed distribution."""

    paths: tuple[str, ...] = ()
    """Python files with hooks, relative to the suite file."""


class Recipe(_Table):
    """Training of a model; every key is part of the train key."""

    # Also declare a new key in `harness/plan/keys.py`, with the neutral value.

    optimizer: Literal["adam", "adamax", "adamw"] = "adamax"
    """The optimiser, with the default coefficients in torch."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    """Step size after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """L2 penalty (adam, adamax) or decoupled decay (adamw)."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Length of the linear step size warm-up, in epochs."""
    minibatch: Count = 64
    """Number of examples per step; the last, smaller batch of an epoch is dropped."""
    clip_grad_norm: Annotated[float, Field(gt=0)] | None = None
    """Maximum norm of the whole gradient; a larger gradient is scaled down to this norm."""
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    """Floating-point type of the parameters, in training and evaluation. `"bfloat16"`: parameters
    are float32, and the networks round their inputs and weights to bfloat16 in training."""
    translate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Augmentation: maximum shift, relative to height and width, with zeros at the border."""
    horizontal_flip: bool = False
    """Augmentation: mirror half of the examples."""
    prepare_batches: Count = 8
    """Number of minibatches for a data-dependent start, in models with such a start."""
    examples: Count | None = None
    """Number of random examples of the train split to train on, shown under every table. The
    training seed chooses them, and a larger number adds to the examples of a smaller one."""
    mutation_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Perturbation, for background models: share of the values (each channel of each pixel
    separately) replaced by uniform random levels, redrawn at every step; in training only."""

    @property
    def parameters(self) -> Literal["float32", "float64"]:
        """Floating-point type of the parameters."""
        return "float64" if self.precision == "float64" else "float32"


class Checkpoints(_Table):
    """Saved epochs of a model that was trained elsewhere; such a model is never trained here."""

    files: str | None = None
    """Pattern for the files or folders, relative to the suite file. `{epoch}` or `{step}` stands
    for the number on the epochs axis, `{seed}` for the training seed, `*` for any characters and
    `?` for a single character within a name."""
    epochs: dict[Epoch, str] = {}
    """Files or folders by epoch, in place of `files`; names may contain `{seed}`."""
    repository: str | None = None
    """With `revisions`, in place of `files`: a folder with a folder for each revision, relative to
    the suite file; or the name of a model on the Hugging Face hub, such as
    `"EleutherAI/pythia-70m"`, whose revisions are read from the cache of the hub. Nothing is
    downloaded: a message has the commands."""
    revisions: str | None = None
    """Pattern for the revisions of `repository`, such as `"step{step}"`; `{epoch}`, `{seed}`, `*`
    and `?` as in `files`. A revision that is not on this machine is missing data, not a
    mistake."""
    state: str = ""
    """Entry with the weights, for example `"state_dict_ema"`; by default the only entry that
    matches the model."""
    strip: str = ""
    """Prefix removed from the names of the tensors in the files; tensors without the prefix are
    left out."""
    add: str = ""
    """Prefix added to the names of the tensors in the files, after `strip`."""
    ignore: list[str] = []
    """Patterns for the names of tensors in the files that are no weights and are left out, such as
    `"*.attention.bias"`; `*` stands for any characters."""
    rename: dict[str, str] = {}
    """Beginnings of names of tensors in the files, each with its replacement, such as
    `{ "embed_out." = "lm_head." }`; before `strip`."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point type of the parameters; weights are never rounded to it."""
    allow_equal: bool = False
    """Accept epochs with equal weights, or with a part of the weights in the same file, which are
    an error otherwise; a note below the tables names them."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.repository is None) != (self.revisions is None):
            raise PydanticCustomError("half_source", "'repository' and 'revisions' go together")
        sources = (self.files is not None, bool(self.epochs), self.revisions is not None)
        if sum(sources) != 1:
            raise PydanticCustomError(
                "one_source", "give either 'files' or 'epochs' or 'repository' with 'revisions'"
            )
        return self


class Model(_Table):
    """A model to be trained, or with saved epochs."""

    plugin: ModelPlugin
    """Name of the model plugin."""
    options: dict[str, Any] = {}
    """Options of the plugin; see `bench show NAME`."""
    training: RecipeName | None = None
    """Name of the training recipe; required without `checkpoints`."""
    dataset: DatasetName | None = None
    """Data set with the train split for a general model; scorers can read such a model regardless
    of the ID set (`log_prob@NAME`). The default is the `in` data set of the comparison. For saved
    epochs: the data set that the model was trained on."""
    checkpoints: Checkpoints | None = None
    """Saved epochs, in place of a training."""
    evaluation_precision: EvaluationPrecision = "full"
    """Precision in evaluation: `"full"` is that of the parameters, and with `"bfloat16"` the
    networks of a model with float32 parameters round their inputs and weights to bfloat16."""

    @model_validator(mode="after")
    def _trained_or_saved(self) -> Self:
        if self.training is None and self.checkpoints is None:
            raise PydanticCustomError(
                "no_weights",
                "missing key",
                {"key": "training", "hint": "or a table 'checkpoints' with saved epochs"},
            )
        if self.training is not None and self.checkpoints is not None:
            raise PydanticCustomError(
                "two_sources",
                "saved epochs are never trained, so 'training' and 'checkpoints' exclude each "
                "other",
                {"key": "training"},
            )
        return self


class DatasetTable(_Table):
    """A data set."""

    plugin: DatasetPlugin
    """Name of the data set plugin."""
    options: dict[str, Any] = {}
    """Options of the plugin; an option of type data set names another data set in the suite."""


class Scorer(_Table):
    """A scorer with options."""

    plugin: ScorerPlugin
    """Name of the scorer plugin."""
    options: dict[str, Any] = {}
    """Options of the plugin; an option of type scorer, or several scorers, names other scorers."""


class Statistic(_Table):
    """A statistic with options, for scorers to name."""

    plugin: StatisticPlugin
    """Name of the statistic plugin."""
    options: dict[str, Any] = {}
    """Options of the plugin."""


class Protocol(_Table):
    """Draws of test examples; defaults for all comparisons."""

    n_in: Count | None = None
    """Number of ID test examples to score; default 1,000, or half of the test split if smaller."""
    n_fit: Count | None = None
    """Number of ID test examples for fitting scorers; default: all that are not scored."""
    n_out: Count | None = None
    """Number of test examples to score per OOD data set; default 1,000, or all if fewer exist."""
    fit_overlap: Literal["none", "paper"] = "none"
    """`"paper"`: fit on `n_fit` of all ID test examples, beginning with the scored examples."""
    draw_seed: Seed = 0
    """Seed for drawing test examples."""


class Comparison(Protocol):
    """Every combination of models, data sets, epochs, group sizes, seeds and scorers."""

    model_config = ConfigDict(populate_by_name=True)

    models: Several[ModelName]
    """Models, each trained on the train split of each `in` data set. A model with a `dataset` key
    can be judged only if `in` is that data set alone; elsewhere scorers can read the model."""
    in_datasets: Annotated[Several[DatasetName], Field(alias="in")]
    """In-distribution data sets."""
    out_datasets: Annotated[Several[OutName], AfterValidator(_others_alone), Field(alias="out")]
    """OOD data sets, or `"others"`: all other data sets in the suite with the same domain."""
    epochs: Several[Epoch]
    """Epochs to judge; 0 is the initialised model."""
    group_sizes: Several[Count] = (1,)
    """Numbers of examples to judge together."""
    seeds: Several[Seed] = (0,)
    """Training seeds."""
    scorers: Several[ScorerName]
    """Scorers, by plugin name or by a name in `scorers`."""

    def under(self, protocol: Protocol) -> Comparison:
        """Return the comparison, with unset keys taken from the protocol."""
        unsaid = protocol.model_fields_set - self.model_fields_set
        return self.model_copy(update={name: getattr(protocol, name) for name in unsaid})


class Suite(_Table):
    """A validated, immutable suite; nothing has been built or loaded."""

    title: str = ""
    """Title of reports."""
    include: tuple[str, ...] = ()
    """Other suite files, relative to this file, with tables and comparisons to include."""
    plugins: Plugins = Plugins()
    """Locations of plugins outside any installed distribution."""
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
    """JSON file with published values for comparison in reports, relative to this file."""
    protocol: Protocol = Protocol()
    """Draws of test examples; defaults for all comparisons."""
    executors: dict[ExecutorPlugin, dict[str, Any]] = {}
    """Options of executors, by name of the plugin; see `bench show NAME`. The options change no
    number and no key, and `--set` may set options that the file lacks."""
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1)]
    """Comparisons to compute."""


def keys_at(key: tuple[str | int, ...]) -> list[str]:
    """Return the known keys of the table at a path in a suite."""
    schema: Any = Suite.model_json_schema()
    definitions = schema["$defs"]
    node = schema
    for part in key:
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            (named,) = node.get("patternProperties", {"": {}}).values()
            node = node.get("properties", {}).get(part) or named
        node = node.get("anyOf", [node])[0]
        while "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[-1]]
    return list(node.get("properties", {}))
