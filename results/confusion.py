"""The confusion matrix: how often instances of each label are predicted to be of each label."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from results.plots import shorten, write_figure

LONGEST_NAME = 30  # characters of a label
MOST_NUMBERS = 30  # labels up to which every count is written into its square


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_labels: int) -> np.ndarray:
    """Returns how many instances have label i (the row) and prediction j (the column), int64."""
    counts = np.bincount(labels * num_labels + predictions, minlength=num_labels**2)
    return counts.reshape(num_labels, num_labels)


def confusion_picture(
    matrix: np.ndarray, label_names: Sequence[str], title: str, path: Path
) -> None:
    """Draws a confusion matrix into the PNG file `path`, shaded by each label's shares."""
    count = len(label_names)
    ticks = range(0, count, max(1, -(-count // 60)))
    names = [shorten(label_names[number], LONGEST_NAME) for number in ticks]
    beside = 0.9 + 0.07 * max(map(len, names))  # inches for the names
    size = min(12.0, max(3.2, 0.45 * count)) + beside
    figure = Figure(figsize=(size + 0.8, size), dpi=120, layout="constrained")
    axes = figure.subplots()
    sums = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(sums, 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the label's instances")
    if count <= MOST_NUMBERS:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            style: dict[str, Any] = {"ha": "center", "va": "center", "color": colour, "fontsize": 8}
            axes.text(column, row, f"{matrix[row, column]}", **style)
    axes.set_xticks(ticks, names, rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(ticks, names, fontsize=8, parse_math=False)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    title = textwrap.fill(title, int(11 * size), break_on_hyphens=False)
    figure.suptitle(title, fontsize=11, parse_math=False)
    write_figure(figure, path)
