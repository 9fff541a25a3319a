"""Instances on their way from a subset's file into memory on the device that computes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.dataset import Subset

BLOCK_BYTES = 4 * 2**20  # what a thread reads at once: it stays in the processor's cache
PINNED_BYTES = 64 * 2**20  # what is copied to a GPU at once
READERS_FOR_GPU = 4  # threads: one alone reads slower than a GPU's bus carries


def transfer_to(device: torch.device, subset: Subset) -> Transfer:
    """Returns what brings a subset's instances to a device; its `close` is to be called."""
    return GpuTransfer(subset, device) if device.type == "cuda" else Transfer(subset)


class Transfer:
    """Reads instances into memory on the CPU.

    Attributes
    ----------
    seconds : float
        What copies to the device took so far; 0 on the CPU.
    """

    def __init__(self, subset: Subset) -> None:
        stored = subset.instances
        self._subset = subset
        self._shape, self._dtype = stored.shape[1:], stored.dtype.newbyteorder("=")
        self._row_bytes = max(1, math.prod(self._shape) * self._dtype.itemsize)
        self.seconds = 0.0
        self._stopping = threading.Event()
        self._map: Callable[..., Iterable[None]] = map

    def empty(self, count: int) -> Tensor:
        """Returns memory on the device for `count` instances as they are stored."""
        return torch.from_numpy(np.empty((count, *self._shape), self._dtype))

    def mark(self) -> Any:
        """Returns a mark after everything that the device was given to do so far."""
        return None

    def fill(self, target: Tensor, positions: np.ndarray, after: Any) -> Any:
        """Puts the instances at `positions` into `target`, once the device has come to `after`.

        Only one thread may be in it at a time, and it may be another than that of other methods.

        Returns
        -------
        Any
            What `wait` takes.
        """
        self._read(positions, target.numpy())
        return None

    def wait(self, filled: Any) -> None:
        """Has the device wait, before what it is given from now on, until a target is filled."""

    def stop(self) -> None:
        """Has a `fill` in another thread end soon, with its target unfinished."""
        self._stopping.set()

    def close(self) -> None:
        """Gives everything back, when no `fill` is at work any more."""

    def _read(self, positions: np.ndarray, target: np.ndarray) -> None:
        step = max(1, BLOCK_BYTES // self._row_bytes)

        def read(start: int) -> None:
            if not self._stopping.is_set():
                block = slice(start, start + step)
                target[block] = self._subset.read(positions[block])

        for _ in self._map(read, range(0, len(positions), step)):
            pass


class GpuTransfer(Transfer):
    """Copies instances to a GPU through two buffers of pinned memory, on a stream of its own."""

    def __init__(self, subset: Subset, device: torch.device) -> None:
        super().__init__(subset)
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._readers = ThreadPoolExecutor(READERS_FOR_GPU, thread_name_prefix="rows")
        self._map = self._readers.map
        self._torch_dtype = torch.from_numpy(np.empty(0, self._dtype)).dtype
        shape = (max(1, PINNED_BYTES // self._row_bytes), *self._shape)
        with torch.cuda.device(device):
            self._pinned = [
                torch.empty(shape, dtype=self._torch_dtype, pin_memory=True) for _ in range(2)
            ]
        self._copies: list[tuple[torch.cuda.Event, torch.cuda.Event] | None] = [None, None]

    def empty(self, count: int) -> Tensor:
        """See `Transfer`."""
        shape = (count, *self._shape)
        with torch.inference_mode(False):  # else another thread could not write to it
            return torch.empty(shape, dtype=self._torch_dtype, device=self._device)

    def mark(self) -> torch.cuda.Event:
        """See `Transfer`."""
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self._device))
        return event

    def fill(self, target: Tensor, positions: np.ndarray, after: Any) -> torch.cuda.Event:
        """See `Transfer`."""
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            self._stream.wait_event(after)
            rows = len(self._pinned[0])
            for number, start in enumerate(range(0, len(positions), rows)):
                part = positions[start : start + rows]
                self._copy(number % 2, part, target[start : start + len(part)])
            return self._stream.record_event()

    def wait(self, filled: torch.cuda.Event) -> None:
        """See `Transfer`."""
        torch.cuda.current_stream(self._device).wait_event(filled)

    def close(self) -> None:
        """See `Transfer`."""
        self._readers.shutdown()
        self._stream.synchronize()
        for which in range(2):
            self._finish(which)

    def _copy(self, which: int, positions: np.ndarray, target: Tensor) -> None:
        self._finish(which)
        pinned = self._pinned[which][: len(positions)]
        self._read(positions, pinned.numpy())
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record(self._stream)
        target.copy_(pinned, non_blocking=True)
        ended.record(self._stream)
        self._copies[which] = begun, ended

    def _finish(self, which: int) -> None:
        """Waits until a pinned buffer is free."""
        copy = self._copies[which]
        if copy:
            begun, ended = copy
            ended.synchronize()
            self.seconds += begun.elapsed_time(ended) / 1000
            self._copies[which] = None
