"""A dataset in use: its subsets, mostly mapped from a file, its labels and what its values mean."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from common.errors import CommandError, first_names, unknown_name

if TYPE_CHECKING:
    from datasets.row_array import RowArray

Instances: TypeAlias = "np.ndarray | RowArray"
Layout = Literal["flat", "nhwc", "nchw"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
SUBSETS = ("training", "validation", "testing")
BLOCK_BYTES = 16 * 2**20  # how much is copied or computed on at once where instances are streamed
TOUCHED_BYTES = 64 * 2**20  # how much of a file scattered rows may keep mapped at once
GATHERED_BYTES = 2**20  # of scattered rows that are put in order at once: a cache holds them
LARGEST_PAGE = 2 * 2**20
KEPT_MAPPED = 64 * 2**20  # a mapping up to this many bytes stays in the process once it was read


@dataclass(frozen=True, eq=False)
class Subset:
    """Instances and their labels.

    Parameters
    ----------
    instances : np.ndarray or RowArray of shape (rows, ...)
        As they are stored, usually mapped from a file, or from many, and read-only.
    labels : np.ndarray of shape (n,), int32
        The label's index of every instance in use.
    rows : np.ndarray of shape (n,), optional
        The rows of `instances` in use, in order; None means all of them.
    recordings : np.ndarray of shape (n,), int32, optional
        The number of the recording that every instance is a patch of.
    """

    instances: Instances
    labels: np.ndarray
    rows: np.ndarray | None = None
    recordings: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def unit(self) -> str:
        """What its instances are, for a person: images or patches."""
        return "images" if self.recordings is None else "patches"

    def read(self, positions: slice | np.ndarray) -> np.ndarray:
        """Copies the instances at `positions` (0 to n - 1) out of the file.

        The pages of a large mapping are given back to the system after every few megabytes, so a
        file that is larger than memory can be read without ever filling the process.

        Returns
        -------
        np.ndarray of shape (len(positions), ...)
            Contiguous, aligned, in the machine's byte order, and the caller's own.

        Raises
        ------
        IndexError
            Where a position is beyond the subset.
        """
        rows = self._rows_at(positions)
        dtype = self.instances.dtype.newbyteorder("=")
        result = np.empty((len(rows), *self.instances.shape[1:]), dtype)
        if isinstance(self.instances, np.ndarray):
            copy_rows(self.instances, rows, result, partial(_release, self.instances))
        else:
            self.instances.copy_rows(rows, result)
        return result

    def whole(self) -> np.ndarray:
        """Returns all instances in order: the mapping itself where it can be used as it is."""
        stored = self.instances
        if self.rows is None and isinstance(stored, np.ndarray) and _usable(stored):
            return stored
        return self.read(slice(None))

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields all instances in order, a copy of some megabytes at a time."""
        step = rows_per_block(self.instances)
        for start in range(0, len(self), step):
            yield self.read(slice(start, start + step))

    def _rows_at(self, positions: slice | np.ndarray) -> np.ndarray | range:
        if self.rows is not None:
            return self.rows[positions]
        return row_numbers(positions, len(self))


@dataclass(frozen=True, eq=False)
class Dataset:
    """The subsets of one file, or of one folder of shards.

    Parameters
    ----------
    path : Path
        The file or folder that it was opened from.
    subsets : dict of str to Subset
        'training', and usually 'validation' and 'testing'; instances of one shape and type.
    label_to_index : dict of str to int
        The index, 0 to the number of labels - 1, of every label's name.
    layout : 'flat', 'nhwc' or 'nchw'
        The order of the axes of the stored instances.
    scale : float
        The stored value that stands for 1.0: 255 for usual pictures, 1 for float files.
    picture_shape : tuple of (height, width, channels), optional
        In pixels; also known for flat data that was made of pictures.
    created_by : mapping
        The command that wrote the file and its options, where the file says so.
    mean : np.ndarray of the shape of a stored instance, float64, optional
        The mean of the training subset, where it is stored beside it.
    """

    path: Path
    subsets: dict[str, Subset]
    label_to_index: dict[str, int]
    layout: Layout
    scale: float
    picture_shape: tuple[int, int, int] | None
    created_by: Mapping[str, Any] = field(default_factory=dict)
    mean: np.ndarray | None = None

    @property
    def label_names(self) -> list[str]:
        """The names of the labels, by index."""
        return sorted(self.label_to_index, key=self.label_to_index.__getitem__)

    @property
    def instance_shape(self) -> tuple[int, ...]:
        """The shape of one instance as a network sees it.

        (channels, height, width), or (features,) for flat data.
        """
        shape = next(iter(self.subsets.values())).instances.shape[1:]
        if self.layout == "nhwc":
            height, width, channels = shape
            return channels, height, width
        return shape

    @property
    def num_bytes(self) -> int:
        """The size of the file, or of all files of the folder."""
        if self.path.is_dir():
            return sum(entry.stat().st_size for entry in self.path.iterdir())
        return self.path.stat().st_size

    def subset(self, name: str) -> Subset:
        """Returns the subset `name`.

        Raises
        ------
        CommandError
            Where the dataset has no such subset; names those that it has.
        """
        if name in SUBSETS and name not in self.subsets:
            raise CommandError(
                f"{self.path} has no {name} subset, only {', '.join(self.subsets)}; make a dataset "
                "that has one, as with create_datasets --split 0.8,0.1,0.1."
            )
        if name not in self.subsets:
            raise CommandError(f"{self.path}: {unknown_name('subset', name, self.subsets)}")
        return self.subsets[name]

    def keep_labels(self, names: Sequence[str]) -> Dataset:
        """Returns the dataset with the labels `names` only, renumbered in sorted order from 0.

        No instance is copied.

        Raises
        ------
        CommandError
            Where a label is unknown, fewer than two are given, or none of them has training
            instances.
        """
        for name in names:
            if name not in self.label_to_index:
                sentence = unknown_name("label", name, self.label_to_index)
                raise CommandError(f"{self.path}: {sentence}")
        if len(set(names)) < 2:
            raise CommandError(
                f"{self.path}: a network tells at least two labels apart, but the labels to keep "
                f"are {', '.join(names) or 'none'}. Valid: {first_names(self.label_names, 50)}."
            )
        kept = self.with_labels(sorted(set(names)))
        if not len(kept.subsets["training"]):
            raise CommandError(
                f"{self.path}: no training instance has one of the labels to keep "
                f"({', '.join(names)}). Valid: {first_names(self.label_names, 50)}."
            )
        return kept

    def with_labels(self, names: Sequence[str]) -> Dataset:
        """Returns the dataset with the labels `names`, numbered in this order, and no others.

        Instances of other labels are left out; a label that is new has none. Nothing is copied.
        """
        label_to_index = {name: index for index, name in enumerate(names)}
        new_index = np.full(len(self.label_to_index), -1, np.int32)
        for name, index in self.label_to_index.items():
            new_index[index] = label_to_index.get(name, -1)
        subsets = {name: _renumber(subset, new_index) for name, subset in self.subsets.items()}
        return replace(self, subsets=subsets, label_to_index=label_to_index, mean=None)


def rows_per_block(instances: Instances) -> int:
    """Returns how many rows of `instances` make a block of some megabytes; at least 1."""
    row_bytes = math.prod(instances.shape[1:]) * instances.dtype.itemsize
    return max(1, BLOCK_BYTES // max(1, row_bytes))


def row_numbers(positions: slice | np.ndarray, count: int) -> np.ndarray | range:
    """Returns the rows, 0 to `count` - 1, that the index `positions` takes of `count` rows.

    Raises
    ------
    IndexError
        Where a position is beyond them.
    """
    if isinstance(positions, slice):
        return range(count)[positions]
    if positions.dtype.kind not in "iu":
        return np.arange(count)[positions]
    rows = positions.astype(np.int64, copy=False)
    if not len(rows):
        return rows
    low, high = int(rows.min()), int(rows.max())
    if low < -count or high >= count:
        raise IndexError(f"rows {low} to {high} of an array of {count} rows")
    return rows if low >= 0 else np.where(rows < 0, rows + count, rows)


def copy_rows(
    source: np.ndarray,
    rows: np.ndarray | range,
    target: np.ndarray,
    release: Callable[[], None],
) -> None:
    """Copies rows of an array, calling `release` whenever some megabytes of it were touched."""
    step = _rows_until_release(source, rows)
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        _copy_rows(source, rows[block], target[block])
        release()


def _rows_until_release(instances: np.ndarray, rows: np.ndarray | range) -> int:
    """Returns how many of the `rows` may be read before the pages that they touch are released.

    The system may map a large page of the file's cache for every scattered row, however small.
    """
    step = rows_per_block(instances)
    at_least = TOUCHED_BYTES // LARGEST_PAGE
    if isinstance(rows, range) or len(rows) <= at_least:
        return step
    row_bytes = max(1, _extent(instances) // len(instances))
    span = (int(rows.max()) - int(rows.min()) + 1) * row_bytes
    within_span = len(rows) * TOUCHED_BYTES // span
    return min(step, max(at_least, within_span))


def _renumber(subset: Subset, new_index: np.ndarray) -> Subset:
    labels = new_index[subset.labels]
    positions = np.flatnonzero(labels >= 0)
    rows = positions if subset.rows is None else subset.rows[positions]
    recordings = None if subset.recordings is None else subset.recordings[positions]
    return Subset(subset.instances, labels[positions], rows, recordings)


def _copy_rows(source: np.ndarray, rows: np.ndarray | range, target: np.ndarray) -> None:
    if isinstance(rows, range) and rows.step == 1:
        target[:] = source[rows.start : rows.stop]
    elif _usable(source):
        # In the mode 'raise' take would fill a copy of the target first.
        np.take(source, np.asarray(rows), axis=0, out=target, mode="clip")
    else:
        rows = np.asarray(rows)
        step = max(1, GATHERED_BYTES * len(target) // max(1, target.nbytes))
        for start in range(0, len(rows), step):
            target[start : start + step] = source[rows[start : start + step]]


def _usable(array: np.ndarray) -> bool:
    return array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative


def _extent(array: np.ndarray) -> int:
    """Returns how many bytes of memory an array lies in; overlapping rows count once."""
    low, high = np.lib.array_utils.byte_bounds(array)
    return high - low


def _release(array: np.ndarray) -> None:
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is None or _extent(array) <= KEPT_MAPPED or not hasattr(mmap, "MADV_DONTNEED"):
        return
    origin = np.frombuffer(base, np.uint8).__array_interface__["data"][0]
    low, high = np.lib.array_utils.byte_bounds(array)
    start = (low - origin) // mmap.PAGESIZE * mmap.PAGESIZE
    base.madvise(mmap.MADV_DONTNEED, start, high - origin - start)
