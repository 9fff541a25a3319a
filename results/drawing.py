"""What sheets of pictures have in common: letters, sizes, means, and the file they go to."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

from common.errors import CommandError
from common.files import whole_file
from datasets.dataset import Dataset
from datasets.looks import label_means

GAP, MARGIN = 6, 28  # pixels
INK, QUIET, ACCENT, RULE = (32, 33, 36), (128, 132, 138), (76, 120, 168), (222, 224, 228)
PAPER = (255, 255, 255)
MEAN_TARGET = 140  # pixels that the longer side of a mean comes near to where it is shown largest
MAX_NAME = 220  # pixels; a longer label is cut
Means = Mapping[int, np.ndarray]  # of labels' pictures, see `sheet_means`
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def font(size: int, text: str = "") -> ImageFont.FreeTypeFont:
    """Returns letters for `text`.

    DejaVu Sans, which comes with matplotlib, has those of Latin, Greek, Cyrillic, Hebrew, Arabic
    and some other scripts. For a text that it lacks some of, as a Japanese one, a font of the
    system serves that has them all, if fontconfig knows one; else they show as empty boxes.
    """
    needed = frozenset(letter for letter in text if letter.isprintable() and not letter.isspace())
    path, index = _font_with(needed)
    return ImageFont.truetype(path, size, index)


@lru_cache(maxsize=4096)
def _font_with(letters: frozenset[str]) -> tuple[str, int]:
    """Returns the file of a font, and the number of the face in it."""
    import matplotlib

    usual = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    if _has(usual, 0, letters):
        return usual, 0
    charset = " ".join(f"{ord(letter):x}" for letter in sorted(letters))
    pattern = f"sans-serif:charset={charset}:scalable=true:color=false"
    command = ["fc-match", "--format", "%{index}\t%{file}", pattern]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        index, path = answer.stdout.split("\t")
        face = int(index) & 0xFFFF  # the rest numbers an instance of a variable font
        ImageFont.truetype(path, 16, face)
    except (OSError, ValueError, subprocess.SubprocessError):
        return usual, 0
    return (path, face) if _has(path, face, letters) else (usual, 0)


def _has(path: str, face: int, letters: frozenset[str]) -> bool:
    from matplotlib.ft2font import FT2Font

    found = FT2Font(path, face_index=face)
    return all(found.get_char_index(ord(letter)) for letter in letters)


def fit(name: str, letters: ImageFont.FreeTypeFont, width: int = MAX_NAME) -> str:
    """Returns the name, cut with an ellipsis where it is wider than `width` pixels."""
    if letters.getlength(name) <= width:
        return name
    while name and letters.getlength(f"{name}…") > width:
        name = name[:-1]
    return f"{name}…"


def check_suffix(path: Path, option: str) -> None:
    """Checks that a picture can be written under the name that `option` gave.

    Raises
    ------
    CommandError
        Where its suffix is none of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise CommandError(f"{option} {path}: give a name that ends in {', '.join(FORMATS)}.")


def write_sheet(sheet: Image.Image, path: Path) -> None:
    """Writes the sheet, whole or not at all.

    Raises
    ------
    CommandError
        Where the file can't be written or can't hold a sheet of this size.
    """
    with whole_file(path) as partial:
        try:
            sheet.save(partial, format=FORMATS[path.suffix.lower()])
        except ValueError as error:
            raise CommandError(
                f"{path} can't hold a sheet of {sheet.width}x{sheet.height} pixels; "
                "give a name that ends in .png."
            ) from error


def check_pictures(dataset: Dataset, what: str) -> None:
    """Raises CommandError where it is not known what pictures the dataset holds."""
    if dataset.picture_shape is None:
        raise CommandError(
            f"{dataset.path} holds flat instances and does not say what pictures they are, so no "
            f"{what} can be drawn; give a dataset of pictures."
        )


def shown_size(width: int, height: int, target: int) -> tuple[int, int]:
    """Returns (width, height) in pixels that come near to `target`, enlarged by whole factors."""
    longer = max(height, width)
    if longer <= target:
        factor = max(1, round(target / longer))
        return width * factor, height * factor
    return max(1, width * target // longer), max(1, height * target // longer)


def shrunk(picture: np.ndarray, shown: tuple[int, int]) -> Image.Image:
    """Returns the picture, (height, width, 3) and uint8, in the shown size."""
    image = Image.fromarray(picture)
    enlarge = shown[0] >= image.width
    return image.resize(shown, Image.Resampling.NEAREST if enlarge else Image.Resampling.LANCZOS)


def sheet_means(dataset: Dataset) -> Means:
    """Returns the means of the labels' training pictures, by label, as large as a sheet shows any.

    Raises
    ------
    CommandError
        Where the dataset holds no pictures.
    """
    check_pictures(dataset, "mean picture")
    assert dataset.picture_shape is not None
    height, width, _ = dataset.picture_shape
    return label_means(dataset, shown_size(width, height, MEAN_TARGET))
