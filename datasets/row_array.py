"""Instances that are in no memory as a whole, and are read row by row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from datasets.dataset import row_numbers


class RowArray(ABC):
    """Reads like an array of shape (rows, ...).

    Parameters
    ----------
    shape : tuple of int
    dtype : np.dtype
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape = shape
        self.dtype = dtype

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
        """Copies a row, a slice of rows, or the rows at integer positions or in a mask."""
        if isinstance(key, int | np.integer):
            return self[np.array([key])][0]
        rows = row_numbers(key if isinstance(key, slice) else np.asarray(key), len(self))
        result = np.empty((len(rows), *self.shape[1:]), self.dtype.newbyteorder("="))
        self.copy_rows(rows, result)
        return result

    @abstractmethod
    def copy_rows(self, rows: np.ndarray | range, target: np.ndarray) -> None:
        """Copies rows, numbered from 0 and within the array, to `target`."""
