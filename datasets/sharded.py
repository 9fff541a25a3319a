"""One array over many .npy files: instances that are too many for one."""

from __future__ import annotations

import mmap
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from common.errors import CommandError
from datasets.dataset import KEPT_MAPPED, copy_rows
from datasets.row_array import RowArray
from datasets.unpickle import FormatError

MAX_OPEN = 64  # shards of an array that are mapped at once; each takes a file descriptor
BUFFER_BYTES = 2**20
ADVICE = "copy it again from where it came from, or convert it anew (convert_dataset)"


class NoFileError(FormatError):
    """A pipe, a folder or a device where a file should be."""


@dataclass(frozen=True)
class Shard:
    """A file, the number of rows in it, and the bytes before their values."""

    path: Path
    count: int
    start: int


class ShardedArray(RowArray):
    """Reads like an array; is never in memory as a whole. Shards are mapped as they are needed.

    Parameters
    ----------
    shards : sequence of Shard
        The files in order, each of at least one row.
    shape : tuple of int
        Of one row.
    dtype : np.dtype
    """

    def __init__(self, shards: Sequence[Shard], shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._shards = list(shards)
        self._ends = np.cumsum([shard.count for shard in shards], dtype=np.int64)
        self._mapped: OrderedDict[int, tuple[np.ndarray, mmap.mmap]] = OrderedDict()
        self._lock = threading.Lock()
        super().__init__((int(self._ends[-1]) if len(self._ends) else 0, *shape), dtype)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("an array of shards is in no memory; it can only be copied")
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def copy_rows(self, rows: np.ndarray | range, target: np.ndarray) -> None:
        """Copies rows, numbered from 0 and within the array, to `target`, shard by shard.

        Raises
        ------
        CommandError
            Where a shard can't be read any more.
        """
        if isinstance(rows, range) and rows.step == 1:
            self._copy_run(rows, target)
            return
        rows, order = np.asarray(rows), None
        if np.any(rows[1:] < rows[:-1]):
            order = np.argsort(rows, kind="stable")
            rows = rows[order]
        which = np.searchsorted(self._ends, rows, side="right")
        firsts = np.flatnonzero(np.diff(which, prepend=-1)).tolist()
        for first, last in pairwise([*firsts, len(rows)]):
            index = int(which[first])
            local = rows[first:last] - (self._ends[index] - self._shards[index].count)
            if order is None:
                self._copy(index, local, target[first:last])
            else:
                self._scatter(index, local, target, order[first:last])

    def _copy_run(self, rows: range, target: np.ndarray) -> None:
        row = rows.start
        while row < rows.stop:
            index = int(np.searchsorted(self._ends, row, side="right"))
            start = int(self._ends[index]) - self._shards[index].count
            stop = min(rows.stop, int(self._ends[index]))
            local = range(row - start, stop - start)
            self._copy(index, local, target[row - rows.start : stop - rows.start])
            row = stop

    def _scatter(
        self, index: int, rows: np.ndarray, target: np.ndarray, places: np.ndarray
    ) -> None:
        """Copies to scattered rows of the target, through a buffer that stays in the cache."""
        step = max(1, BUFFER_BYTES * len(target) // max(1, target.nbytes))
        for start in range(0, len(rows), step):
            piece = slice(start, start + step)
            part = np.empty((len(rows[piece]), *target.shape[1:]), target.dtype)
            self._copy(index, rows[piece], part)
            target[places[piece]] = part

    def _copy(self, index: int, rows: np.ndarray | range, target: np.ndarray) -> None:
        array, mapping = self._map(index)
        copy_rows(array, rows, target, self._release(mapping))

    def _release(self, mapping: mmap.mmap) -> Callable[[], None]:
        """Returns what gives a mapping's pages back to the system, where there are many."""
        if self.nbytes <= KEPT_MAPPED or not hasattr(mmap, "MADV_DONTNEED"):
            return lambda: None
        return lambda: mapping.madvise(mmap.MADV_DONTNEED)

    def _map(self, index: int) -> tuple[np.ndarray, mmap.mmap]:
        with self._lock:
            if index in self._mapped:
                self._mapped.move_to_end(index)
                return self._mapped[index]
            shard = self._shards[index]
            try:
                found = map_shard(shard, self.shape[1:], self.dtype)
            except (FormatError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                sentence = f"{shard.path} can't be read as a shard: {reason}; {ADVICE}."
                raise CommandError(sentence) from error
            self._mapped[index] = found
            if len(self._mapped) > MAX_OPEN:
                self._mapped.popitem(last=False)
            return found


def map_shard(
    shard: Shard, shape: tuple[int, ...], dtype: np.dtype
) -> tuple[np.ndarray, mmap.mmap]:
    """Maps a shard; returns its rows, read-only, and the mapping.

    Raises
    ------
    FormatError, OSError
        Where it is missing, or smaller than it was.
    """
    with open_regular(shard.path) as file:
        try:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            array = np.ndarray((shard.count, *shape), dtype, buffer=mapping, offset=shard.start)
        except (TypeError, ValueError) as error:  # a buffer that is too small; an empty file
            raise FormatError("it has become smaller") from error
    array.flags.writeable = False
    return array, mapping


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading, if it is one: a pipe would keep its reader waiting for ever.

    Raises
    ------
    NoFileError, OSError
        Where it is none, or can't be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoFileError("it is no file")
    return os.fdopen(descriptor, "rb")
