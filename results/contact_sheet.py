"""A contact sheet: samples of a dataset in rows by label, for a person to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.errors import CommandError
from common.files import whole_file
from datasets.dataset import Dataset, Subset

TARGET = 84  # pixels that the longer side of a shown picture comes near to
GAP, MARGIN = 6, 28  # pixels
INK, QUIET, PAPER = (32, 33, 36), (128, 132, 138), (255, 255, 255)
TITLE_SIZE, NAME_SIZE, COUNT_SIZE = 22, 16, 12  # pixels
MAX_NAME = 220  # pixels; a longer label is cut
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def write_contact_sheet(dataset: Dataset, path: Path, per_label: int = 10) -> None:
    """Draws the contact sheet of the training subset into the file `path`.

    Raises
    ------
    CommandError
        As `contact_sheet`, and where the file can't be written or its suffix is none of `FORMATS`.
    """
    check_suffix(path)
    sheet = contact_sheet(dataset, per_label)
    with whole_file(path) as partial:
        try:
            sheet.save(partial, format=FORMATS[path.suffix.lower()])
        except ValueError as error:
            raise CommandError(
                f"{path} can't hold a sheet of {sheet.width}x{sheet.height} pixels; "
                "give a name that ends in .png."
            ) from error


def check_suffix(path: Path) -> None:
    """Checks that a picture can be written under this name.

    Raises
    ------
    CommandError
        Where its suffix is none of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise CommandError(
            f"--contact-sheet {path}: give a name that ends in {', '.join(FORMATS)}."
        )


def contact_sheet(dataset: Dataset, per_label: int = 10) -> Image.Image:
    """Draws the first `per_label` training pictures of every label, side by side.

    Small pictures are enlarged by a whole factor, so that their pixels stay sharp; large ones are
    shrunk.

    Raises
    ------
    CommandError
        Where the dataset holds no pictures, or `per_label` is not positive.
    """
    if per_label < 1:
        raise CommandError(f"--per-label is {per_label}; give a number from 1.")
    if dataset.picture_shape is None:
        raise CommandError(
            f"{dataset.path} holds flat instances and does not say what pictures they are, so no "
            "contact sheet can be drawn; give a dataset of pictures."
        )
    training = dataset.subsets["training"]
    shown = _shown_size(dataset.picture_shape)
    rows = [
        [_picture(dataset, instance, shown) for instance in _first(training, index, per_label)]
        for index in range(len(dataset.label_to_index))
    ]
    counts = np.bincount(training.labels, minlength=len(rows)).tolist()
    title = f"{dataset.path.name.removesuffix('.pkl.zip')}: training, {len(training):,} pictures"
    return _draw(title, dataset.label_names, counts, rows, shown)


def _first(subset: Subset, label: int, number: int) -> np.ndarray:
    return subset.read(np.flatnonzero(subset.labels == label)[:number])


def _shown_size(picture_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Returns (width, height) in pixels."""
    height, width, _ = picture_shape
    longer = max(height, width)
    if longer <= TARGET:
        factor = max(1, round(TARGET / longer))
        return width * factor, height * factor
    return max(1, width * TARGET // longer), max(1, height * TARGET // longer)


def _picture(dataset: Dataset, instance: np.ndarray, shown: tuple[int, int]) -> Image.Image:
    assert dataset.picture_shape is not None
    height, width, channels = dataset.picture_shape
    if dataset.layout == "nchw":
        instance = instance.transpose(1, 2, 0)
    picture = instance.reshape(height, width, channels)
    picture = picture if channels == 3 else picture[..., :1].repeat(3, axis=2)
    levels = np.clip(picture.astype(np.float64) * (255 / dataset.scale), 0, 255)
    image = Image.fromarray(np.rint(levels).astype(np.uint8))
    enlarge = shown[0] >= width
    return image.resize(shown, Image.Resampling.NEAREST if enlarge else Image.Resampling.LANCZOS)


def _draw(
    title: str,
    names: list[str],
    counts: list[int],
    rows: list[list[Image.Image]],
    shown: tuple[int, int],
) -> Image.Image:
    title_font, name_font, count_font = map(_font, (TITLE_SIZE, NAME_SIZE, COUNT_SIZE))
    names = [_fit(name, name_font) for name in names]
    numbers = [f"{count:,}" for count in counts]
    widths = [*map(name_font.getlength, names), *map(count_font.getlength, numbers)]
    left = MARGIN + int(max(widths)) + 3 * GAP
    top = MARGIN + 2 * TITLE_SIZE
    row_height = max(shown[1], NAME_SIZE + COUNT_SIZE + GAP) + GAP
    columns = max(map(len, rows))
    content = max(left + columns * (shown[0] + GAP) - GAP, MARGIN + title_font.getlength(title))
    size = (int(content) + MARGIN, top + len(rows) * row_height - GAP + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, title_font, anchor="lt")
    for index, (name, number, pictures) in enumerate(zip(names, numbers, rows, strict=True)):
        y = top + index * row_height
        middle = y + (row_height - GAP) // 2
        draw.text((left - 2 * GAP, middle - 1), name, INK, name_font, anchor="rs")
        draw.text((left - 2 * GAP, middle + GAP), number, QUIET, count_font, anchor="rt")
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (left + column * (shown[0] + GAP), y))
    return sheet


def _fit(name: str, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(name) <= MAX_NAME:
        return name
    while name and font.getlength(f"{name}…") > MAX_NAME:
        name = name[:-1]
    return f"{name}…"


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Returns DejaVu Sans, which comes with matplotlib and has the letters of most scripts."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)
