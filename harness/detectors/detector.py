"""Detector: scores, p-values and flags for new examples."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, Unpack

import numpy as np

from harness.detectors.conformal import most_flagged, p_values
from harness.detectors.folder import Contents, read_folder
from harness.detectors.inputs import Group, checked, chunks, find_inputs, groups
from harness.detectors.make import WantedCell, make_detector
from harness.detectors.scoring import Scoring
from harness.domain import Domain, Examples
from harness.errors import DataError, ScoreError
from harness.registry.registry import Registry
from harness.settings import Settings, default_data, default_store
from harness.suite import load_suite
from harness.text import counted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Place: TypeAlias = str | os.PathLike[str]
NOT_FINITE = "the model gives no finite number for it"


@dataclass(frozen=True, eq=False)
class Detections:
    """Scores and p-values of groups.

    Attributes:
        scores: float64, (M,), higher is more OOD.
        p_values: float64, (M,): the share of in-distribution groups with a score at least as high;
            see `p_values` of `harness.detectors.conformal`.
        calibration_size: Number of calibration scores, n.
    """

    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]
    calibration_size: int

    def flags(self, alpha: float = 0.05) -> NDArray[np.bool_]:
        """Return which groups are flagged as out-of-distribution, p <= alpha; bool, (M,).

        Arguments:
            alpha: Share of in-distribution groups that may be flagged, on average.

        Raises:
            BenchError: The level is so small that nothing could be flagged.
        """
        flagged: NDArray[np.bool_] = self.p_values <= most_flagged(alpha, self.calibration_size)
        return flagged


class FileResult(NamedTuple):
    """Score of a file, or of a group of files.

    Attributes:
        inputs: Names of the files; an example in an array has its number in brackets, a window of
            a text its range of bytes.
        score: Higher is more OOD; None unless the status is `"ok"`.
        p_value: The p-value; None unless the status is `"ok"`.
        status: `"ok"`, `"failed"`, or `"left_over"` for too few files for a group.
        problem: The reason for having no score, else empty.
    """

    inputs: tuple[str, ...]
    score: float | None
    p_value: float | None
    status: str
    problem: str


class Detector:
    """A scorer from the table put to use: flags out-of-distribution (OOD) inputs.

    `bench detector make` and `Detector.make` write the folder of a detector, `Detector.load` reads
    it. A detector has one model at one epoch, one scorer, and the scores of in-distribution (ID)
    examples that neither the model nor the scorer has seen. The p-value of an input tells which
    share of these ID examples has a score at least as high; inputs with p <= alpha are flagged.

    Attributes:
        domain: Shape, dtype and number of levels of the inputs.
        group_size: Number of examples that are judged together.
        calibration: Scores of the ID groups behind the p-values, float64, (n,).
        facts: Where the detector comes from: cell, data, AUROC against each OOD data set.

    Example:
        >>> from oodbench import BenchError, Detector
        >>> try:
        ...     detector = Detector.load("no-such-folder")
        ... except BenchError as error:
        ...     print(error)
        no-such-folder is no detector: no-such-folder/detector.json does not exist
    """

    def __init__(self, contents: Contents, registry: Registry, device: str = "auto") -> None:
        """Build models and scorer from the contents of a folder; see `load`."""
        from harness.compute.device import find_device

        description = contents.description
        self.domain: Domain = description.input_domain
        self.group_size: int = description.group_size
        self.facts: Mapping[str, Any] = contents.facts
        self.calibration: NDArray[np.float64] = _calibration(contents)
        self._registry = registry
        self._score = Scoring(contents, registry, find_device(device))

    @classmethod
    def load(
        cls, folder: str | Path, *, plugins: Sequence[str] = (), device: str = "auto"
    ) -> Detector:
        """Read a detector from its folder. No file is unpickled, and no code is read from it.

        Arguments:
            folder: Folder written by `make`.
            plugins: Plugin files or modules with a model, statistic or scorer of the detector, as
                `-p` of the command line.
            device: `"cpu"`, `"cuda"`, `"cuda:1"` ..., or `"auto"`.

        Raises:
            DataError: A file is missing, damaged, or belongs to another detector.
            PluginError: A plugin is missing, or another version.
            ScoreError: The scorer gives other scores here than where the detector was made.
        """
        return cls(read_folder(Path(folder)), Registry(list(plugins)), device)

    @classmethod
    def make(
        cls,
        suite: str | Path,
        folder: str | Path,
        *,
        store: str | Path | None = None,
        data: str | Path | None = None,
        plugins: Sequence[str] = (),
        device: str = "auto",
        **cell: Unpack[WantedCell],
    ) -> Detector:
        """Write the folder of a detector from the stored results of a suite, and load it.

        Arguments:
            suite: Suite file, or the name of a shipped suite; `bench run` has computed it.
            folder: New folder to write.
            store: Store with the results; the default is that of the command line.
            data: Data folder, likewise.
            plugins: As in `load`.
            device: As in `load`.
            cell: `model`, `in_dataset`, `scorer` and `epoch`, each only if the suite has several;
                `group_size` and `seed`, by default the smallest of the suite.

        Raises:
            BenchError: The cell is unknown or not computed, or cannot become a detector.
        """
        places = Path(store or default_store()), Path(data or default_data())
        make_detector(load_suite(Path(suite), plugins), Settings(*places), cell, Path(folder))
        return cls.load(folder, plugins=plugins, device=device)

    def __repr__(self) -> str:
        """Name scorer, model, epoch, shape and numbers."""
        cell = "{scorer} on {model} at {unit} {epoch}".format(**self.facts)
        n = counted(len(self.calibration), "calibration score")
        return f"<Detector: {cell}, for {self.domain}, groups of {self.group_size}, {n}>"

    def __call__(self, examples: ArrayLike) -> Detections:
        """Score images, or windows of text.

        Arguments:
            examples: `domain.dtype`, (N, *domain.shape), an array or a tensor on the CPU;
                consecutive examples form groups, and an incomplete last group gets no score.

        Raises:
            DataError: The examples have another dtype, shape or more levels.
            ScoreError: A group has a value that is not finite.
        """
        array = checked(f"{self.domain.example}s", np.asarray(examples), self.domain)
        count = len(array) // self.group_size
        scores = self._scores(array[: count * self.group_size])
        lost = np.flatnonzero(np.isnan(scores))
        if len(lost):
            raise ScoreError(
                f"{counted(len(lost), 'group')} of {count:,} without a score: {NOT_FINITE}; the "
                f"first is group {lost[0]}"
            )
        found = p_values(self.calibration, scores)
        return Detections(scores, found, len(self.calibration))

    def files(
        self,
        paths: Place | Sequence[Place],
        *,
        resize: bool = False,
        remark: Callable[[str], None] = lambda text: None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[FileResult]:
        """Score the files at paths, and yield the results in order, a chunk at a time.

        A file that cannot be read is a result with the status `"failed"`. With a group size above
        1, a group is made of consecutive pictures of the same folder, or of consecutive examples
        of the same array or text; the last ones that are too few get the status `"left_over"`.

        Arguments:
            paths: Picture, text file, `.npy` or `.npz` array, or folder with such files; or
                several of them.
            resize: Crop, resize and convert pictures of another size as the data set `folder`.
            remark: Called with remarks, for example on files that were passed over.
            progress: Called after each file with the number of files read and of all files.

        Raises:
            DataError: No plugin reads files for the domain, text is to be resized, or `paths` are
                no paths.
        """
        items, remarks = find_inputs(_places(paths), self.domain, resize, self._registry)
        for text in remarks:
            remark(text)

        def told() -> Iterator[Any]:
            for number, item in enumerate(items):
                yield item
                progress(number + 1, len(items))

        for chunk in chunks(groups(told(), self.group_size, self.domain), self.group_size):
            yield from self._scored(chunk)

    def _scored(self, chunk: Sequence[Group]) -> Iterator[FileResult]:
        examples = [group.examples for group in chunk if group.examples is not None]
        empty = np.empty((0, *self.domain.shape), self.domain.dtype)
        scores = self._scores(np.concatenate([empty, *examples]))
        found = zip(scores.tolist(), p_values(self.calibration, scores).tolist(), strict=True)
        for group in chunk:
            if group.examples is None:
                yield FileResult(group.inputs, None, None, group.status, group.problem)
                continue
            score, p_value = next(found)
            if isnan(score):
                problem = f"{group.inputs[0]}: {NOT_FINITE}"
                yield FileResult(group.inputs, None, None, "failed", problem)
            else:
                yield FileResult(group.inputs, score, p_value, "ok", "")

    def _scores(self, examples: Examples) -> NDArray[np.float64]:
        return self._score(examples) if len(examples) else np.empty(0)


def _places(given: Any) -> list[Path]:
    """Return one path, or several, as a list."""
    found = [given] if isinstance(given, str | os.PathLike) else given
    is_several = isinstance(found, Iterable) and not isinstance(found, bytes)
    several = list(found) if is_several else [given]
    for item in several:
        if not isinstance(item, str | os.PathLike):
            kind = type(item).__name__
            what = kind if item is given else f"{kind} in {type(given).__name__}"
            raise DataError(
                f"paths: expected a path, or a list of paths, not {what}; examples in memory are "
                "scored by detector(examples)"
            )
    return [Path(item) for item in several]


def _calibration(contents: Contents) -> NDArray[np.float64]:
    name = contents.description.calibration
    scores: NDArray[np.float64] = contents.array(name, "float64")
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise DataError(f"{contents.folder / name} should have finite scores of shape (n,)")
    return scores
