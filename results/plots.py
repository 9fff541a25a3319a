"""Plots of a run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from common.files import whole_file
from training.records import EpochRecord

TRAINING, VALIDATION, BEST = "#4477aa", "#ee6677", "#228833"


def learning_curve(records: Sequence[EpochRecord], title: str, path: Path) -> None:
    """Draws loss and validation accuracy over one epoch or more into the PNG file `path`."""
    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    epochs = [record.epoch for record in records]
    marker = "o" if len(records) <= 30 else ""
    # Dots at an axis are drawn whole; all lies within the limits below.
    style = {"marker": marker, "markersize": 4, "linewidth": 1.6, "clip_on": False, "zorder": 3}
    losses.plot(
        epochs, [r.training_loss for r in records], color=TRAINING, label="training", **style
    )
    losses.plot(
        epochs, [r.validation_loss for r in records], color=VALIDATION, label="validation", **style
    )
    losses.set_title("Loss (cross-entropy per instance)")
    losses.legend(frameon=False)
    losses.set_ylim(bottom=0)
    accuracies.plot(epochs, [r.validation_accuracy for r in records], color=VALIDATION, **style)
    _mark_best(accuracies, records)
    accuracies.set_title("Validation accuracy")
    accuracies.yaxis.set_major_formatter(PercentFormatter(1.0))
    accuracies.set_ylim(top=min(accuracies.get_ylim()[1], 1.005))
    for axes in (losses, accuracies):
        axes.set_xlim(0.5, max(epochs) + 0.5)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    finish(figure, title, path)


def finish(figure: Figure, title: str, path: Path) -> None:
    """Gives a figure its title and its axes their looks, and writes it as the PNG file `path`."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.suptitle(title, fontsize=11)
    write_figure(figure, path)


def write_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as the PNG file `path`; letters that its font lacks show as empty boxes."""
    with whole_file(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(partial, format="png")


def shorten(text: str, longest: int) -> str:
    """Returns the text; a longer one without its middle."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[: half - 1]}…{text[-half:]}"


def _mark_best(axes: Axes, records: Sequence[EpochRecord]) -> None:
    best = max(records, key=lambda record: record.rank)
    label = f"best: {best.validation_accuracy:.2%} in epoch {best.epoch}"
    style: dict[str, Any] = {"color": BEST, "markersize": 8, "clip_on": False, "zorder": 4}
    axes.plot([best.epoch], [best.validation_accuracy], "o", label=label, **style)
    axes.legend(frameon=False, loc="lower right")
