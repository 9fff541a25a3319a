"""A contact sheet: the mean and samples of a dataset in rows by label, for a person to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from common.errors import CommandError
from datasets.dataset import Dataset, Subset
from datasets.looks import as_rgb
from results.drawing import (
    ACCENT,
    GAP,
    INK,
    MARGIN,
    PAPER,
    QUIET,
    RULE,
    Means,
    check_pictures,
    check_suffix,
    fit,
    font,
    sheet_means,
    shown_size,
    shrunk,
    write_sheet,
)

TARGET = 84  # pixels that the longer side of a shown picture comes near to
TITLE_SIZE, NAME_SIZE, COUNT_SIZE = 22, 16, 12  # pixels
BAR = 3  # pixels, the thickness of the bar that shows a label's share
MIN_LEFT = 110  # pixels for the names and bars


def write_contact_sheet(
    dataset: Dataset, path: Path, per_label: int = 10, means: Means | None = None
) -> None:
    """Draws the contact sheet of the training subset into the file `path`.

    Raises
    ------
    CommandError
        As `contact_sheet`, and where the file can't be written or its suffix is of no known format.
    """
    check_suffix(path, "--contact-sheet")
    write_sheet(contact_sheet(dataset, per_label, means), path)


def contact_sheet(dataset: Dataset, per_label: int = 10, means: Means | None = None) -> Image.Image:
    """Draws the mean and the first `per_label` training pictures of every label, side by side.

    Small pictures are enlarged by a whole factor, so that their pixels stay sharp; large ones are
    shrunk. A bar shows how many pictures a label has beside the others. `means` are those of
    `sheet_means`, where the caller has them already.

    Raises
    ------
    CommandError
        Where the dataset holds no pictures, or `per_label` is not positive.
    """
    if per_label < 1:
        raise CommandError(f"--per-label is {per_label}; give a number from 1.")
    check_pictures(dataset, "contact sheet")
    assert dataset.picture_shape is not None
    training = dataset.subsets["training"]
    height, width, _ = dataset.picture_shape
    shown = shown_size(width, height, TARGET)
    counts = np.bincount(training.labels, minlength=len(dataset.label_to_index)).tolist()
    means = sheet_means(dataset) if means is None else means
    rows = []
    for index, (name, count) in enumerate(zip(dataset.label_names, counts, strict=True)):
        samples = as_rgb(dataset, _first(training, index, per_label))
        mean = means.get(index)
        rows.append(
            _Row(
                name,
                count,
                None if mean is None else shrunk(np.rint(mean).astype(np.uint8), shown),
                [shrunk(picture, shown) for picture in samples],
            )
        )
    title = dataset.path.name.removesuffix(".pkl.zip")
    subtitle = (
        f"training: {len(training):,} pictures of {width}×{height} pixels, {len(rows):,} labels"
    )
    return _draw(title, subtitle, rows, shown)


def _first(subset: Subset, label: int, number: int) -> np.ndarray:
    return subset.read(np.flatnonzero(subset.labels == label)[:number])


@dataclass(frozen=True)
class _Row:
    name: str
    count: int
    mean: Image.Image | None
    samples: list[Image.Image]


def _draw(title: str, subtitle: str, rows: list[_Row], shown: tuple[int, int]) -> Image.Image:
    title_font, count_font = font(TITLE_SIZE, title), font(COUNT_SIZE)
    names = [fit(row.name, font(NAME_SIZE, row.name)) for row in rows]
    widest = max(MIN_LEFT, *(font(NAME_SIZE, name).getlength(name) for name in names))
    left = MARGIN + int(widest) + 3 * GAP  # of the means
    samples = left + shown[0] + 4 * GAP
    heads = MARGIN + TITLE_SIZE + NAME_SIZE + 4 * GAP
    top = heads + COUNT_SIZE + GAP
    row_height = max(shown[1], NAME_SIZE + COUNT_SIZE + BAR + 3 * GAP) + GAP
    columns = max(len(row.samples) for row in rows)
    titles = max(title_font.getlength(title), count_font.getlength(subtitle))
    content = max(samples + columns * (shown[0] + GAP) - GAP, MARGIN + titles)
    size = (int(content) + MARGIN, top + len(rows) * row_height - GAP + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, title_font, anchor="lt")
    draw.text((MARGIN, MARGIN + TITLE_SIZE + GAP), subtitle, QUIET, count_font, anchor="lt")
    base = heads + COUNT_SIZE - BAR
    draw.text((left + shown[0] // 2, base), "mean", QUIET, count_font, anchor="ms")
    draw.text((samples, base), "samples", QUIET, count_font, anchor="ls")
    line = (left + shown[0] + samples) // 2
    draw.line((line, heads, line, size[1] - MARGIN), RULE)
    most = max(row.count for row in rows)
    right = left - 2 * GAP
    for index, (name, row) in enumerate(zip(names, rows, strict=True)):
        y = top + index * row_height
        middle = y + (row_height - GAP) // 2
        draw.text((right, middle - GAP), name, INK, font(NAME_SIZE, name), anchor="rs")
        draw.text((right, middle), f"{row.count:,}", QUIET, count_font, anchor="rt")
        bar = round((MIN_LEFT - 2 * GAP) * row.count / most)
        bottom = middle + COUNT_SIZE + GAP
        draw.rectangle((right - bar, bottom, right, bottom + BAR - 1), ACCENT)
        if row.mean:
            sheet.paste(row.mean, (left, y))
        for column, picture in enumerate(row.samples):
            sheet.paste(picture, (samples + column * (shown[0] + GAP), y))
    return sheet
