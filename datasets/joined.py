"""Several arrays of instances that read like one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from datasets.dataset import Subset, row_numbers


class JoinedArray:
    """The instances of several subsets, one after another; nothing is copied until it is read.

    Parameters
    ----------
    subsets : sequence of Subset
        At least one; of instances of one shape and type.
    """

    def __init__(self, subsets: Sequence[Subset]) -> None:
        self._subsets = list(subsets)
        self._ends = np.cumsum([len(subset) for subset in subsets], dtype=np.int64)
        first = subsets[0].instances
        self.shape: tuple[int, ...] = (int(self._ends[-1]), *first.shape[1:])
        self.dtype: np.dtype = first.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of all values."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Copies a row, a slice of rows, or the rows at integer positions."""
        if isinstance(key, int | np.integer):
            return self[np.array([key])][0]
        rows = row_numbers(key if isinstance(key, slice) else np.asarray(key), len(self))
        result = np.empty((len(rows), *self.shape[1:]), self.dtype.newbyteorder("="))
        self.copy_rows(rows, result)
        return result

    def copy_rows(self, rows: np.ndarray | range, target: np.ndarray) -> None:
        """Copies rows, numbered from 0 and within the array, to `target`, subset by subset."""
        rows = np.asarray(rows)
        which = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(which):
            places = np.flatnonzero(which == number)
            subset = self._subsets[number]
            target[places] = subset.read(rows[places] - (self._ends[number] - len(subset)))


def joined(subsets: Sequence[Subset]) -> Subset:
    """Returns the instances of several subsets, one after another, as one; nothing is copied.

    Parameters
    ----------
    subsets : sequence of Subset
        At least one; of instances of one shape and type, and not patches.
    """
    labels = np.concatenate([subset.labels for subset in subsets])
    return Subset(JoinedArray(subsets), labels)
