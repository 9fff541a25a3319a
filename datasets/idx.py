"""Reads IDX files, the format of MNIST (described at the foot of Y. LeCun's MNIST page)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from common.errors import CommandError

UNSIGNED_BYTES = 0x08
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, gzipped or not.

    Parameters
    ----------
    path : Path
        The file.
    ndim : int
        How many axes are expected: 3 for pictures (n, height, width), 1 for labels (n,).

    Returns
    -------
    np.ndarray of shape given by the file, uint8

    Raises
    ------
    CommandError
        Where the file can't be read, is no such IDX file, or is not whole.
    """
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == GZIP_MAGIC
        with gzip.open(path) if is_gzip else path.open("rb") as stream:
            content = stream.read()
    except (OSError, EOFError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CommandError(f"{path} can't be read: {reason}; get a whole copy of it.") from error
    header_bytes = 4 + 4 * ndim
    if len(content) < header_bytes or content[:4] != bytes([0, 0, UNSIGNED_BYTES, ndim]):
        raise CommandError(
            f"{path} is no IDX file of unsigned bytes with {ndim} axes: it begins with "
            f"{content[:4].hex(' ') or 'nothing'}, not 00 00 08 {ndim:02x}; get MNIST's own files."
        )
    shape = struct.unpack(f">{ndim}I", content[4:header_bytes])
    if len(content) - header_bytes != math.prod(shape):
        raise CommandError(
            f"{path} declares the shape {shape}, {math.prod(shape):,} bytes, but holds "
            f"{len(content) - header_bytes:,}; get a whole copy of it."
        )
    return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape)
