"""How the learning rate goes on after an epoch, and when training stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from training.records import EpochRecord

LOWEST_RATE = 1e-10


@dataclass
class Decision:
    """What follows an epoch: the same again, or the best weights at another rate, or the end."""

    rate: float
    restore_best: bool = False
    stop: bool = False


class RatePolicy(Protocol):
    """Decides after each epoch; its `state` is what a snapshot records."""

    state: dict[str, float]

    def after_epoch(self, record: EpochRecord, gained: bool) -> Decision:
        """Decides after an epoch that `gained` over the best validation accuracy, or did not."""


class ConstantRate:
    """Keeps the learning rate."""

    def __init__(self) -> None:
        self.state: dict[str, float] = {}

    def after_epoch(self, record: EpochRecord, gained: bool) -> Decision:
        """Goes on at the same rate."""
        return Decision(record.learning_rate)


class AdaptiveRate:
    """The original's rule: no gain for more than `patience` epochs divides the rate by 10.

    Training then goes on from the best weights; it stops when the rate falls below `LOWEST_RATE`.
    """

    def __init__(self, patience: int = 3) -> None:
        self.state: dict[str, float] = {"epochs_without_gain": 0}
        self._patience = patience

    def after_epoch(self, record: EpochRecord, gained: bool) -> Decision:
        """Counts the epochs without a gain and divides the rate when there were too many."""
        rate = record.learning_rate
        self.state["epochs_without_gain"] = 0 if gained else self.state["epochs_without_gain"] + 1
        if self.state["epochs_without_gain"] <= self._patience:
            return Decision(rate)
        self.state["epochs_without_gain"] = 0
        return Decision(rate / 10, restore_best=True, stop=rate / 10 < LOWEST_RATE)
