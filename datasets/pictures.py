"""Picture files become arrays of what a person sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

# Formats that Pillow decodes by itself: EPS, for one, would start Ghostscript on a stranger's file.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA")
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
RESAMPLING = Image.Resampling.BICUBIC  # Pillow's widens with the reduction, so nothing aliases

Image.init()  # loads the formats beyond Pillow's first five


class PictureError(Exception):
    """Why a file can't be used as a picture, in a few words."""


def suffixes() -> frozenset[str]:
    """Returns the suffixes of picture files, in lower case, '.jpg' among them."""
    known = Image.registered_extensions()
    return frozenset(
        suffix for suffix, name in known.items() if name in (*FORMATS, "MPO")
    )  # MPO is JPEG


def decode(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Reads a picture as a person sees it.

    Turned upright by its EXIF orientation, transparent parts over white, 16-bit grey scaled to 8
    bits; of an animation the first frame.

    Parameters
    ----------
    path : Path
        A picture of one of `FORMATS`.
    size : tuple of (height, width), optional
        In pixels; the picture is stretched to it.

    Returns
    -------
    np.ndarray of shape (height, width, 3), uint8
        RGB, 0 to 255.

    Raises
    ------
    PictureError
        Where the file can't be read, is no picture, is damaged, or would be too large in memory.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            _refuse_bomb(image)
            if size is not None:
                # Lets a JPEG be decoded at 1/2, 1/4 or 1/8, but no nearer than twice the size.
                image.draft(None, (2 * max(size), 2 * max(size)))
            image.load()
            picture = _upright(_to_rgb(image), _orientation(image))
        if size is not None and picture.size != (size[1], size[0]):
            picture = picture.resize((size[1], size[0]), RESAMPLING)
        return np.asarray(picture)
    except PictureError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        raise PictureError(_reason(error)) from error


def displayed_size(path: Path) -> tuple[int, int]:
    """Returns (height, width) of a picture in pixels as it is shown, from its header alone.

    Raises
    ------
    PictureError
        As `decode`.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            _refuse_bomb(image)
            width, height = image.size
            turned = image.format != "TIFF" and _orientation(image) >= 5
            return (width, height) if turned else (height, width)
    except Exception as error:  # as in decode
        raise PictureError(_reason(error)) from error


def _refuse_bomb(image: Image.Image) -> None:
    """Holds Pillow's limit itself, where Pillow warns and refuses from twice the limit on."""
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
        raise Image.DecompressionBombError


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF data says nothing about the picture itself
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    transpose = UPRIGHT.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_16_bits(image).convert("RGB")
    if image.mode == "F":
        raise PictureError("its pixels are floating-point numbers of no known range")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise PictureError("its pixels are 32-bit integers of no known range")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no picture of a known format"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
