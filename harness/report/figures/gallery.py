"""Gallery of all figures for a suite: list, content and file names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.metrics.placements import Floats
from harness.plan.jobs import ChainId
from harness.plan.plan import Plan
from harness.report.figures.curves import CurvePanel, curve, draw_curves
from harness.report.figures.densities import DensityPanel, OverlapCurves, draw_densities
from harness.report.figures.histograms import Panel, draw_histograms
from harness.report.figures.layers import LayerPanel, draw_layers, layer_band
from harness.report.figures.samples import draw_samples, tiled, try_to_sample
from harness.report.figures.series import TrainingResults, training_results
from harness.report.figures.style import save, style
from harness.results import Result
from harness.store.records import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MOST_EPOCHS = 4
"""Maximum number of epochs shown in panels; curves show all epochs."""


@dataclass
class Gallery:
    """Written files, and notes explaining why expected figures are missing."""

    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def draw_figures(
    plan: Plan, results: Sequence[Result], store: Store, folder: Path, *, temperature: float = 1.0
) -> Gallery:
    """Draw every figure supported by the results, each in PNG and PDF.

    Arguments:
        plan: Plan with known data sets.
        results: Results for the plan; results without a number are left out.
        store: Store with the statistics and checkpoints.
        folder: Destination folder; existing files with the same names are replaced.
        temperature: Temperature for drawing samples.
    """
    gallery = Gallery()
    told = training_results(plan, results, store)
    with style():
        for name, figure in _figures(told, temperature, gallery.notes):
            gallery.files += save(figure, folder / name)
    return gallery


def _figures(
    told: Sequence[TrainingResults], temperature: float, notes: list[str]
) -> Iterator[tuple[str, Figure]]:
    """Yield each figure with a file name, one at a time."""
    models = dict.fromkeys((story.chain.model, story.chain.seed) for story in told)
    for model, seed in models:
        of_model = [s for s in told if (s.chain.model, s.chain.seed) == (model, seed)]
        if figure := bits_figure(of_model):
            yield f"bits@{_file_name(model, seed)}", figure
    for story in told:
        chain = story.chain
        name = _file_name(f"{chain.model}@{chain.dataset}", chain.seed)
        for scorer in story.scorers:
            yield f"scores-{_file_name(scorer, 0)}@{name}", scores_figure(story, scorer)
        yield f"auroc@{name}", auroc_figure(story)
        if figure := overlap_figure(story):
            yield f"overlap@{name}", figure
        if figure := layers_figure(story):
            yield f"layers@{name}", figure
        if figure := samples_figure(story, temperature, notes):
            yield f"samples@{name}", figure


def bits_figure(told: Sequence[TrainingResults]) -> Figure | None:
    """Draw bits per dimension for each ID set and the OOD sets at the last epoch (Figs. 1, 9)."""
    panels = []
    for story in told:
        samples: dict[str, Floats] = {}
        for out in story.outs:
            if found := story.with_bits(out):
                epoch = max(found)
                own, other = story.bits(found[epoch])
                samples |= {story.chain.dataset: own, out: other}
        if samples:
            panels.append(Panel(f"trained on {story.chain.dataset}", samples))
    if not panels:
        return None
    grid = [panels[start : start + 2] for start in range(0, len(panels), 2)]
    title = f"{_model(told[0].chain)}, bits per dimension at the last epoch (filled: ID)"
    return draw_histograms(grid, title=title, unit="bits/dim", share_of="examples")


def scores_figure(story: TrainingResults, scorer: str) -> Figure:
    """Draw the score by epoch and group size (Figs. 3, 4, 6 and 7)."""
    grid = []
    for epoch in chosen(story.epochs, MOST_EPOCHS):
        row = []
        for size in story.group_sizes:
            samples: dict[str, Floats] = {}
            for out in story.outs:
                result = story.by_epoch(out, scorer, size).get(epoch)
                if result and result.scores is not None:
                    samples |= dict(zip((story.chain.dataset, out), result.scores, strict=True))
            if samples:
                row.append(Panel(f"epoch {epoch}, b = {size}", samples))
        if row:
            grid.append(row)
    title = f"{story.chain}: {scorer} (filled: ID)"
    return draw_histograms(grid, title=title, unit="score, higher is more OOD", share_of="groups")


def auroc_figure(story: TrainingResults) -> Figure:
    """Draw AUROC by epoch, with bits per dimension for the in-distribution set."""
    grid = [
        [
            CurvePanel(
                f"against {out}, b = {size}",
                {
                    scorer: found
                    for scorer in story.scorers
                    if (found := curve(story.by_epoch(out, scorer, size))).epochs
                },
                own_bits(story, out),
            )
            for size in story.group_sizes
        ]
        for out in story.outs
    ]
    title = f"{story.chain}: AUROC along the epochs, bands are 95 % intervals (DeLong)"
    return draw_curves(grid, title=title)


def overlap_figure(story: TrainingResults) -> Figure | None:
    """Draw densities of bits per dimension with OVL, next to AUROC (Fig. 5)."""
    rows = {}
    size = story.group_sizes[0]
    for out in story.outs:
        cells = story.with_bits(out)
        ovl = {epoch: story.metrics(planned.cell).ovl or 0.0 for epoch, planned in cells.items()}
        panels = [
            DensityPanel(epoch, *story.bits(cells[epoch]), ovl[epoch])
            for epoch in chosen(list(cells), MOST_EPOCHS - 1)
        ]
        auroc = {
            scorer: {
                epoch: result.metrics.auroc
                for epoch, result in story.by_epoch(out, scorer, size).items()
                if result.metrics is not None
            }
            for scorer in story.scorers
        }
        if panels:
            rows[out] = (panels, OverlapCurves(ovl, auroc))
    if not rows:
        return None
    title = f"{story.chain}: overlap of bits per dimension, and AUROC at b = {size}"
    return draw_densities(rows, in_dataset=story.chain.dataset, title=title)


def layers_figure(story: TrainingResults) -> Figure | None:
    """Draw log squared gradient norms layer by layer, ID against OOD (Fig. 2)."""
    names = story.layer_names()
    size = story.group_sizes[0]
    rows = {}
    for out in story.outs if names else []:
        panels = [
            LayerPanel(epoch, layer_band(found[0]), layer_band(found[1]))
            for epoch in chosen(story.epochs, MOST_EPOCHS - 1)
            if (found := story.layers(out, epoch, size))
        ]
        if panels:
            rows[out] = panels
    if not rows:
        return None
    title = f"{story.chain}: gradients layer by layer, b = {size} (median, 5 % to 95 % of groups)"
    return draw_layers(rows, names, in_dataset=story.chain.dataset, title=title)


def samples_figure(story: TrainingResults, temperature: float, notes: list[str]) -> Figure | None:
    """Draw samples by epoch (Fig. 8); add a note if the model cannot sample."""
    chain, grids = story.chain, {}
    for epoch in chosen(story.epochs, MOST_EPOCHS):
        images, note = try_to_sample(story.plan, story.store, chain, epoch, temperature)
        if images is not None:
            grids[epoch] = tiled(images, story.plan.chains[chain].domain.levels)
        elif note not in notes:
            notes.append(note)
    if not grids:
        return None
    return draw_samples(grids, title=f"{chain}: samples at temperature {temperature:g}")


def own_bits(story: TrainingResults, out: str) -> dict[int, float]:
    """Return bits per dimension for the scored ID examples, by epoch."""
    return {
        epoch: bits
        for epoch, planned in story.with_bits(out).items()
        if (bits := story.metrics(planned.cell).bits_per_dim_in) is not None
    }


def chosen(epochs: Sequence[int], most: int) -> list[int]:
    """Choose at most `most` epochs, evenly spaced in order, including the first and the last."""
    if len(epochs) <= most:
        return list(epochs)
    return [epochs[round(k * (len(epochs) - 1) / (most - 1))] for k in range(most)]


def _file_name(name: str, seed: int) -> str:
    """Escape a name for every file system; different names stay different."""
    return quote(name, safe=" @+=,") + (f"@seed{seed}" if seed else "")


def _model(chain: ChainId) -> str:
    return chain.model + (f" (seed {chain.seed})" if chain.seed else "")
