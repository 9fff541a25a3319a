"""The mean picture of each label, and how it differs from the mean of all."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from datasets.dataset import Dataset
from datasets.looks import mean_picture
from results.contact_sheet import check_pictures, shown_size, shrunk
from results.drawing import GAP, INK, MARGIN, PAPER, QUIET, check_suffix, fit, font, write_sheet

TARGET = 140  # pixels that the longer side of a shown picture comes near to
COLUMNS = 5
TITLE_SIZE, NAME_SIZE, NOTE_SIZE = 22, 14, 12  # pixels
MIDDLE = 128  # the level that stands for no difference
SPAN = 110  # levels of the largest difference


def write_mean_pictures(dataset: Dataset, path: Path) -> None:
    """Draws the mean pictures of the training subset into the file `path`.

    Raises
    ------
    CommandError
        As `mean_pictures`, and where the file can't be written or its suffix is of no known format.
    """
    check_suffix(path, "--mean-pictures")
    write_sheet(mean_pictures(dataset), path)


def mean_pictures(dataset: Dataset) -> Image.Image:
    """Draws a pair of pictures for each label.

    On the left is the mean of its training pictures, on the right that mean less the mean of the
    labels' means, on grey, enlarged by one factor for all labels. Where the labels' pictures have
    nothing in common, the first look alike and the second are noise.

    Raises
    ------
    CommandError
        Where the dataset holds no pictures.
    """
    check_pictures(dataset, "mean picture")
    assert dataset.picture_shape is not None
    height, width, _ = dataset.picture_shape
    shown = shown_size(width, height, TARGET)
    scale = (min(shown[0], width), min(shown[1], height))  # never kept larger than it is shown
    means: dict[str, np.ndarray] = {}
    for index, name in enumerate(dataset.label_names):
        mean = mean_picture(dataset, index)
        if mean is not None:
            means[name] = _reduced(mean, scale)
    centre = sum(means.values()) / len(means)
    largest = max(float(np.abs(mean - centre).max()) for mean in means.values())
    factor = SPAN / largest if largest else 1.0
    pairs = {
        name: (
            shrunk(np.rint(mean).astype(np.uint8), shown),
            shrunk(np.rint(MIDDLE + factor * (mean - centre)).astype(np.uint8), shown),
        )
        for name, mean in means.items()
    }
    title = dataset.path.name.removesuffix(".pkl.zip")
    note = (
        "training: the mean of each label's pictures; beside it, its difference from the mean of "
        f"all labels, times {factor:.1f}"
    )
    return _draw(title, note, pairs, shown)


def _reduced(mean: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns the picture in `size`, (width, height), without rounding its values."""
    if size == (mean.shape[1], mean.shape[0]):
        return mean
    channels = [
        np.asarray(Image.fromarray(channel.astype(np.float32)).resize(size, Image.Resampling.BOX))
        for channel in np.moveaxis(mean, 2, 0)
    ]
    return np.stack(channels, axis=2).astype(np.float64)


def _draw(
    title: str,
    note: str,
    pairs: dict[str, tuple[Image.Image, Image.Image]],
    shown: tuple[int, int],
) -> Image.Image:
    title_font, name_font, note_font = map(font, (TITLE_SIZE, NAME_SIZE, NOTE_SIZE))
    columns = min(COLUMNS, len(pairs))
    cell = (2 * shown[0] + 4 * GAP, shown[1] + NAME_SIZE + 4 * GAP)
    top = MARGIN + TITLE_SIZE + NOTE_SIZE + 5 * GAP
    words = max(title_font.getlength(title), note_font.getlength(note))
    content = max(columns * cell[0] - 3 * GAP, int(words) + 1)
    size = (content + 2 * MARGIN, top + math.ceil(len(pairs) / columns) * cell[1] - GAP + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, title_font, anchor="lt")
    draw.text((MARGIN, MARGIN + TITLE_SIZE + GAP), note, QUIET, note_font, anchor="lt")
    for index, (name, pair) in enumerate(pairs.items()):
        x = MARGIN + index % columns * cell[0]
        y = top + index // columns * cell[1]
        name = fit(name, name_font, cell[0] - 4 * GAP)
        draw.text((x, y), name, INK, name_font, anchor="lt")
        for side, picture in enumerate(pair):
            sheet.paste(picture, (x + side * (shown[0] + 1), y + NAME_SIZE + GAP))
    return sheet
