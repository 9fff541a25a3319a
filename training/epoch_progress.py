"""What an unfinished epoch has come to."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from training.clock import Clock
from training.distributed import Group


@dataclass
class EpochProgress:
    """Sums over the batches of an epoch, which a snapshot in its middle keeps.

    Parameters
    ----------
    loss : float
        Of all inputs so far, over all processes.
    seconds, waiting, copying : float
        Of training; of these, waiting for instances, and copying them to the device.
    """

    loss: float = 0.0
    seconds: float = 0.0
    waiting: float = 0.0
    copying: float = 0.0

    def begin(self, clock: Clock, device: torch.device) -> None:
        """Begins to count, or goes on."""
        self._clock = clock
        self._losses = torch.zeros((), dtype=torch.float64, device=device)
        self._start = time.monotonic()
        clock.reset()

    def add(self, loss: Tensor) -> None:
        """Adds the losses of this process's part of a batch."""
        self._losses += loss

    def is_finite(self) -> bool:
        """Whether no loss so far was NaN or infinite; makes a GPU wait."""
        return bool(torch.isfinite(self._losses))

    def settle(self, group: Group) -> None:
        """Brings the sums up to date, on all processes of a group at once."""
        self._add(group.sum(self._losses).item())

    def settle_alone(self, size: int) -> None:
        """Brings the sums up to date as if all of `size` processes had this one's losses."""
        self._add(self._losses.item() * size)

    def _add(self, loss: float) -> None:
        self.loss += loss
        self._losses.zero_()
        self.waiting += self._clock.waiting
        self.copying += self._clock.copying
        self._clock.reset()
        now = time.monotonic()
        self.seconds, self._start = self.seconds + now - self._start, now

    def to_plain(self) -> dict[str, float]:
        """Returns the sums by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
