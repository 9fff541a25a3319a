"""The mean of a subset's instances."""

from __future__ import annotations

import numpy as np

from datasets.dataset import Subset


class MeanSum:
    """Sums instances up, block by block; exact for integers.

    Parameters
    ----------
    shape : tuple of int
        Of an instance.
    dtype : np.dtype
        Of its values.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._total = np.zeros(shape, np.int64 if dtype.kind in "ui" else np.float64)
        self._count = 0

    def add(self, block: np.ndarray) -> None:
        """Adds instances of shape (n, *shape)."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._total += block.sum(axis=0, dtype=self._total.dtype)
        self._count += len(block)

    @property
    def mean(self) -> np.ndarray:
        """The mean of what was added, float64."""
        return self._total / self._count


def subset_mean(subset: Subset) -> np.ndarray:
    """Returns the mean of every stored value over the instances, float64; reads them once."""
    total = MeanSum(subset.instances.shape[1:], subset.instances.dtype)
    for block in subset.blocks():
        total.add(block)
    return total.mean
