"""Decodes many pictures once, in parallel, into a scratch file to cut several datasets from."""

from __future__ import annotations

import mmap
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from common.errors import CommandError
from common.files import cannot_write
from common.progress import progress
from datasets.pictures import PictureError, decode, displayed_size

Task = TypeVar("Task")
Result = TypeVar("Result")
WINDOW = 1024  # pictures that are handed to the threads at a time


@dataclass(frozen=True)
class Decoded:
    """Pictures of one size.

    Parameters
    ----------
    pictures : np.ndarray of shape (n, height, width, 3), uint8
        Mapped from a scratch file; the rows of unreadable pictures are zero.
    unreadable : dict of int to str
        The reason, by row, of every picture that could not be read.
    """

    pictures: np.ndarray
    unreadable: dict[int, str]


@contextmanager
def decoded(
    paths: Sequence[Path], out_dir: Path, image_size: int | None, strict: bool
) -> Iterator[Decoded]:
    """Decodes every picture once, in as many threads as there are processors.

    Parameters
    ----------
    paths : sequence of Path
        The pictures.
    out_dir : Path
        A folder on a disk with room for n * height * width * 3 bytes. The scratch file has no name
        there, so it is gone with the process, however that ends.
    image_size : int, optional
        Height and width in pixels that all are stretched to; by default that which they have.
    strict : bool
        Whether an unreadable picture is an error.

    Raises
    ------
    CommandError
        Where the pictures' sizes differ and `image_size` is None, the disk is full, or, if strict,
        a picture is unreadable.
    """
    height, width = (image_size, image_size) if image_size else _common_size(paths, strict)
    shape = (len(paths), height, width, 3)
    try:
        with tempfile.TemporaryFile(dir=out_dir) as scratch:
            os.truncate(scratch.fileno(), int(np.prod(shape, dtype=np.int64)))
            unreadable = _decode_into(scratch.fileno(), paths, (height, width), strict)
            mapping = mmap.mmap(scratch.fileno(), 0, access=mmap.ACCESS_READ)
            yield Decoded(np.ndarray(shape, np.uint8, buffer=mapping), unreadable)
    except OSError as error:
        raise cannot_write(out_dir, error) from error


def _decode_into(
    scratch: int, paths: Sequence[Path], size: tuple[int, int], strict: bool
) -> dict[int, str]:
    row_bytes = size[0] * size[1] * 3

    def decode_one(row: int) -> str | None:
        try:
            picture = decode(paths[row], size)
        except PictureError as error:
            return str(error)
        _write_at(scratch, np.ascontiguousarray(picture).data.cast("B"), row * row_bytes)
        return None

    reasons = _in_parallel("Decoding pictures", decode_one, range(len(paths)))
    unreadable = {}
    for row, reason in enumerate(reasons):
        if reason is not None:
            refuse_if(strict, paths[row], reason)
            unreadable[row] = reason
    return unreadable


def _common_size(paths: Sequence[Path], strict: bool) -> tuple[int, int]:
    def size_or_reason(path: Path) -> tuple[int, int] | str:
        try:
            return displayed_size(path)
        except PictureError as error:
            return str(error)

    sizes: Counter[tuple[int, int]] = Counter()
    for path, result in zip(
        paths, _in_parallel("Looking at the sizes", size_or_reason, paths), strict=True
    ):
        if isinstance(result, str):
            refuse_if(strict, path, result)
        else:
            sizes[result] += 1
    if len(sizes) > 1:
        found = ", ".join(f"{w}x{h} ({n:,})" for (h, w), n in sizes.most_common(5))
        more = f" and {len(sizes) - 5} more sizes" if len(sizes) > 5 else ""
        raise CommandError(
            f"The pictures have different sizes, {found}{more}, and a network needs one; "
            f"give --image-size, for example --image-size {min(sizes.most_common(1)[0][0])}."
        )
    return next(iter(sizes), (1, 1))


def refuse_if(strict: bool, path: Path, reason: str) -> None:
    """Raises CommandError for a picture that can't be used, if `strict`."""
    if strict:
        raise CommandError(
            f"The picture {str(path)!a} can't be used: {reason}; repair or remove it, or leave out "
            "--strict to go on without such pictures."
        )


def _in_parallel(
    description: str, work: Callable[[Task], Result], tasks: Sequence[Task]
) -> Iterator[Result]:
    """Yields the results in order."""
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress(description, len(tasks), "pictures") as advance,
    ):
        # Pillow warns of odd EXIF data and the like, which leave the picture itself intact.
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # is refused
        for start in range(0, len(tasks), WINDOW):
            for result in pool.map(work, tasks[start : start + WINDOW]):
                advance(1)
                yield result


def _write_at(file: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
