"""Picture files become arrays of what a person sees."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

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
ResizeMode = Literal["stretch", "crop", "fit"]
READ_AT_ONCE = 2**20  # bytes
BARS = (0, 0, 0)  # the colour around a picture that is fitted into a square
MAX_SCANS = 100  # of a JPEG, as libtiff holds it; a progressive one has about ten
# A scan's header as libjpeg takes it: marker, length, number of components.
SCAN = re.compile(rb"\xff\xda\x00(?:\x06\x00|\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")

Image.init()  # loads the formats beyond Pillow's first five


class PictureError(Exception):
    """Why a file can't be used as a picture, in a few words."""


def suffixes() -> frozenset[str]:
    """Returns the suffixes of picture files, in lower case, '.jpg' among them."""
    known = Image.registered_extensions()
    return frozenset(
        suffix for suffix, name in known.items() if name in (*FORMATS, "MPO")
    )  # MPO is JPEG


@dataclass(frozen=True)
class Picture:
    """A picture file that was read.

    Parameters
    ----------
    image : Image.Image
        In RGB, upright; a JPEG that was to become much smaller may have been decoded at a fraction
        of its size.
    size : tuple of (height, width)
        In pixels, as it is shown at full size.
    format : str
        'JPEG', 'PNG', ...
    digest : bytes
        16 bytes that are equal for equal files; empty where nobody asked for them.
    """

    image: Image.Image
    size: tuple[int, int]
    format: str
    digest: bytes


def read_picture(
    path: Path, size: tuple[int, int] | None = None, *, with_digest: bool = False
) -> Picture:
    """Reads a picture as a person sees it.

    Turned upright by its EXIF orientation, transparent parts over white, 16-bit grey scaled to 8
    bits; of an animation the first frame.

    Parameters
    ----------
    path : Path
        A picture of one of `FORMATS`.
    size : tuple of (height, width), optional
        In pixels, that the picture is going to have.
    with_digest : bool
        Whether the file's digest is wanted.

    Raises
    ------
    PictureError
        Where the file can't be read, is no picture, is damaged, or would be too large in memory.
    """
    try:
        with (
            path.open("rb") as file,
            Image.open(source := _source(file), formats=FORMATS) as image,
        ):
            refuse_costly(image, source)
            stored = image.size
            if size is not None:
                # Lets a JPEG be decoded at 1/2, 1/4 or 1/8, but no nearer than twice the size.
                image.draft(None, (2 * max(size), 2 * max(size)))
            image.load()
            orientation = _orientation(image)  # asking before load() would hide damage to a PNG
            upright = _upright(_to_rgb(image), orientation)
            size_shown = _displayed_size(stored, orientation, image.format)
            digest = _digest(file) if with_digest else b""
            return Picture(upright, size_shown, image.format or "", digest)
    except PictureError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        raise PictureError(reason_of(error)) from error


def decode(
    path: Path, size: tuple[int, int] | None = None, mode: ResizeMode = "stretch"
) -> np.ndarray:
    """Reads a picture as `read_picture` does and brings it to `size` as `resized` does.

    Returns
    -------
    np.ndarray of shape (height, width, 3), uint8
        RGB, 0 to 255.

    Raises
    ------
    PictureError
        As `read_picture`.
    """
    image = read_picture(path, size).image
    return np.asarray(image if size is None else resized(image, size, mode))


def resized(image: Image.Image, size: tuple[int, int], mode: ResizeMode) -> Image.Image:
    """Returns the picture in another size, by Pillow's bicubic filter.

    Parameters
    ----------
    image : Image.Image
    size : tuple of (height, width)
        In pixels.
    mode : 'stretch', 'crop' or 'fit'
        'stretch' changes the proportions, as the originals did; 'crop' keeps them and cuts off what
        lies beyond the middle; 'fit' keeps them and all of the picture, with black bars beside it.
    """
    height, width = size
    if image.size == (width, height):
        return image
    if mode == "stretch":
        return image.resize((width, height), RESAMPLING)
    across, down = width / image.width, height / image.height
    if mode == "crop":
        scale = max(across, down)
        left = max(0.0, (image.width - width / scale) / 2)  # which rounding may make negative
        top = max(0.0, (image.height - height / scale) / 2)
        box = (left, top, image.width - left, image.height - top)
        return image.resize((width, height), RESAMPLING, box=box)
    scale = min(across, down)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    result = Image.new("RGB", (width, height), BARS)
    small = image if image.size == inner else image.resize(inner, RESAMPLING)
    result.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return result


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
            return _displayed_size(image.size, _orientation(image), image.format)
    except Exception as error:  # as in decode
        raise PictureError(reason_of(error)) from error


def _displayed_size(
    stored: tuple[int, int], orientation: int, format_: str | None
) -> tuple[int, int]:
    width, height = stored
    turned = format_ != "TIFF" and orientation >= 5
    return (width, height) if turned else (height, width)


def _source(file: BinaryIO) -> BinaryIO:
    """Returns what Pillow reads faster from, as it reads in many small steps."""
    content = file.read(READ_AT_ONCE)
    file.seek(0)
    return io.BytesIO(content) if len(content) < READ_AT_ONCE else file


def _digest(file: BinaryIO) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    file.seek(0)
    while content := file.read(READ_AT_ONCE):
        digest.update(content)
    return digest.digest()


def refuse_costly(image: Image.Image, file: BinaryIO) -> None:
    """Raises where decoding would take far more memory or time than a picture needs.

    Parameters
    ----------
    image : Image.Image
        That was opened but not decoded.
    file : BinaryIO
        What it was opened from; its position is kept.
    """
    _refuse_bomb(image)
    if image.format in ("JPEG", "MPO") and (scans := _num_scans(file)) > MAX_SCANS:
        raise PictureError(f"it has {scans:,} scans, more than a picture needs")


def ignore_harmless() -> None:
    """Lets Pillow not warn of odd EXIF data and the like, which leave the picture itself intact."""
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # is refused


def reason_of(error: Exception) -> str:
    """Returns why a file can't be used as a picture, in a few words."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no picture of a known format"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _num_scans(file: BinaryIO) -> int:
    """Counts the scans of a JPEG, each of which costs another pass over the whole picture."""
    position = file.tell()
    file.seek(0)
    scans, end = 0, b""
    while content := file.read(READ_AT_ONCE):
        content = end + content
        scans += len(SCAN.findall(content))
        end = content[-4:]  # a header has 5 bytes, so none is whole in it and counted twice
    file.seek(position)
    return scans


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
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise PictureError("its pixels are 32-bit integers of no known range")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
