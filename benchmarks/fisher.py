"""Fisher score statistics beside the identity: seconds per example and memory, in one run.

    uv run python benchmarks/fisher.py --threads 1 --json figures.json

The full three-channel Glow (3 levels, 32 steps, 512 wide, 3x32x32) with random weights and random
images. Seconds per fit example of the fit, and per example of the evaluation, the median of
`--repeats` in turn; of the wall, and of the processor, which other programs disturb less. Of a
checkpoint there are two fits: to all fit examples, and, together as long, to their halves. The
decomposition of Kronecker factors takes as long for any number of examples (three times for a
checkpoint) and is shown apart. Memory is what a fit or an evaluation adds to the process at most,
and what the fitted statistic keeps.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import gc
import json
import re
import statistics
import time

import torch

from oodbench import Images
from plugins.models.glow import glow
from plugins.statistics.fisher import kronecker
from plugins.statistics.layer_fisher import LayerFisherDiagonal, LayerFisherEkfac
from plugins.statistics.layer_gradient_sq_norms import LayerGradientSqNorms

COLOUR = Images(3, 32, 32)
MIB = 2**20
STATISTICS = {
    "identity": LayerGradientSqNorms,
    "diagonal": LayerFisherDiagonal,
    "ekfac": LayerFisherEkfac,
}


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--statistics", nargs="+", choices=STATISTICS, default=list(STATISTICS))
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--fit-examples", type=int, default=16)
    parser.add_argument("--examples", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", metavar="FILE", help="write all figures there too")
    return parser.parse_args()


def built(arguments):
    """The model, its zero-initialised layers moved off zero so that every layer counts."""
    torch.manual_seed(0)
    model = glow(
        COLOUR, levels=arguments.levels, steps=arguments.steps, width=arguments.width
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "conv3" in name or "prior" in name:
                parameter.add_(0.01 * torch.randn_like(parameter))
    return model.to(arguments.device)


def images(count, device, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, *COLOUR.shape), generator=generator).byte().to(device)


def measured(run, device):
    """Seconds of the wall and of the processor, MiB added at most, and MiB that stay."""
    gc.collect()
    before = start(device)
    wall, processor = time.perf_counter(), time.process_time()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - wall, time.process_time() - processor
    gc.collect()
    peak, now = memory(device)
    return *seconds, (peak - before) / MIB, (now - before) / MIB


def start(device):
    """Let the peak start again from here; the bytes in use."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w", encoding="utf-8") as file:
            file.write("5")
    return memory(device)[1]


def memory(device):
    """Bytes in use at most, and now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), torch.cuda.memory_allocated(device)
    peak = status("VmHWM")
    ctypes.CDLL(None).malloc_trim(0)
    return peak, status("VmRSS")


def status(name):
    with open("/proc/self/status", encoding="utf-8") as file:
        return 1024 * int(re.search(rf"{name}:\s+(\d+)", file.read())[1])


class Timed:
    """A function that adds up the seconds of its calls, of the wall and of the processor."""

    def __init__(self, function, device):
        self.function, self.device, self.wall, self.processor = function, device, 0.0, 0.0

    def __call__(self, *args):
        wall, processor = time.perf_counter(), time.process_time()
        result = self.function(*args)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.wall += time.perf_counter() - wall
        self.processor += time.process_time() - processor
        return result


def fitted(name, model, arguments, device):
    """The statistic of that name and the figures of its fit."""
    statistic, fit = STATISTICS[name](), images(arguments.fit_examples, device, 1)
    if name == "identity":
        return statistic, {}
    STATISTICS["diagonal"]().fit(model, fit[:2])  # makes the plan
    eigen = kronecker._eigenvectors = Timed(kronecker._eigenvectors, device)
    wall, processor, peak, kept = measured(lambda: statistic.fit(model, fit), device)
    kronecker._eigenvectors = eigen.function
    return statistic, {
        "fit_s": (wall - eigen.wall) / len(fit),
        "fit_cpu_s": (processor - eigen.processor) / len(fit),
        "eigen_s": eigen.wall,
        "eigen_cpu_s": eigen.processor,
        "fit_peak_mib": peak,
        "kept_mib": kept,
    }


def rows(model, arguments):
    """The figures of every statistic."""
    device = torch.device(arguments.device)
    made = {name: fitted(name, model, arguments, device) for name in arguments.statistics}
    groups = images(arguments.examples, device, 2).unsqueeze(1)
    for statistic, _ in made.values():
        statistic(model, groups[:2])
    found = {name: [] for name in made}
    for _ in range(arguments.repeats):
        for name, (statistic, _) in made.items():
            run = functools.partial(statistic, model, groups)
            found[name].append(measured(run, device))
    for name, (_, figures) in made.items():
        walls, processors, peaks, _ = zip(*found[name], strict=True)
        yield {
            "statistic": name,
            **figures,
            "evaluation_s": statistics.median(walls) / len(groups),
            "evaluation_cpu_s": statistics.median(processors) / len(groups),
            "evaluation_peak_mib": max(peaks),
        }


COLUMNS = {
    "fit_s": "fit s/ex",
    "fit_cpu_s": "cpu",
    "eigen_s": "eigen s",
    "eigen_cpu_s": "cpu",
    "fit_peak_mib": "fit MiB",
    "kept_mib": "kept MiB",
    "evaluation_s": "eval s/ex",
    "evaluation_cpu_s": "cpu",
    "evaluation_peak_mib": "eval MiB",
}


def main():
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    model = built(arguments)
    numbers = sum(p.numel() for p in model.parameters())
    print(f"torch {torch.__version__}, {arguments.device}, {arguments.threads} threads")
    print(f"{numbers:,} parameters, {numbers * 4 / MIB:.0f} MiB; b = 1")
    print(f"{'':10}" + "".join(f"{title:>11}" for title in COLUMNS.values()), flush=True)
    found = []
    for figures in rows(model, arguments):
        found.append(figures)
        cells = (figures.get(column) for column in COLUMNS)
        texts = ("" if x is None else f"{x:.3f}" if x < 100 else f"{x:.0f}" for x in cells)
        name = figures["statistic"]
        print(f"{name:10}" + "".join(f"{text:>11}" for text in texts), flush=True)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(
                {"torch": torch.__version__, "options": vars(arguments), "rows": found}, file
            )


if __name__ == "__main__":
    main()
