"""`bench detector make` and `bench detector run`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from harness.cli.arguments import (
    DataOption,
    DeviceOption,
    PluginOption,
    SetOption,
    StoreOption,
    SuitePath,
)
from harness.cli.display.displays import PLAIN_SECONDS
from harness.cli.output import print_json, print_rows, tell
from harness.detectors.conformal import most_flagged
from harness.detectors.detector import Detector, FileResult
from harness.detectors.make import make_detector
from harness.errors import MOST_SHOWN, NothingSelectedError
from harness.report.render.documents import csv_text
from harness.results import LIKELIHOODS
from harness.settings import Settings
from harness.suite import load_suite
from harness.text import counted, printable

FAILED = 1
COLUMNS = ("input", "score", "p_value", "flagged")
REASON = "reason"
"""Column of CSV with the reason for having no score."""
FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A detector.", show_default=False)
]


def make(
    suite: SuitePath,
    folder: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="New folder to write.")
    ],
    model: Annotated[str | None, typer.Option(help="Model of the suite.")] = None,
    in_dataset: Annotated[
        str | None, typer.Option("--in", metavar="TEXT", help="In-distribution data set.")
    ] = None,
    scorer: Annotated[str | None, typer.Option(help="Scorer of the suite.")] = None,
    epoch: Annotated[int | None, typer.Option(help="Epoch (or step) of the suite.")] = None,
    group_size: Annotated[
        int | None, typer.Option(help="Inputs judged together; by default the smallest.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Training seed; by default the smallest.")
    ] = None,
    *,
    changes: SetOption,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
) -> None:
    """Write a detector from stored results of a suite.

    The folder has the weights, the statistics to fit the scorer, the scores behind the p-values,
    and a README with the AUROC. A choice may be left out if the suite has a single value.
    """
    given = {
        "model": model,
        "in_dataset": in_dataset,
        "scorer": scorer,
        "epoch": epoch,
        "group_size": group_size,
        "seed": seed,
    }
    wanted: Any = {key: value for key, value in given.items() if value is not None}
    facts = make_detector(
        load_suite(suite, plugin, changes), Settings(store, data), wanted, folder
    )
    rows = [
        [row["out"], _number(row["auroc"]), _number(row["auroc_low"]), _number(row["auroc_high"])]
        for row in facts["results"]
    ]
    print_rows(["OOD set", "AUROC", "low", "high"], rows)
    if kind := facts["likelihood"]:
        tell(f"the log-probability of {facts['model']} is {LIKELIHOODS[kind]}")
    tell(f"{folder} has the detector and a README; run: bench detector run {folder} FILES")


def run(
    folder: FolderArgument,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS...",
            help="Pictures or text files, .npy or .npz arrays, and folders with such files.",
            show_default=False,
        ),
    ],
    alpha: Annotated[
        float, typer.Option(help="Share of in-distribution inputs that may be flagged.")
    ] = 0.05,
    format: Annotated[
        Literal["table", "csv", "json"], typer.Option(help="Output format.")
    ] = "table",
    resize: Annotated[
        bool,
        typer.Option("--resize", help="Crop, resize and convert pictures of another size."),
    ] = False,
    device: DeviceOption = "auto",
    *,
    plugin: PluginOption,
) -> None:
    """Score and flag pictures, texts or arrays with a detector.

    Prints for each input (or group) the score, the p-value, and whether p <= alpha. A file that
    cannot be read is named, and the exit status is 1.
    """
    # Imported here, because importing PyTorch takes seconds and `--help` should not wait.
    from harness.compute.device import keep_freed_memory

    keep_freed_memory()
    detector = Detector.load(folder, plugins=plugin, device=device)
    n = len(detector.calibration)
    level = most_flagged(alpha, n)
    results = list(_told(detector, paths, resize))
    rows = [_row(result, level) for result in results if result.status == "ok"]
    failed = sum(result.status == "failed" for result in results)
    if not rows and not failed:
        raise NothingSelectedError("no input has a score")
    _print(format, rows, results, {"detector": dict(detector.facts), "alpha": alpha})
    flagged = sum(row["flagged"] for row in rows)
    lost = f"; {counted(failed, 'file')} failed" if failed else ""
    if rows:
        tell(
            f"{flagged:,} of {counted(len(rows), 'score')} flagged (p <= {alpha:g}); of "
            f"in-distribution inputs at most {100 * level:.3g} % are, on average ({n:,} "
            f"calibration scores){lost}"
        )
    raise typer.Exit(FAILED if failed else 0)


def _told(detector: Detector, paths: Sequence[str], resize: bool) -> Iterator[FileResult]:
    """Yield the results, and tell progress and failures on stderr."""
    read, scored, left, failed, last = (0, 0), 0, 0, 0, 0.0

    def progress(done: int, total: int) -> None:
        nonlocal read
        read = done, total

    for result in detector.files(paths, resize=resize, remark=tell, progress=progress):
        yield result
        scored += result.status == "ok"
        left += len(result.inputs) * (result.status == "left_over")
        failed += result.status == "failed"
        if result.status == "failed" and failed <= MOST_SHOWN:
            tell(f"failed: {result.problem}")
        last = last or time.monotonic()  # the start-up is no progress
        if time.monotonic() - last >= PLAIN_SECONDS:
            last = time.monotonic()
            tell(f"{scored:,} scored, {read[0]:,} of {counted(read[1], 'file')} read")
    if failed > MOST_SHOWN:
        tell(f"and {failed - MOST_SHOWN:,} more failed; --format json lists them all")
    if left:
        size = detector.group_size
        same = "of the same folder or file"
        tell(f"{counted(left, 'input')} left over: groups are {size} inputs {same}")


def _row(result: FileResult, level: float) -> dict[str, Any]:
    assert result.p_value is not None, "the status is ok"
    return {
        "inputs": list(result.inputs),
        "score": result.score,
        "p_value": result.p_value,
        "flagged": result.p_value <= level,
    }


def _print(
    format: str, rows: list[dict[str, Any]], results: list[FileResult], head: dict[str, Any]
) -> None:
    if format == "json":
        others = [result._asdict() for result in results if result.status != "ok"]
        print_json({**head, "results": rows, "without_score": others})
        return
    if format == "csv":
        scored = iter(rows)
        words = [_csv_row(item, scored) for item in results]
        sys.stdout.write(csv_text((*COLUMNS, REASON), words))
        return
    print_rows(
        COLUMNS,
        [
            [
                _named(row["inputs"]),
                f"{row['score']:.6g}",
                f"{row['p_value']:.4g}",
                _yes(row["flagged"]),
            ]
            for row in rows
        ],
    )


def _csv_row(result: FileResult, scored: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Return a row of CSV, for a result with a score from the next of the scored rows."""
    row: dict[str, Any] = {"input": _named(result.inputs), REASON: result.problem}
    if result.status != "ok":
        return row | dict.fromkeys(COLUMNS[1:], "")
    found = next(scored)
    return found | row | {"flagged": str(found["flagged"]).lower()}


def _named(inputs: Sequence[str]) -> str:
    """Return the first and the last name."""
    return printable(" … ".join(inputs if len(inputs) < 2 else (inputs[0], inputs[-1])))


def _yes(flagged: bool) -> str:
    return "yes" if flagged else "no"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
