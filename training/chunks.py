"""Instances on their way to the device: chunk by chunk, the next read while this one is used."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets.dataset import Subset


class RawBatch(NamedTuple):
    """Instances as stored, on the device, and their labels (int64)."""

    instances: Tensor
    labels: Tensor
    chunk: int
    first_of_chunk: bool


class ChunkStream:
    """Batches of a subset in a given order, whatever part of it fits on the device.

    The order decides what is in a batch; the chunk size decides only how much is on the device at
    once. A stream of one chunk stays on the device from epoch to epoch.

    Parameters
    ----------
    subset : the instances and labels.
    chunk_size : instances copied to the device at once (two chunks are held); 0 = all.
    device : where batches are wanted.
    """

    def __init__(self, subset: Subset, chunk_size: int, device: torch.device) -> None:
        self._subset = subset
        self._device = device
        self._chunk_size = chunk_size or len(subset)
        self._resident: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self._subset)

    def batches(self, order: np.ndarray, batch_size: int) -> Iterator[RawBatch]:
        """Yields the instances at the positions `order` (int64), `batch_size` at a time.

        The last batch of a chunk may be smaller; no instance is left out.
        """
        if self._chunk_size >= len(self._subset):
            yield from _batches(*self._whole(), torch.from_numpy(order), batch_size, 0)
            return
        starts = range(0, len(order), self._chunk_size)
        with ThreadPoolExecutor(1, thread_name_prefix="chunk") as reader:
            ahead = reader.submit(self._read, order[: self._chunk_size])
            for index, start in enumerate(starts):
                chunk = ahead.result()
                following = order[start + self._chunk_size :][: self._chunk_size]
                if len(following):
                    ahead = reader.submit(self._read, following)
                yield from _batches(*chunk, batch_size, index)

    def _whole(self) -> tuple[Tensor, Tensor]:
        if self._resident is None:
            instances = _view(self._subset.whole()).to(self._device)
            labels = torch.from_numpy(self._subset.labels.astype(np.int64)).to(self._device)
            self._resident = instances, labels
        return self._resident

    def _read(self, positions: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Reads a chunk in the file's order and says where its instances went."""
        ascending = np.sort(positions)
        instances = torch.from_numpy(self._subset.read(ascending))
        labels = torch.from_numpy(self._subset.labels[ascending].astype(np.int64))
        places = torch.from_numpy(np.searchsorted(ascending, positions))
        if self._device.type == "cuda":
            instances, labels = instances.pin_memory(), labels.pin_memory()
        return (
            instances.to(self._device, non_blocking=True),
            labels.to(self._device, non_blocking=True),
            places,
        )


def _batches(
    instances: Tensor, labels: Tensor, order: Tensor, batch_size: int, chunk: int
) -> Iterator[RawBatch]:
    order = order.to(instances.device)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        yield RawBatch(
            instances.index_select(0, rows), labels.index_select(0, rows), chunk, start == 0
        )


def _view(array: np.ndarray) -> Tensor:
    """Returns a tensor over an array, which may be read-only, without copying it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
