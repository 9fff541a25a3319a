"""The mean picture of each label, and how it differs from the mean of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from datasets.dataset import Dataset
from results.drawing import (
    GAP,
    INK,
    MARGIN,
    MEAN_TARGET,
    PAPER,
    QUIET,
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

COLUMNS = 5
TITLE_SIZE, NAME_SIZE, NOTE_SIZE = 22, 14, 12  # pixels
BASELINE = NAME_SIZE - 2  # of the labels' names, which have other fonts where they need them
MIDDLE = 128  # the level that stands for no difference
SPAN = 110  # levels of the largest difference


def write_mean_pictures(dataset: Dataset, path: Path, means: Means | None = None) -> None:
    """Draws the mean pictures of the training subset into the file `path`.

    Raises
    ------
    CommandError
        As `mean_pictures`, and where the file can't be written or its suffix is of no known format.
    """
    check_suffix(path, "--mean-pictures")
    write_sheet(mean_pictures(dataset, means), path)


def mean_pictures(dataset: Dataset, means: Means | None = None) -> Image.Image:
    """Draws a pair of pictures for each label.

    On the left is the mean of its training pictures, on the right that mean less the mean of the
    labels' means, on grey, enlarged by one factor for all labels. Where the labels' pictures have
    nothing in common, the first look alike and the second are noise. `means` are those of
    `sheet_means`, where the caller has them already.

    Raises
    ------
    CommandError
        Where the dataset holds no pictures.
    """
    check_pictures(dataset, "mean picture")
    assert dataset.picture_shape is not None
    height, width, _ = dataset.picture_shape
    shown = shown_size(width, height, MEAN_TARGET)
    by_label = sheet_means(dataset) if means is None else means
    named = {dataset.label_names[label]: mean for label, mean in by_label.items()}
    centre = sum(named.values()) / len(named)
    largest = max(float(np.abs(mean - centre).max()) for mean in named.values())
    factor = SPAN / largest if largest else 1.0
    pairs = {
        name: (
            shrunk(np.rint(mean).astype(np.uint8), shown),
            shrunk(np.rint(MIDDLE + factor * (mean - centre)).astype(np.uint8), shown),
        )
        for name, mean in named.items()
    }
    title = dataset.path.name.removesuffix(".pkl.zip")
    notes = (
        "training: the mean of each label's pictures; beside it, its difference from the mean of "
        f"all labels, times {factor:.1f}:",
        "grey where there is none, lighter than grey where the label is brighter, darker where it "
        "is darker",
    )
    return _draw(title, notes, pairs, shown)


def _draw(
    title: str,
    notes: Sequence[str],
    pairs: dict[str, tuple[Image.Image, Image.Image]],
    shown: tuple[int, int],
) -> Image.Image:
    title_font, note_font = font(TITLE_SIZE, title), font(NOTE_SIZE)
    columns = min(COLUMNS, len(pairs))
    cell = (2 * shown[0] + 4 * GAP, shown[1] + NAME_SIZE + 4 * GAP)
    top = MARGIN + TITLE_SIZE + len(notes) * (NOTE_SIZE + GAP) + 4 * GAP
    words = max(title_font.getlength(title), *map(note_font.getlength, notes))
    content = max(columns * cell[0] - 3 * GAP, int(words) + 1)
    size = (content + 2 * MARGIN, top + math.ceil(len(pairs) / columns) * cell[1] - GAP + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, title_font, anchor="lt")
    for line, note in enumerate(notes):
        y = MARGIN + TITLE_SIZE + GAP + line * (NOTE_SIZE + GAP)
        draw.text((MARGIN, y), note, QUIET, note_font, anchor="lt")
    for index, (name, pair) in enumerate(pairs.items()):
        x = MARGIN + index % columns * cell[0]
        y = top + index // columns * cell[1]
        letters = font(NAME_SIZE, name)
        shown_name = fit(name, letters, cell[0] - 4 * GAP)
        draw.text((x, y + BASELINE), shown_name, INK, letters, anchor="ls")
        for side, picture in enumerate(pair):
            sheet.paste(picture, (x + side * (shown[0] + 1), y + NAME_SIZE + GAP))
    return sheet
