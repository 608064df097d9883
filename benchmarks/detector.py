"""Pictures per second of a detector beside a plain forward and backward pass.

    uv run python benchmarks/detector.py --size quickstart small --threads 1 2

A detector with the scorer `gradient-gaussian`, or another one of `--scorer`, is made for an
untrained Glow and loaded; 1,000 pictures are written as PNG files. "detector" reads and scores the
files; "plain" has the pictures in memory as an array, computes -log_prob in batches of 64, and its
gradient by autograd: no norms, no scores, no files. Both run once to warm up and then alternate;
medians are shown. Start-up (imports, reading the folder, the first batch) is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from harness.compute.device import keep_freed_memory
from harness.detectors.detector import Detector
from harness.run.run import run
from harness.settings import BATCH_SIZE, Settings
from harness.suite import load_suite

COUNT = 1000
SIZES = {
    "quickstart": (1, 8, "{ levels = 2, steps = 4, width = 32 }"),
    "small": (3, 32, "{ levels = 2, steps = 4, width = 64 }"),
}
SUITE = """
[training.none]
[models.glow]
plugin = "glow"
training = "none"
options = {options}
[datasets.in]
plugin = "photos"
options = {{ size = {size}, channels = {channels}, n_train = 100, n_test = 200 }}
[datasets.noise]
plugin = "noise"
options = {{ height = {size}, width = {size}, channels = {channels}, n_train = 10, n_test = 50 }}
[[comparisons]]
models = "glow"
in = "in"
out = "noise"
epochs = [0]
scorers = "{scorer}"
"""


def make(folder, size, scorer):
    """A detector, the paths of its pictures, and their array."""
    channels, side, options = SIZES[size]
    suite = folder / "suite.toml"
    suite.write_text(SUITE.format(options=options, size=side, channels=channels, scorer=scorer))
    settings = Settings(
        folder / "store", folder / "data", device="cpu", threads=1, executor="sequential"
    )
    run(load_suite(suite), settings, lambda event: None)
    detector = Detector.make(suite, folder / "detector", store=settings.store, data=settings.data)
    shape = (COUNT, channels, side, side)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, image in enumerate(images):
        pixels = image[0] if channels == 1 else image.transpose(1, 2, 0)
        Image.fromarray(pixels).save(pictures / f"{number:04}.png")
    return detector, pictures, images


def plain(model, images):
    """A forward and a backward pass for all pictures."""
    parameters = [parameter for _, parameter in model.named_parameters()]
    for start in range(0, len(images), BATCH_SIZE):
        loss = -model.log_prob(torch.from_numpy(images[start : start + BATCH_SIZE])).sum()
        torch.autograd.grad(loss, parameters, allow_unused=True)


def measured(size, threads, scorer, repeats):
    """Pictures per second of both."""
    with tempfile.TemporaryDirectory() as name:
        detector, pictures, images = make(Path(name), size, scorer)
        torch.set_num_threads(threads)
        (model,) = detector._score.models
        work = {
            "detector": lambda: list(detector.files([pictures])),
            "plain": lambda: plain(model, images),
        }
        seconds = {method: [] for method in work}
        for number in range(repeats + 1):
            for method, do in work.items():
                started = time.perf_counter()
                do()
                if number:
                    seconds[method].append(time.perf_counter() - started)
    return {method: COUNT / statistics.median(found) for method, found in seconds.items()}


def main():
    """Print a row for each size and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--threads", nargs="+", type=int, default=[torch.get_num_threads()])
    parser.add_argument("--scorer", default="gradient-gaussian")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    keep_freed_memory()
    for size in options.size:
        for threads in options.threads:
            found = measured(size, threads, options.scorer, options.repeats)
            row = {"size": size, "threads": threads, **found}
            row["ratio"] = found["detector"] / found["plain"]
            if options.json:
                print(json.dumps(row), flush=True)
            else:
                rates = ", ".join(f"{key} {found[key]:,.0f} a second" for key in found)
                print(f"{size}, {threads} threads: {rates}, ratio {row['ratio']:.2f}", flush=True)


if __name__ == "__main__":
    main()
