"""Decodes many pictures once, on all cores, into a scratch file to cut several datasets from."""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from common.errors import CommandError
from common.files import cannot_write
from common.progress import progress
from datasets.duplicates import THUMBNAIL, Fingerprints, fingerprints, thumbnail
from datasets.pictures import PictureError, ResizeMode, displayed_size, read_picture, resized
from datasets.workers import in_order

Result = TypeVar("Result")
Task = tuple[int, str]  # row and path
PUNCHED_FROM = 2**14  # bytes of a picture; holes of less than some pages free nothing
KEEP_SIZE, PUNCH_HOLE = 1, 2  # fallocate's modes, <linux/falloc.h>
THUMBNAIL_BYTES = int(np.prod(THUMBNAIL))


@dataclass(frozen=True)
class Form:
    """What pictures are brought to.

    Parameters
    ----------
    image_size : int, optional
        Height and width in pixels; by default the pictures have one size and keep it.
    mode : 'stretch', 'crop' or 'fit'
        See `datasets.pictures.resized`.
    strict : bool
        Whether an unreadable picture is an error.
    num_workers : int
        Processes to decode in.
    """

    image_size: int | None
    mode: ResizeMode
    strict: bool
    num_workers: int


@dataclass(frozen=True)
class Decoded:
    """Pictures of one size.

    Parameters
    ----------
    pictures : np.ndarray of shape (n, height, width, 3), uint8
        Mapped from a scratch file; the rows of unreadable pictures are zero.
    prints : Fingerprints
        What they are compared by.
    digests : np.ndarray of shape (n, 2), uint64
        Equal for equal files.
    sizes : np.ndarray of shape (n, 2), int32
        Height and width in pixels before the pictures were resized.
    formats : list of str
        'JPEG', 'PNG', ...
    unreadable : dict of int to str
        The reason, by row, of every picture that could not be read.
    file : int
        The scratch file.
    """

    pictures: np.ndarray
    prints: Fingerprints
    digests: np.ndarray
    sizes: np.ndarray
    formats: list[str]
    unreadable: dict[int, str]
    file: int

    def forget(self, rows: np.ndarray) -> None:
        """Gives the room of some pictures back to the disk, and to the system's cache of it.

        What is written next takes their place, so that the scratch file and the datasets together
        are never much larger than one of them.
        """
        row_bytes = self.pictures[0].nbytes
        if row_bytes >= PUNCHED_FROM:
            for row in rows.tolist():
                if not _punch_hole(self.file, row * row_bytes, row_bytes):
                    return


class Paths(Sequence[str]):
    """The pictures' paths by row, made as they are asked for."""

    def __init__(self, folder: Path, names: Sequence[tuple[str, str]]) -> None:
        self._folder = str(folder)
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, row: int) -> str:  # type: ignore[override]
        return "/".join((self._folder, *self._names[row]))


class _Rows(Sequence[Task]):
    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> Task:  # type: ignore[override]
        return row, self._paths[row]


@contextmanager
def decoded(paths: Sequence[str], out_dir: Path, form: Form) -> Iterator[Decoded]:
    """Decodes every picture once.

    Parameters
    ----------
    paths : sequence of str
        The pictures.
    out_dir : Path
        A folder on a disk with room for n * height * width * 3 bytes, and 864 more for each. The
        scratch file has no name there, so it is gone with the process, however that ends.
    form : Form
        What the pictures are brought to.

    Raises
    ------
    CommandError
        Where the pictures' sizes differ and no size is given, the disk is full, or, if strict,
        a picture is unreadable.
    """
    size = (form.image_size,) * 2 if form.image_size else _common_size(paths, form)
    shape = (len(paths), *size, 3)
    try:
        with (
            tempfile.TemporaryFile(dir=out_dir) as scratch,
            tempfile.TemporaryFile(dir=out_dir) as small,
        ):
            os.truncate(scratch.fileno(), int(np.prod(shape, dtype=np.int64)))
            os.truncate(small.fileno(), len(paths) * THUMBNAIL_BYTES)
            files = scratch.fileno(), small.fileno()
            result = _decode_into(files, paths, size, form)
            thumbnails = _mapped(small.fileno(), (len(paths), *THUMBNAIL))
            prints = fingerprints(thumbnails, partial(_forget_pages, thumbnails))
            pictures = _mapped(scratch.fileno(), shape)
            yield Decoded(pictures, prints, *result, scratch.fileno())
    except OSError as error:
        raise cannot_write(out_dir, error) from error


def _punch_hole(file: int, offset: int, length: int) -> bool:
    """Calls Linux's fallocate; returns False where the system or the file system lacks it."""
    try:
        fallocate = ctypes.CDLL(None).fallocate
    except (AttributeError, OSError):
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return fallocate(file, PUNCH_HOLE | KEEP_SIZE, offset, length) == 0


def _mapped(file: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.ndarray(shape, np.uint8, buffer=mmap.mmap(file, 0, access=mmap.ACCESS_READ))


def _forget_pages(array: np.ndarray) -> None:
    mapping = array.base
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def _decode_into(
    files: tuple[int, int], paths: Sequence[str], size: tuple[int, int], form: Form
) -> tuple[np.ndarray, np.ndarray, list[str], dict[int, str]]:
    work = partial(decode_one, files=files, size=size, mode=form.mode)
    digests = np.zeros((len(paths), 2), np.uint64)
    sizes = np.zeros((len(paths), 2), np.int32)
    formats: list[str] = []
    unreadable = {}
    for row, answer in enumerate(_counted("Decoding pictures", work, _Rows(paths), form, files)):
        if isinstance(answer, str):
            refuse_if(form.strict, paths[row], answer)
            unreadable[row] = answer
            formats.append("")
            digests[row] = row, 0  # equal to no other
            continue
        sizes[row], kind, digest = answer
        digests[row] = np.frombuffer(digest, np.uint64)
        formats.append(kind)
    return digests, sizes, formats, unreadable


def decode_one(
    task: Task, *, files: tuple[int, int], size: tuple[int, int], mode: ResizeMode
) -> tuple[tuple[int, int], str, bytes] | str:
    """Writes a picture and its thumbnail to their rows of the two scratch files.

    Returns (size before, format, digest), or why the picture can't be used.
    """
    row, path = task
    try:
        with warnings.catch_warnings():
            _ignore_harmless()
            picture = read_picture(Path(path), size)
            pixels = np.asarray(resized(picture.image, size, mode))
    except PictureError as error:
        return str(error)
    _write_at(files[0], pixels, row * pixels.nbytes)
    _write_at(files[1], thumbnail(picture.image), row * THUMBNAIL_BYTES)
    return picture.size, picture.format, picture.digest


def size_or_reason(task: Task) -> tuple[int, int] | str:
    """Returns (height, width) of a picture, or why it can't be used."""
    try:
        with warnings.catch_warnings():
            _ignore_harmless()
            return displayed_size(Path(task[1]))
    except PictureError as error:
        return str(error)


def _common_size(paths: Sequence[str], form: Form) -> tuple[int, int]:
    sizes: Counter[tuple[int, int]] = Counter()
    for row, result in enumerate(
        _counted("Looking at the sizes", size_or_reason, _Rows(paths), form)
    ):
        if isinstance(result, str):
            refuse_if(form.strict, paths[row], result)
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


def refuse_if(strict: bool, path: str, reason: str) -> None:
    """Raises CommandError for a picture that can't be used, if `strict`."""
    if strict:
        raise CommandError(
            f"The picture {path!a} can't be used: {reason}; repair or remove it, or leave out "
            "--strict to go on without such pictures."
        )


def _counted(
    description: str,
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    form: Form,
    files: Sequence[int] = (),
) -> Iterator[Result]:
    """Yields the results in order and shows how far they are."""
    with (
        progress(description, len(tasks), "pictures") as advance,
        closing(in_order(work, tasks, form.num_workers, files)) as results,
    ):
        for result in results:
            advance(1)
            yield result


def _ignore_harmless() -> None:
    """Pillow warns of odd EXIF data and the like, which leave the picture itself intact."""
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # is refused


def _write_at(file: int, array: np.ndarray, offset: int) -> None:
    data = np.ascontiguousarray(array).data.cast("B")
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
