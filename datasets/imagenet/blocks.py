"""What a process does at a time: some pictures are decoded to their place in a shard's file."""

from __future__ import annotations

import hashlib
import os
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.files import write_at
from datasets.left_out import refuse_if
from datasets.pictures import PictureError, ResizeMode, ignore_harmless, read_picture, resized

PICTURES = 32  # in a block: some tenths of a second, and few enough to be summed up in 16 bits


class Block(NamedTuple):
    """Pictures to decode.

    Parameters
    ----------
    file : str
        That they are written to, one after another, whether it is there or not.
    offset : int
        The bytes before the first.
    folder : str
        Where they lie.
    names : sequence of str
        Their paths below it, no more than `PICTURES`.
    """

    file: str
    offset: int
    folder: str
    names: Sequence[str]


class Decoded(NamedTuple):
    """What has become of a block.

    Parameters
    ----------
    stamp : bytes
        Of the files before they were read, see `stamp_of`.
    num_written : int
        The pictures that were readable.
    crc : int
        The CRC-32 of their bytes.
    unreadable : dict of int to str
        The reason, by position in the block, of every picture that was left out.
    sums : np.ndarray of shape (height, width, 3), uint16
        The sum of the pictures.
    """

    stamp: bytes
    num_written: int
    crc: int
    unreadable: dict[int, str]
    sums: np.ndarray


def stamp_of(folder: str, names: Sequence[str]) -> bytes:
    """Returns a digest of files' names, sizes and times of change."""
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        try:
            status = Path(folder, name).stat()
            found: object = (status.st_size, status.st_mtime_ns)
        except OSError:
            found = None
        digest.update(repr((name, found)).encode())
    return digest.digest()


def decode_block(block: Block, *, size: int, mode: ResizeMode, strict: bool) -> Decoded:
    """Decodes pictures, brings them to `size` and writes those that are readable side by side.

    Parameters
    ----------
    block : Block
        The pictures.
    size : int
        Height and width in pixels.
    mode : 'stretch', 'crop' or 'fit'
        See `datasets.pictures.resized`.
    strict : bool
        Whether an unreadable picture is an error.

    Raises
    ------
    CommandError
        For an unreadable picture, if strict.
    OSError
        Where the system refuses to write.
    """
    stamp = stamp_of(block.folder, block.names)
    sums = np.zeros((size, size, 3), np.uint16)
    unreadable: dict[int, str] = {}
    crc, offset = 0, block.offset
    file = os.open(block.file, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        with warnings.catch_warnings():
            ignore_harmless()
            for position, name in enumerate(block.names):
                path = Path(block.folder, name)
                try:
                    image = read_picture(path, (size, size)).image
                    pixels = np.asarray(resized(image, (size, size), mode), order="C")
                except PictureError as error:
                    refuse_if(strict, str(path), str(error))
                    unreadable[position] = str(error)
                    continue
                write_at(file, pixels.data, offset)
                crc = zlib.crc32(pixels.data, crc)
                np.add(sums, pixels, out=sums)
                offset += pixels.nbytes
    finally:
        os.close(file)
    return Decoded(stamp, len(block.names) - len(unreadable), crc, unreadable, sums)
