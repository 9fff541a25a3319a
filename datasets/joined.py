"""Several arrays of instances that read like one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.dataset import Subset
from datasets.row_array import RowArray


class JoinedArray(RowArray):
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
        super().__init__((int(self._ends[-1]), *first.shape[1:]), first.dtype)

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
