"""Instances on their way to the device: chunk by chunk, the next read while this one is used."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets.dataset import Subset
from training.clock import Clock
from training.order import chunk_instances
from training.transfer import Transfer, transfer_to

Taken = tuple[Tensor, Tensor, Tensor | None]  # instances, labels, and the patches' recordings


@dataclass(frozen=True)
class RawBatch:
    """The part of a batch that is this process's; it may be empty: all processes count alike."""

    instances: Tensor  # as stored, on the device; not to be written to: it may be the file itself
    labels: Tensor  # int64, on the device
    recordings: Tensor | None  # int64, on the device: of which each is a patch
    rows: slice  # which part of the whole batch it is
    size: int  # of the whole batch
    index: int  # of the batch in the epoch
    chunk: int
    first_of_chunk: bool


def whole(count: int) -> slice:
    """Returns the part of a batch of `count` instances that a process alone has: all of it."""
    return slice(0, count)


class ChunkStream:
    """Batches of a subset in a given order, whatever part of it fits on the device.

    The order and the batch size decide what is in a batch; the chunk size decides only how much is
    on the device at once. A subset of one chunk stays on the device from epoch to epoch; on the CPU
    that is its file, mapped, and no copy. Of more chunks two are held: threads read and copy the
    next one while this one is used.

    Parameters
    ----------
    subset : Subset
        The instances and labels.
    chunk_size : int
        Instances on the device at once, over all processes; 0 = all. See `chunk_instances`.
    device : torch.device
        Where batches are wanted.
    group_rows : callable
        Returns which part of a batch of n instances is this process's; only that is read.
    clock : Clock, optional
        Counts the seconds spent waiting and copying.
    """

    def __init__(
        self,
        subset: Subset,
        chunk_size: int,
        device: torch.device,
        group_rows: Callable[[int], slice] = whole,
        clock: Clock | None = None,
    ) -> None:
        self._subset = subset
        self._chunk_size = chunk_size
        self._device = device
        self._group_rows = group_rows
        self._clock = clock or Clock()
        self._resident: Tensor | None = None

    def __len__(self) -> int:
        return len(self._subset)

    @property
    def unit(self) -> str:
        """What the instances are, for a person."""
        return self._subset.unit

    def batches(self, order: np.ndarray, batch_size: int, first: int = 0) -> Iterator[RawBatch]:
        """Yields the instances at the positions `order` (int64), `batch_size` at a time.

        The last batch may be smaller; no instance is left out. However the iteration ends, no
        thread is left behind.

        Parameters
        ----------
        batch_size : int
            Instances of a batch, over all processes.
        first : int
            The batch to begin with; nothing before it is read.

        Raises
        ------
        CommandError, IndexError, OSError
            Where instances can't be read, once they are due.
        """
        count = -(-len(order) // batch_size)
        per_chunk = -(-chunk_instances(self._chunk_size, batch_size, len(self)) // batch_size)
        sizes = [min(batch_size, len(order) - i * batch_size) for i in range(count)]
        rows = [self._group_rows(size) for size in sizes]
        starts = range(first - first % per_chunk, count, per_chunk)
        groups = [range(max(first, i), min(i + per_chunk, count)) for i in starts]
        groups = [group for group in groups if group]
        positions = [
            np.concatenate([order[i * batch_size :][rows[i]] for i in group]) for group in groups
        ]
        with closing(self._chunks(positions)) as chunks:
            for group, chunk in zip(groups, chunks, strict=True):
                done = 0
                for i in group:
                    part = slice(done, done + rows[i].stop - rows[i].start)
                    place = i // per_chunk, i % per_chunk == 0
                    yield RawBatch(*chunk.take(part), rows[i], sizes[i], i, *place)
                    done = part.stop

    def _chunks(self, positions: list[np.ndarray]) -> Generator[_Chunk | _StoredChunk]:
        """Yields the instances at each of `positions`, for use until the next."""
        if not positions:
            return
        if self._chunk_size and self._chunk_size < len(self):
            yield from self._read_ahead(positions)
        elif self._device.type == "cpu":
            yield _StoredChunk.of(self._subset, positions[0])
        else:
            instances, places = self._resident_instances()
            yield self._chunk(instances, places[positions[0]], positions[0])

    def _read_ahead(self, positions: list[np.ndarray]) -> Generator[_Chunk]:
        transfer = transfer_to(self._device, self._subset)
        with closing(transfer), ThreadPoolExecutor(1, thread_name_prefix="chunk") as thread:
            capacity = max(map(len, positions))
            buffers = [transfer.empty(capacity) for _ in range(2)]

            def start(number: int) -> Future[tuple[Tensor, np.ndarray, Any]]:
                # All that uses the buffer's last chunk was given to the device before the mark.
                buffer, mark = buffers[number % 2], transfer.mark()
                return thread.submit(_read_chunk, transfer, buffer, positions[number], mark)

            try:
                began = time.perf_counter()
                ahead = start(0)
                for number, wanted in enumerate(positions):
                    instances, places, filled = ahead.result()
                    self._clock.waiting += time.perf_counter() - began
                    transfer.wait(filled)
                    if number + 1 < len(positions):
                        ahead = start(number + 1)
                    yield self._chunk(instances, places, wanted)
                    began = time.perf_counter()
            finally:
                transfer.stop()
        self._clock.copying += transfer.seconds

    def _resident_instances(self) -> tuple[Tensor, np.ndarray]:
        """Returns instances on the device, where they stay, and the place of each of the subset's.

        Where they overlap so much that what they lie in takes less, that is copied, and they are
        cut from it there.
        """
        rows = self._subset.rows
        if rows is not None and (memory := shared_memory(self._subset)) is not None:
            if self._resident is None:
                self._resident = self._copied(memory)
            stored = self._subset.instances
            assert isinstance(stored, np.ndarray)
            strides = [stride // stored.itemsize for stride in stored.strides]
            return self._resident.as_strided(stored.shape, strides), rows
        if self._resident is None:
            self._resident = self._copied(self._subset)
        return self._resident, np.arange(len(self))

    def _copied(self, subset: Subset) -> Tensor:
        began = time.perf_counter()
        with closing(transfer_to(self._device, subset)) as transfer:
            instances = transfer.empty(len(subset))
            transfer.wait(transfer.fill(instances, np.arange(len(subset)), transfer.mark()))
        self._clock.waiting += time.perf_counter() - began
        self._clock.copying += transfer.seconds
        return instances

    def _chunk(self, instances: Tensor, places: np.ndarray, positions: np.ndarray) -> _Chunk:
        subset = self._subset
        numbers = [places, subset.labels[positions]]
        if subset.recordings is not None:
            numbers.append(subset.recordings[positions])
        return _Chunk(instances, *_to_device(np.stack(numbers), self._device))


class _Chunk(NamedTuple):
    """Instances in some order, and which of them are used in turn; all on the device."""

    instances: Tensor
    places: Tensor  # int64, where in `instances` each one that is used stands
    labels: Tensor  # int64, of each one that is used
    recordings: Tensor | None = None  # int64, of each one that is used

    def take(self, part: slice) -> Taken:
        """Returns a copy of the instances, and their labels, of a part of what is used."""
        recordings = None if self.recordings is None else self.recordings[part]
        return self.instances.index_select(0, self.places[part]), self.labels[part], recordings


class _StoredChunk(NamedTuple):
    """Instances that are taken straight from where they are stored, on the CPU."""

    subset: Subset
    mapped: Tensor | None  # `subset.instances`, where a tensor can be
    positions: np.ndarray
    labels: Tensor
    recordings: Tensor | None

    @classmethod
    def of(cls, subset: Subset, positions: np.ndarray) -> _StoredChunk:
        stored = subset.instances
        mapped = _view(stored) if isinstance(stored, np.ndarray) and _usable(stored) else None
        labels = torch.from_numpy(subset.labels[positions].astype(np.int64))
        recordings = None
        if subset.recordings is not None:
            recordings = torch.from_numpy(subset.recordings[positions].astype(np.int64))
        return cls(subset, mapped, positions, labels, recordings)

    def take(self, part: slice) -> Taken:
        """Returns the instances, not copied where they lie together, and their labels."""
        recordings = None if self.recordings is None else self.recordings[part]
        return self._instances(self.positions[part]), self.labels[part], recordings

    def _instances(self, positions: np.ndarray) -> Tensor:
        if self.mapped is None:
            return torch.from_numpy(self.subset.read(positions))
        rows = positions if self.subset.rows is None else self.subset.rows[positions]
        if _is_run(rows):
            return self.mapped[rows[0] : rows[-1] + 1]
        return self.mapped.index_select(0, torch.from_numpy(rows.astype(np.int64)))


def _read_chunk(
    transfer: Transfer, buffer: Tensor, positions: np.ndarray, mark: Any
) -> tuple[Tensor, np.ndarray, Any]:
    """Reads a chunk in the file's order and says where its instances went."""
    ascending = np.sort(positions)
    instances = buffer[: len(positions)]
    filled = transfer.fill(instances, ascending, mark)
    return instances, np.searchsorted(ascending, positions), filled


def shared_memory(subset: Subset) -> Subset | None:
    """Returns what overlapping instances lie in, if it is less than all of them.

    Its rows are as long as the way from an instance to the next one.
    """
    stored = subset.instances
    if not isinstance(stored, np.ndarray) or stored.flags.c_contiguous or not stored.size:
        return None
    low, high = np.lib.array_utils.byte_bounds(stored)
    step = stored.strides[0]
    if high - low >= len(subset) * math.prod(stored.shape[1:]) * stored.itemsize:
        return None
    shape = (high - low) // step, step // stored.itemsize
    rows = np.lib.stride_tricks.as_strided(stored, shape, (step, stored.itemsize), writeable=False)
    return Subset(rows, np.zeros(len(rows), np.int32))


def _to_device(numbers: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(numbers)
    if device.type == "cpu":
        return tensor
    with torch.cuda.device(device):
        return tensor.pin_memory().to(device, non_blocking=True)


def _is_run(rows: np.ndarray) -> bool:
    return len(rows) > 0 and bool(np.all(np.diff(rows) == 1))


def _usable(array: np.ndarray) -> bool:
    return array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative


def _view(array: np.ndarray) -> Tensor:
    """Returns a tensor over an array, which may be read-only, without copying it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
