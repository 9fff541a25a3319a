"""What a dataset holds, in figures and as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.columns import aligned
from common.progress import progress
from datasets.dataset import Dataset, Subset
from datasets.looks import Looks, look

UNITS = ("kB", "MB", "GB", "TB")
MEANINGS = {
    "flat": "instance x feature",
    "nhwc": "instance x height x width x channel",
    "nchw": "instance x channel x height x width",
}


@dataclass(frozen=True)
class Statistics:
    """Of all finite values of a subset, as stored: mean, standard deviation, smallest and largest.

    Parameters
    ----------
    mean, std, min, max : float
        NaN where no value is finite.
    num_not_finite : int
        Instances that hold NaN or infinite values.
    """

    mean: float
    std: float
    min: float
    max: float
    num_not_finite: int = 0


def statistics(subset: Subset, what: str = "the training subset") -> Statistics:
    """Computes the statistics in one pass over the file, in float64; `what` names what is read.

    Blocks are joined as in T. F. Chan, G. H. Golub, R. J. LeVeque, Updating Formulae and a Pairwise
    Algorithm for Computing Sample Variances, 1979.
    """
    count, mean, squares = 0, 0.0, 0.0  # squares: the sum of squared distances from the mean
    low, high = math.inf, -math.inf
    num_not_finite = 0
    with (
        progress(f"Reading {what}", len(subset), "instances") as advance,
        np.errstate(over="ignore", invalid="ignore"),
    ):
        for block in subset.blocks():
            values = block
            if block.dtype.kind == "f" and not (finite := np.isfinite(block)).all():
                num_not_finite += int((~finite.reshape(len(block), -1).all(axis=1)).sum())
                values = block[finite]
            advance(len(block))
            if not values.size:
                continue
            block_mean = values.mean(dtype=np.float64)
            block_squares = values.var(dtype=np.float64) * values.size
            total = count + values.size
            distance = block_mean - mean
            squares += block_squares + distance**2 * count * values.size / total
            mean += distance * values.size / total
            count = total
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if not count:
        return Statistics(math.nan, math.nan, math.nan, math.nan, num_not_finite)
    return Statistics(float(mean), math.sqrt(squares / count), low, high, num_not_finite)


def label_counts(dataset: Dataset) -> dict[str, list[int]]:
    """Returns how many instances every label has, by subset, in the order of the labels."""
    return {
        name: np.bincount(subset.labels, minlength=len(dataset.label_to_index)).tolist()
        for name, subset in dataset.subsets.items()
    }


def describe(dataset: Dataset) -> str:
    """Returns a description in plain lines: file, form, values, looks, and instances by label."""
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
    if number := figures.num_not_finite:
        what = "training instance holds" if number == 1 else "training instances hold"
        lines.append(f"not finite {number:,} {what} NaN or infinite values, see validate_dataset")
    if command := dataset.created_by.get("command"):
        lines.append(f"made by    {command}")
    if origin := dataset.created_by.get("pictures"):
        lines.append(f"originals  {_originals(origin)}")
    if picture:
        lines += _look_lines(look(dataset))
    lines.append(f"balance    {_balance(dataset)}")
    return "\n".join([*lines, "", *_table(dataset)])


def _originals(origin: Mapping[str, Any]) -> str:
    """Returns what create_datasets has noted of the pictures before it resized them."""
    try:
        sizes = [f"{width}x{height} ({count:,})" for width, height, count in origin["sizes"]]
        formats = ", ".join(f"{name} ({n:,})" for name, n in origin["formats"].items())
        if origin["num_sizes"] <= len(sizes):
            return f"{', '.join(sizes)} pixels; {formats}"
        low, middle, high = (
            f"{width}x{height}"
            for width, height in (origin["smallest"], origin["median"], origin["largest"])
        )
        return (
            f"{low} to {high} pixels, median {middle}, {origin['num_sizes']:,} sizes, most often "
            f"{', '.join(sizes[:3])}; {formats}"
        )
    except (KeyError, TypeError, ValueError, AttributeError):  # another program's note
        return "not known"


def _look_lines(looks: Looks) -> list[str]:
    share = 100 * looks.num_grey / looks.num_pictures
    lines = [f"grey       {looks.num_grey:,} of {looks.num_pictures:,} pictures ({share:.1f} %)"]
    if not looks.num_groups:
        return [*lines, "duplicates none, not even nearly the same"]
    groups = f"{looks.num_groups:,} group{'s' * (looks.num_groups > 1)}"
    found = f"{looks.num_in_groups:,} pictures in {groups} of (nearly) the same"
    across = [
        f"{number:,} in more than one {what}"
        for number, what in ((looks.num_across_labels, "label"), (looks.num_leaking, "subset"))
        if number
    ]
    return [*lines, f"duplicates {'; '.join([found, ', '.join(across) or 'none across subsets'])}"]


def _balance(dataset: Dataset) -> str:
    """Returns how unequal the labels are, and what always giving the same answer would score."""
    counts = np.array(label_counts(dataset)["training"])
    names = dataset.label_names
    most, least = int(counts.argmax()), int(counts.argmin())
    if counts[most] == counts[least]:
        text = f"{counts[most]:,} of each label in training"
    else:
        text = (
            f"from {counts[least]:,} ({names[least]}) to {counts[most]:,} ({names[most]}) of a "
            "label in training"
        )
    name = "validation" if len(dataset.subsets.get("validation", ())) else "training"
    share = 100 * np.mean(dataset.subsets[name].labels == most)
    return f"{text}; always answering {names[most]} scores {share:.1f} % in {name}"


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
    return table(rows)


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Returns the lines of a table: first its head, last its totals; the first column is text."""
    lines = aligned(rows, left={0})
    rule = "-" * len(lines[0])
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]
