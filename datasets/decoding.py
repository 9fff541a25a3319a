"""Decodes many pictures once, on all cores, into a scratch file to cut several datasets from."""

from __future__ import annotations

import mmap
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from common.errors import CommandError
from common.files import write_at
from common.progress import progress
from datasets.duplicates import THUMBNAIL, Fingerprints, fingerprints, thumbnail
from datasets.left_out import refuse_if
from datasets.pictures import (
    PictureError,
    ResizeMode,
    displayed_size,
    ignore_harmless,
    read_picture,
    resized,
)
from datasets.scratch import THUMBNAIL_BYTES, Scratch, key_of, record_of
from datasets.workers import in_order

Result = TypeVar("Result")
Task = tuple[int, str]  # row and path
CLEAR = 4 * max(THUMBNAIL)  # pixels of a side, from which on a thumbnail of what is resized will do


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
        Mapped from a scratch file; the rows of unreadable pictures mean nothing.
    prints : Fingerprints
        What they are compared by.
    digests : np.ndarray of shape (n, 2), uint64
        Equal for equal files.
    sizes : np.ndarray of shape (n, 2), int32
        Height and width in pixels before the pictures were resized.
    formats : np.ndarray of shape (n,), bytes
        b'JPEG', b'PNG', ...
    unreadable : dict of int to str
        The reason, by row, of every picture that could not be read.
    forget : callable
        Gives the room of some rows back to the disk, see `datasets.scratch.Scratch.forget`.
    """

    pictures: np.ndarray
    prints: Fingerprints
    digests: np.ndarray
    sizes: np.ndarray
    formats: np.ndarray
    unreadable: dict[int, str]
    forget: Callable[[np.ndarray], None]


class Paths(Sequence[str]):
    """The pictures' paths by row, made as they are asked for."""

    def __init__(self, folder: Path, names: Sequence[tuple[str, str]]) -> None:
        self._folder = str(folder)
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, row: int) -> str:  # type: ignore[override]
        return "/".join((self._folder, *self._names[row]))

    def whole(self) -> Iterator[str]:
        """Yields the pictures' paths from the root on, links in `folder` resolved."""
        folder = os.path.realpath(self._folder)
        for names in self._names:
            yield "/".join((folder, *names))


class _Tasks(Sequence[Task]):
    def __init__(self, paths: Sequence[str], rows: Sequence[int] | np.ndarray) -> None:
        self._paths, self._rows = paths, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Task:  # type: ignore[override]
        row = int(self._rows[index])
        return row, self._paths[row]


@contextmanager
def decoded(paths: Paths, folder: Path, form: Form) -> Iterator[Decoded]:
    """Decodes every picture once; what a run that was broken off has decoded is not decoded again.

    Parameters
    ----------
    paths : Paths
        The pictures.
    folder : Path
        For the scratch files, see `datasets.scratch.Scratch`: on a disk with room for
        n * height * width * 3 bytes, and 928 more for each.
    form : Form
        What the pictures are brought to.

    Raises
    ------
    CommandError
        Where the pictures' sizes differ and no size is given, or, if strict, a picture is
        unreadable.
    OSError
        Where the disk is full.
    """
    size = (form.image_size,) * 2 if form.image_size else _common_size(paths, form)
    shape = (len(paths), *size, 3)
    key = key_of(paths.whole(), size, form.mode)
    row_bytes = int(np.prod(shape[1:], dtype=np.int64))
    with Scratch(folder, key, len(paths), row_bytes, form.num_workers) as scratch:
        unreadable = _decode_into(scratch, paths, size, form)
        thumbnails = _mapped(scratch.thumbnails, (len(paths), *THUMBNAIL))
        yield Decoded(
            pictures=_mapped(scratch.pixels, shape),
            prints=fingerprints(thumbnails, partial(_forget_pages, thumbnails)),
            digests=scratch.records["digest"],
            sizes=scratch.records["size"],
            formats=scratch.records["format"],
            unreadable=unreadable,
            forget=scratch.forget,
        )


def _mapped(file: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.ndarray(shape, np.uint8, buffer=mmap.mmap(file, 0, access=mmap.ACCESS_READ))


def _forget_pages(array: np.ndarray) -> None:
    mapping = array.base
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def _decode_into(
    scratch: Scratch, paths: Sequence[str], size: tuple[int, int], form: Form
) -> dict[int, str]:
    """Decodes what is not there yet; returns the reasons, by row, of what can't be."""
    _clear_changed(scratch, paths)
    if found := int(scratch.done.sum()):
        print(
            f"Going on: {found:,} of {len(paths):,} pictures are decoded already.", file=sys.stderr
        )
    files = scratch.pixels, scratch.thumbnails
    work = partial(decode_one, files=files, size=size, mode=form.mode)
    rows = np.flatnonzero(~scratch.done)
    unreadable = {}
    with _counted("Decoding pictures", work, _Tasks(paths, rows), form, files) as answers:
        for row, answer in zip(rows.tolist(), answers, strict=True):
            if isinstance(answer, bytes):
                scratch.put(row, answer)
            else:
                refuse_if(form.strict, paths[row], answer)
                unreadable[row] = answer
                scratch.records["digest"][row] = row, 0  # equal to no other
    return unreadable


def _clear_changed(scratch: Scratch, paths: Sequence[str]) -> None:
    """Takes what was decoded of a file that is not the same any more for not decoded."""
    rows = np.flatnonzero(scratch.done).tolist()
    with progress("Looking for changed pictures", len(rows), "pictures") as advance:
        for row in rows:
            record = scratch.records[row]
            try:
                source = Path(paths[row]).stat()
                found = source.st_size, source.st_mtime_ns
            except OSError:
                found = None
            if found != (record["num_bytes"], record["mtime_ns"]):
                scratch.clear(row)
            advance(1)


def decode_one(
    task: Task, *, files: tuple[int, int], size: tuple[int, int], mode: ResizeMode
) -> bytes | str:
    """Writes a picture and its thumbnail to their rows of the two scratch files.

    Returns the row's record, or why the picture can't be used.
    """
    start = time.perf_counter()
    row, path = task
    try:
        with warnings.catch_warnings():
            ignore_harmless()
            source = Path(path).stat()  # before it is read, so that a change meanwhile is one
            picture = read_picture(Path(path), size, with_digest=True)
            image = resized(picture.image, size, mode)
            pixels = np.ascontiguousarray(image)
    except PictureError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    shows_all = mode == "stretch" and min(size) >= CLEAR
    small = np.ascontiguousarray(thumbnail(image if shows_all else picture.image))
    write_at(files[0], pixels.data, row * pixels.nbytes)
    write_at(files[1], small.data, row * THUMBNAIL_BYTES)
    return record_of(row, picture, source, time.perf_counter() - start)


def size_or_reason(task: Task) -> tuple[int, int] | str:
    """Returns (height, width) of a picture, or why it can't be used."""
    try:
        with warnings.catch_warnings():
            ignore_harmless()
            return displayed_size(Path(task[1]))
    except PictureError as error:
        return str(error)


def _common_size(paths: Sequence[str], form: Form) -> tuple[int, int]:
    sizes: Counter[tuple[int, int]] = Counter()
    tasks = _Tasks(paths, range(len(paths)))
    with _counted("Looking at the sizes", size_or_reason, tasks, form) as results:
        for row, result in enumerate(results):
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


@contextmanager
def _counted(
    description: str,
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    form: Form,
    files: Sequence[int] = (),
) -> Iterator[Iterator[Result]]:
    """Yields the results, in order, and shows how far they are; at the end the workers are gone."""
    with (
        progress(description, len(tasks), "pictures") as advance,
        closing(in_order(work, tasks, form.num_workers, files)) as results,
    ):

        def counted() -> Iterator[Result]:
            for result in results:
                advance(1)
                yield result

        yield counted()
