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

MAX_OPEN = 64  # shards of an array that are open at once; each takes two file descriptors
BUFFER_BYTES = 2**20
READ_BYTES = 2**13  # that lie together: as many are read faster than a mapping's pages are fetched
ADVISED_BYTES = 2**16  # that lie together: of fewer the advice costs more than it gains in memory
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
    """Reads like an array; is never in memory as a whole. Shards are opened as they are needed.

    Rows that lie together are read from the file, small ones that do not are taken from a mapping.

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
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()
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
        shard = self._opened(index)
        runs = _runs(rows)
        together = target.nbytes >= READ_BYTES * len(runs)
        if together and target.dtype == self.dtype and target.flags.c_contiguous:
            try:
                shard.read(runs, target)
            except (FormatError, OSError) as error:
                raise self._unreadable(index, error) from error
        else:
            copy_rows(shard.rows, rows, target, self._release(shard.mapping))

    def _release(self, mapping: mmap.mmap) -> Callable[[], None]:
        """Returns what gives a mapping's pages back to the system, where there are many."""
        if self.nbytes <= KEPT_MAPPED or not hasattr(mmap, "MADV_DONTNEED"):
            return lambda: None
        return lambda: mapping.madvise(mmap.MADV_DONTNEED)

    def _opened(self, index: int) -> _OpenShard:
        with self._lock:
            if index in self._open:
                self._open.move_to_end(index)
                return self._open[index]
            try:
                shard = _OpenShard(self._shards[index], self.shape[1:], self.dtype)
            except (FormatError, OSError) as error:
                raise self._unreadable(index, error) from error
            self._open[index] = shard
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
            return shard

    def _unreadable(self, index: int, error: Exception) -> CommandError:
        reason = error.strerror if isinstance(error, OSError) else error
        path = self._shards[index].path
        return CommandError(f"{path} can't be read as a shard: {reason}; {ADVICE}.")


class _OpenShard:
    """A shard's rows, mapped, and the descriptor that they are read from; closed with the last use.

    Raises FormatError or OSError where the file is missing, or smaller than it was.
    """

    def __init__(self, shard: Shard, shape: tuple[int, ...], dtype: np.dtype) -> None:
        with open_regular(shard.path) as file:
            self.rows, self.mapping = _map(file, shard, shape, dtype)
            self._descriptor = os.dup(file.fileno())
        self._start = shard.start

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def read(self, runs: Sequence[tuple[int, int]], target: np.ndarray) -> None:
        """Reads runs of rows, each from a row to before another, to a contiguous target.

        Raises FormatError or OSError where that is not possible any more.
        """
        left = target.reshape(-1).view(np.uint8).data
        row_bytes = target.nbytes // len(target)
        parts = [tuple(self._start + row * row_bytes for row in run) for run in runs]
        scattered = len(parts) > 1 and target.nbytes >= ADVISED_BYTES * len(parts)
        if scattered and hasattr(os, "posix_fadvise"):
            for at, end in parts:  # the disk has all of them to do at once
                os.posix_fadvise(self._descriptor, at, end - at, os.POSIX_FADV_WILLNEED)
        for at, end in parts:
            while at < end:
                count = os.preadv(self._descriptor, [left[: end - at]], at)
                if not count:
                    raise FormatError("it has become smaller")
                at, left = at + count, left[count:]


def _runs(rows: np.ndarray | range) -> list[tuple[int, int]]:
    """Returns the first row, and that after the last, of each run of consecutive rows."""
    if isinstance(rows, range) and rows.step == 1:
        return [(rows.start, rows.stop)]
    rows = np.asarray(rows)
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    firsts, lasts = rows[np.r_[0, breaks]], rows[np.r_[breaks, len(rows)] - 1]
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))


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
        return _map(file, shard, shape, dtype)


def _map(
    file: BinaryIO, shard: Shard, shape: tuple[int, ...], dtype: np.dtype
) -> tuple[np.ndarray, mmap.mmap]:
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
