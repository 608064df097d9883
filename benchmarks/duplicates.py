"""Cost of finding duplicates beside the conversion of a data set, in one run.

    uv run python benchmarks/duplicates.py --examples 100000 --form array
    uv run python benchmarks/duplicates.py --examples 100000 --form pictures

Random colour images of 32 x 32 pixels, of which every tenth test image is a train image, are
converted as by a run. Arrays are the hardest case, because nothing is decoded. The duplicates'
part is the digests of all examples, their storage, and the counts in the notes. The conversion is
everything else. Seconds are medians over the repetitions, on the wall.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from harness.data import folder as conversion
from harness.data.catalog import find_datasets
from harness.data.contents import Contents, keep_contents
from harness.data.folder import DataFolder
from harness.data.questions import notes_on_dataset

SUITE = """
[training.t]
[models.m]
plugin = "glow"
training = "t"
options = {{ levels = 1, steps = 1, width = 8 }}
[datasets.made]
plugin = "folder"
options = {{ path = "{path}", size = 32 }}
[datasets.noise]
plugin = "noise"
options = {{ channels = 3, height = 32, width = 32, n_train = 10, n_test = 10 }}
[[comparisons]]
models = "m"
in = "made"
out = "noise"
epochs = 0
scorers = "log-likelihood"
"""


def make(path: Path, examples: int, form: str) -> None:
    """Write train and test images, nine to one."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (examples, 32, 32, 3), dtype=np.uint8)
    train, test = np.split(images, [9 * examples // 10])
    test[::10] = train[: len(test[::10])]
    for split, part in (("train", train), ("test", test)):
        if form == "array":
            path.mkdir(exist_ok=True)
            np.save(path / f"{split}.npy", part)
        else:
            write_pictures(path / split, part)


def write_pictures(path: Path, images: np.ndarray) -> None:
    """Write images as PNG files."""
    import PIL.Image

    path.mkdir(parents=True)
    for index, image in enumerate(images):
        PIL.Image.fromarray(image).save(path / f"{index:07}.png", compress_level=1)


class Watch:
    """Adds up the time spent in functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def on(self, function):
        """Return the function, watched."""

        def watched(*args):
            start = time.perf_counter()
            try:
                return function(*args)
            finally:
                self.seconds += time.perf_counter() - start

        return watched


def measure(suite: Path) -> tuple[float, float, list[str]]:
    """Convert once; return the seconds of the conversion, of the duplicates, and the notes."""
    component = next(item for item in find_datasets([str(suite)]) if item.name == "made")
    watch = Watch()
    with (
        tempfile.TemporaryDirectory(dir=suite.parent) as data,
        patch.object(Contents, "of", watch.on(Contents.of)),
        patch.object(conversion, "keep_contents", watch.on(keep_contents)),
    ):
        start = time.perf_counter()
        prepared = DataFolder(Path(data)).prepare(component)
        whole = time.perf_counter() - start
        in_conversion = watch.seconds
        notes = watch.on(notes_on_dataset)(prepared)
    return whole - in_conversion, watch.seconds, notes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--form", choices=("array", "pictures"), default="array")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        suite = Path(made, "suite.toml")
        suite.write_text(SUITE.format(path=Path(made, "images")))
        make(Path(made, "images"), args.examples, args.form)
        runs = [measure(suite) for _ in range(args.repeats)]
    converting, finding = (statistics.median(run[part] for run in runs) for part in (0, 1))
    ratio = statistics.median(run[1] / run[0] for run in runs)
    print(*runs[0][2], sep="\n")
    print(f"{args.examples:,} examples, {args.form}: conversion {converting:.2f} s,")
    print(f"duplicates {finding:.2f} s, ratio {ratio:.3f}")
    if args.json:
        result = {**vars(args), "json": None, "converting": converting, "finding": finding}
        args.json.write_text(json.dumps({**result, "ratio": ratio}, indent=1))


if __name__ == "__main__":
    main()
