"""Gallery of all figures for a suite: list, content and file names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.domain import Images
from harness.metrics.placements import Floats
from harness.metrics.ranks import Block, By, block_of
from harness.plan.plan import Plan
from harness.report.figures.curves import curves_figure
from harness.report.figures.densities import PANELS, DensityPanel, OverlapCurves, draw_densities
from harness.report.figures.epochs import losses_figure
from harness.report.figures.heatmap import heatmap_figure
from harness.report.figures.histograms import Panel, draw_histograms
from harness.report.figures.layers import LayerPanel, draw_layers, layer_band
from harness.report.figures.ranking import draw_ranking
from harness.report.figures.samples import draw_samples, tiled, try_to_sample
from harness.report.figures.series import (
    TrainingResults,
    by_seeds,
    model_name,
    trained,
    training_results,
)
from harness.report.figures.style import Drawing, Look, model_look, save, scorer_look, style
from harness.report.looks import Looks
from harness.report.ranking import ranking_table
from harness.report.significance import number
from harness.results import Cell, Result, unit_of
from harness.store.records import Store
from harness.text import counted, listed

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
    plan: Plan, results: Sequence[Result], store: Store, folder: Path, drawing: Drawing
) -> Gallery:
    """Draw every figure supported by the results, each in PNG and PDF.

    Arguments:
        plan: Plan with known data sets.
        results: Results for the plan; results without a number are left out.
        store: Store with the statistics and checkpoints.
        folder: Destination folder; existing files with the same names are replaced.
        drawing: How figures are drawn.
    """
    gallery = Gallery()
    trainings = training_results(plan, results, store)
    with style():
        for name, figure in _all_figures(trainings, results, drawing, gallery.notes):
            gallery.files += save(figure, folder / name)
    return gallery


def _all_figures(
    trainings: Sequence[TrainingResults],
    results: Sequence[Result],
    drawing: Drawing,
    notes: list[str],
) -> Iterator[tuple[str, Figure]]:
    """Yield each figure with a file name, one at a time."""
    yield from suite_figures(results, drawing)
    yield from _model_figures(trainings, drawing)
    for training in trainings:
        yield from _training_figures(training, drawing, notes)


def suite_figures(results: Sequence[Result], drawing: Drawing) -> Iterator[tuple[str, Figure]]:
    """Yield the figures about the whole suite: heat maps and rankings."""
    sizes = {result.cell.group_size for result in results if result.status == "ok"}
    for size in sorted(sizes):
        yield f"heatmap-b{size}", heatmap_figure(results, drawing, size)
    if figure := _ranking_figure(results, drawing, "scorer", scorer_look):
        yield "ranking-scorers", figure
    if figure := _ranking_figure(results, drawing, "model", model_look):
        yield "ranking-models", figure


def _ranking_figure(
    results: Sequence[Result], drawing: Drawing, by: By, look: Callable[[Looks, str], Look]
) -> Figure | None:
    """Draw mean ranks of scorers or models; None if nothing can be tested."""
    ranked = ranking_table(results, by).ranked
    if ranked is None or not ranked.is_tested:
        return None
    title = (
        f"{by.capitalize()}s by mean rank of AUROC over {ranked.pairs} pairs of data sets (AUROC: "
        f"mean over {averaged(results, by, list(ranked.mean_ranks))}); bars join those not shown "
        "to differ (Nemenyi, p = 0.05)"
    )
    looks = {name: look(drawing.looks, name) for name in ranked.mean_ranks}
    return draw_ranking(ranked, looks, title=title, width=drawing.width)


def averaged(results: Sequence[Result], by: By, names: Sequence[str]) -> str:
    """Say over which models or scorers, epochs, group sizes and seeds a ranking takes means."""
    blocks: dict[Block, dict[str, Cell]] = {}
    for result in results:
        if number(result) is not None and getattr(result.cell, by) in names:
            found = blocks.setdefault(block_of(result.cell, by), {})
            found[getattr(result.cell, by)] = result.cell
    full = [found for found in blocks.values() if len(found) == len(names)]
    cells = [cell for found in full for cell in found.values()]
    other = "model" if by == "scorer" else "scorer"
    epochs = sorted({cell.epoch for cell in cells})
    sizes = sorted({cell.group_size for cell in cells})
    seeds = len({cell.seed for cell in cells})
    parts = [
        counted(len({getattr(cell, other) for cell in cells}), other),
        f"{unit_of(results)}{'s' if len(epochs) > 1 else ''} {listed(epochs)}",
        f"group size{'s' if len(sizes) > 1 else ''} {listed(sizes)}",
        *([counted(seeds, "seed")] if seeds > 1 else []),
    ]
    return ", ".join(parts)


def _model_figures(
    trainings: Sequence[TrainingResults], drawing: Drawing
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures about all seeds, or all ID sets, of a model."""
    models = dict.fromkeys((training.chain.model, training.chain.seed) for training in trainings)
    for model, seed in models:
        of_model = [s for s in trainings if (s.chain.model, s.chain.seed) == (model, seed)]
        if figure := bits_figure(of_model, drawing):
            yield f"bits@{_file_name(model, seed)}", figure
    for seeds in by_seeds(trainings):
        name = _file_name(f"{seeds[0].chain.model}@{seeds[0].chain.dataset}", 0)
        yield f"auroc@{name}", curves_figure(seeds, drawing, "auroc")
        yield f"ovl-scores@{name}", curves_figure(seeds, drawing, "ovl_scores")
        if figure := losses_figure(seeds, drawing):
            yield f"epochs@{name}", figure


def _training_figures(
    training: TrainingResults, drawing: Drawing, notes: list[str]
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a single training."""
    chain = training.chain
    name = _file_name(f"{chain.model}@{chain.dataset}", chain.seed)
    for scorer in training.scorers:
        yield f"scores-{_file_name(scorer, 0)}@{name}", scores_figure(training, scorer, drawing)
    if figure := overlap_figure(training, drawing):
        yield f"overlap@{name}", figure
    if figure := layers_figure(training, drawing):
        yield f"layers@{name}", figure
    if figure := samples_figure(training, drawing.temperature, notes):
        yield f"samples@{name}", figure


def bits_figure(trainings: Sequence[TrainingResults], drawing: Drawing) -> Figure | None:
    """Draw bits per dimension for each ID set and the OOD sets at the last epoch (Figs. 1, 9)."""
    panels = []
    for training in trainings:
        samples: dict[str, Floats] = {}
        for out in training.outs:
            if found := training.with_bits(out):
                epoch = max(found)
                own, other = training.bits(found[epoch])
                samples |= {training.chain.dataset: own, out: other}
        if samples:
            dataset = training.plan.trained_on(training.chain)
            what = f"trained on {dataset}" if dataset else f"with ID {training.chain.dataset}"
            panels.append(Panel(what, samples))
    if not panels:
        return None
    grid = [panels[start : start + 2] for start in range(0, len(panels), 2)]
    first = trainings[0]
    shown = f"{first.bits_name} at the last {first.unit} (filled: in-distribution)"
    title = f"{model_name(first.chain)}: {shown}"
    words = {"title": title, "unit": first.bits_unit, "share_of": "examples"}
    return draw_histograms(grid, drawing.looks, **words)


def scores_figure(training: TrainingResults, scorer: str, drawing: Drawing) -> Figure:
    """Draw the score by epoch and group size (Figs. 3, 4, 6 and 7)."""
    grid = []
    for epoch in chosen(training.epochs, MOST_EPOCHS):
        row = []
        for size in training.group_sizes:
            samples: dict[str, Floats] = {}
            for out in training.outs:
                result = training.by_epoch(out, scorer, size).get(epoch)
                if result and result.scores is not None:
                    samples |= dict(zip((training.chain.dataset, out), result.scores, strict=True))
            if samples:
                row.append(Panel(f"{training.unit} {epoch}, group size {size}", samples))
        if row:
            grid.append(row)
    title = f"{trained([training])}: scores of {scorer}"
    words = {"title": title, "unit": "score, higher is more OOD", "share_of": "groups"}
    return draw_histograms(grid, drawing.looks, **words)


def overlap_figure(training: TrainingResults, drawing: Drawing) -> Figure | None:
    """Draw densities of bits per dimension with OVL, next to AUROC (Fig. 5)."""
    rows = {}
    size = training.group_sizes[0]
    for out in training.outs:
        cells = training.with_bits(out)
        ovl = {
            epoch: training.metrics(planned.cell).ovl or 0.0 for epoch, planned in cells.items()
        }
        panels = [
            DensityPanel(epoch, *training.bits(cells[epoch]), ovl[epoch])
            for epoch in chosen(list(cells), PANELS[drawing.width])
        ]
        auroc = {
            scorer: {
                epoch: result.metrics.auroc
                for epoch, result in training.by_epoch(out, scorer, size).items()
                if result.metrics is not None
            }
            for scorer in training.scorers
        }
        if panels:
            rows[out] = (panels, OverlapCurves(ovl, auroc))
    if not rows:
        return None
    title = f"{trained([training])}: {training.bits_name}, AUROC (group size {size})"
    return draw_densities(
        rows,
        drawing.looks,
        in_dataset=training.chain.dataset,
        title=title,
        width=drawing.width,
        unit=training.unit,
        bits_unit=training.bits_unit,
    )


def layers_figure(training: TrainingResults, drawing: Drawing) -> Figure | None:
    """Draw log squared gradient norms layer by layer, ID against OOD (Fig. 2)."""
    names = training.layer_names()
    size = training.group_sizes[0]
    rows = {}
    for out in training.outs if names else []:
        panels = [
            LayerPanel(epoch, layer_band(found[0]), layer_band(found[1]))
            for epoch in chosen(training.epochs, MOST_EPOCHS - 1)
            if (found := training.layers(out, epoch, size))
        ]
        if panels:
            rows[out] = panels
    if not rows:
        return None
    title = (
        f"{trained([training])}: gradients layer by layer, group size {size} "
        "(line: median, band: 5 % to 95 % of groups)"
    )
    words = {"in_dataset": training.chain.dataset, "title": title, "unit": training.unit}
    return draw_layers(rows, names, drawing.looks, **words)


def samples_figure(
    training: TrainingResults, temperature: float, notes: list[str]
) -> Figure | None:
    """Draw samples by epoch (Fig. 8); add a note if the model cannot sample, or writes text."""
    chain, grids = training.chain, {}
    domain = training.plan.chains[chain].domain
    if not isinstance(domain, Images):
        notes.append(f"samples of {chain} are text, which --html FILE --samples shows")
        return None
    for epoch in chosen(training.epochs, MOST_EPOCHS):
        images, note = try_to_sample(training.plan, training.store, chain, epoch, temperature)
        if images is not None:
            grids[epoch] = tiled(images, domain.levels)
        elif note not in notes:
            notes.append(note)
    if not grids:
        return None
    title = f"{trained([training])}: samples at temperature {temperature:g}"
    return draw_samples(grids, title=title, unit=training.unit)


def chosen(epochs: Sequence[int], most: int) -> list[int]:
    """Choose at most `most` epochs, evenly spaced in order, including the last and the first.

    A single epoch is the last.
    """
    if len(epochs) <= most:
        return list(epochs)
    if most == 1:
        return [epochs[-1]]
    return [epochs[round(k * (len(epochs) - 1) / (most - 1))] for k in range(most)]


def _file_name(name: str, seed: int) -> str:
    """Escape a name for every file system; different names stay different."""
    return quote(name, safe=" @+=,") + (f"@seed{seed}" if seed else "")
