"""What a dataset holds, in figures and as text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from common.progress import progress
from datasets.dataset import Dataset, Subset

UNITS = ("kB", "MB", "GB", "TB")
MEANINGS = {
    "flat": "instance x feature",
    "nhwc": "instance x height x width x channel",
    "nchw": "instance x channel x height x width",
}


@dataclass(frozen=True)
class Statistics:
    """Of all values of a subset, as stored: mean, standard deviation, smallest and largest."""

    mean: float
    std: float
    min: float
    max: float


def statistics(subset: Subset) -> Statistics:
    """Computes the statistics in one pass over the file, in float64.

    Blocks are joined as in T. F. Chan, G. H. Golub, R. J. LeVeque, Updating Formulae and a Pairwise
    Algorithm for Computing Sample Variances, 1979.
    """
    count, mean, squares = 0, 0.0, 0.0  # squares: the sum of squared distances from the mean
    low, high = math.inf, -math.inf
    with progress("Reading the training subset", len(subset), "instances") as advance:
        for block in subset.blocks():
            block_mean = block.mean(dtype=np.float64)
            block_squares = block.var(dtype=np.float64) * block.size
            total = count + block.size
            distance = block_mean - mean
            squares += block_squares + distance**2 * count * block.size / total
            mean += distance * block.size / total
            count = total
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            advance(len(block))
    return Statistics(float(mean), math.sqrt(squares / count), low, high)


def label_counts(dataset: Dataset) -> dict[str, list[int]]:
    """Returns how many instances every label has, by subset, in the order of the labels."""
    return {
        name: np.bincount(subset.labels, minlength=len(dataset.label_to_index)).tolist()
        for name, subset in dataset.subsets.items()
    }


def describe(dataset: Dataset) -> str:
    """Returns a description in plain lines: file, form, values, and instances by label."""
    training = dataset.subsets["training"]
    figures = statistics(training)
    shape = "x".join(map(str, training.instances.shape[1:]))
    picture = dataset.picture_shape
    lines = [
        f"file       {dataset.path} ({file_size(dataset.num_bytes)})",
        f"instances  {shape} {training.instances.dtype}, layout {dataset.layout} "
        f"({MEANINGS[dataset.layout]})",
    ]
    if picture:
        lines.append(f"pictures   {picture[1]}x{picture[0]} pixels, {_channels(picture[2])}")
    lines += [
        f"scale      {dataset.scale:g} stands for 1.0",
        f"values     mean {figures.mean:.4g}, standard deviation {figures.std:.4g}, "
        f"from {figures.min:g} to {figures.max:g} (training)",
    ]
    if command := dataset.created_by.get("command"):
        lines.append(f"made by    {command}")
    return "\n".join([*lines, "", *_table(dataset)])


def file_size(num_bytes: int) -> str:
    """Returns a size in the unit that suits it, as 1.5 MB."""
    if num_bytes < 1000:
        return f"{num_bytes} bytes"
    power = min(len(UNITS), (len(str(num_bytes)) - 1) // 3)
    return f"{num_bytes / 1000**power:.1f} {UNITS[power - 1]}"


def _channels(number: int) -> str:
    return {1: "grey", 3: "RGB"}.get(number, f"{number} channels")


def _table(dataset: Dataset) -> list[str]:
    counts = label_counts(dataset)
    columns = [*counts.values()]
    rows = [("label", *counts, "total")]
    for index, label in enumerate(dataset.label_names):
        numbers = [column[index] for column in columns]
        rows.append((label, *(f"{n:,}" for n in [*numbers, sum(numbers)])))
    totals = [sum(column) for column in columns]
    rows.append(("total", *(f"{n:,}" for n in [*totals, sum(totals)])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]
