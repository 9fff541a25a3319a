"""Whether a file is a picture that decodes to its last byte, found out as cheaply as can be."""

from __future__ import annotations

import threading
from typing import BinaryIO

from PIL import Image

from datasets.pictures import FORMATS, reason_of, refuse_costly

LARGE_PIXELS = 4_000_000  # from which on pictures are decoded one at a time, to bound the memory
_one_large = threading.Lock()


def fault(file: BinaryIO) -> str | None:
    """Returns why `file` is no picture that decodes to its end, or None where it is one.

    A JPEG is decoded at an eighth of its size and in grey: all of its bytes are read, but most of
    the arithmetic is left out. What `datasets.pictures.refuse_costly` refuses is not decoded.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            refuse_costly(image, file)
            image.draft("L", (1, 1))
            if image.width * image.height < LARGE_PIXELS:
                image.load()
            else:
                with _one_large:
                    image.load()
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        return reason_of(error)
    return None
