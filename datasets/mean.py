"""The mean and the spread of a subset's instances."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from datasets.dataset import Subset


class Moments(NamedTuple):
    """Of every stored value over the instances, float64."""

    mean: np.ndarray
    variance: np.ndarray  # divided by the number of instances


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


class SquareSum(MeanSum):
    """Sums up small integers (of one or two bytes) and their squares, exactly."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        super().__init__(shape, dtype)
        self._squares = np.zeros(shape, np.int64)
        self._square_dtype = np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")

    def add(self, block: np.ndarray) -> None:
        """Adds instances of shape (n, *shape)."""
        super().add(block)
        self._squares += np.square(block, dtype=self._square_dtype).sum(axis=0, dtype=np.int64)

    @property
    def variance(self) -> np.ndarray:
        """The variance of what was added, float64."""
        near = np.rint(self.mean).astype(np.int64)  # about it, nothing is cancelled out
        offsets = self._total - self._count * near
        squares = self._squares - 2 * near * self._total + self._count * near**2
        return squares / self._count - (offsets / self._count) ** 2


class DeviationSum(MeanSum):
    """Sums up values and, in float64, their squared deviations; 0 where a value never changes.

    Merges blocks after Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm
    for computing sample variances".
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        super().__init__(shape, dtype)
        self._origin: np.ndarray | None = None
        self._center, self._squares = np.zeros((2, *shape))

    def add(self, block: np.ndarray) -> None:
        """Adds instances of shape (n, *shape)."""
        if self._origin is None:
            self._origin = block[0].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            values = block - self._origin
            center = values.mean(axis=0)
            apart, part = center - self._center, len(block) / (self._count + len(block))
            self._center += apart * part
            self._squares += np.square(values - center).sum(axis=0)
            self._squares += np.square(apart) * (self._count * part)
        super().add(block)

    @property
    def variance(self) -> np.ndarray:
        """The variance of what was added, float64."""
        return self._squares / self._count


def subset_mean(subset: Subset) -> np.ndarray:
    """Returns the mean of every stored value over the instances, float64; reads them once."""
    total = MeanSum(subset.instances.shape[1:], subset.instances.dtype)
    for block in subset.blocks():
        total.add(block)
    return total.mean


def subset_moments(subset: Subset) -> Moments:
    """Returns mean and variance of every stored value over the instances; reads them once."""
    shape, dtype = subset.instances.shape[1:], subset.instances.dtype
    is_small = dtype.kind in "ui" and dtype.itemsize <= 2
    total = SquareSum(shape, dtype) if is_small else DeviationSum(shape, dtype)
    for block in subset.blocks():
        total.add(block)
    return Moments(total.mean, total.variance)
