"""What saves or ends a training between two batches: signals, and minutes that are over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from training.stop_signals import StopSignals

GO_ON, SAVE, OUT_OF_TIME, INTERRUPTED, DIVERGED = range(5)
REASONS = {OUT_OF_TIME: "out of time", INTERRUPTED: "interrupted"}


class Watch(Protocol):
    """What may save or stop a training between two batches."""

    def look(self) -> int:
        """Returns GO_ON, SAVE, OUT_OF_TIME or INTERRUPTED."""

    def is_interrupted(self) -> bool:
        """Returns whether to stop, also between batches of a validation."""

    def save(self) -> None:
        """Is called after SAVE, on every process."""


class RunWatch:
    """Looks at the clock and at the signals.

    Parameters
    ----------
    signals : StopSignals
        What was received.
    max_minutes, snapshot_minutes : float
        See `Experiment`; 0 = never.
    save : callable
        Writes a snapshot.
    """

    def __init__(
        self,
        signals: StopSignals,
        max_minutes: float,
        snapshot_minutes: float,
        save: Callable[[], object],
    ) -> None:
        self._signals = signals
        self._end = time.monotonic() + 60 * max_minutes if max_minutes else float("inf")
        self._between = 60 * snapshot_minutes if snapshot_minutes else float("inf")
        self._next = time.monotonic() + self._between
        self._save = save

    def look(self) -> int:
        """Returns what the training is to do next."""
        now = time.monotonic()
        if self.is_interrupted():
            return INTERRUPTED
        if now >= self._end:
            return OUT_OF_TIME
        return SAVE if now >= self._next else GO_ON

    def is_interrupted(self) -> bool:
        """Returns whether a signal was received."""
        return self._signals.received is not None

    def save(self) -> None:
        """Writes a snapshot; the next is due so many minutes from now."""
        self._save()
        self._next = time.monotonic() + self._between
