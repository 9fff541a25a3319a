"""Whether a file is a picture that decodes to its last byte, found out as cheaply as can be."""

from __future__ import annotations

import threading
from typing import BinaryIO

from PIL import Image

from datasets.pictures import FORMATS

LARGE_PIXELS = 4_000_000  # from which on pictures are decoded one at a time, to bound the memory
_one_large = threading.Lock()


def fault(file: BinaryIO) -> str | None:
    """Returns why `file` is no picture that decodes to its end, or None where it is one.

    A JPEG is decoded at an eighth of its size and in grey: all of its bytes are read, but most of
    the arithmetic is left out. A picture of more than Pillow's limit of pixels is not decoded.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > (Image.MAX_IMAGE_PIXELS or float("inf")):
                raise Image.DecompressionBombError
            image.draft("L", (1, 1))
            if pixels < LARGE_PIXELS:
                image.load()
            else:
                with _one_large:
                    image.load()
    except Image.UnidentifiedImageError:
        return "it is no picture of a known format"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        return " ".join(str(error).split()) or type(error).__name__
    return None
