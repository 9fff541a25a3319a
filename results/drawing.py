"""What sheets of pictures have in common: letters, sizes, and the file they are written to."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageFont

from common.errors import CommandError
from common.files import whole_file

GAP, MARGIN = 6, 28  # pixels
INK, QUIET, ACCENT, RULE = (32, 33, 36), (128, 132, 138), (76, 120, 168), (222, 224, 228)
PAPER = (255, 255, 255)
MAX_NAME = 220  # pixels; a longer label is cut
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def font(size: int) -> ImageFont.FreeTypeFont:
    """Returns DejaVu Sans, which comes with matplotlib and has the letters of most scripts."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


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
