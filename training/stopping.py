"""Why a training stops before its last epoch, and when validation gains nothing any more."""

from __future__ import annotations

from typing import NamedTuple

from common.errors import CommandError


class Stop(NamedTuple):
    """An end before the last epoch: how results.json calls it, and what has led to it."""

    stopped: str
    reason: str


class EarlyStopping:
    """Stops after `patience` epochs in a row without a gain in validation accuracy; 0 = never.

    It counts by itself, whatever the rate policy does meanwhile; `state` is what a snapshot keeps.
    Raises CommandError where the patience is negative.
    """

    def __init__(self, patience: int) -> None:
        if patience < 0:
            raise CommandError(f"--early-stopping is {patience}; give at least 0.")
        self.state: dict[str, float] = {"epochs_since_gain": 0}
        self._patience = patience

    def after_epoch(self, gained: bool) -> Stop | None:
        """Returns why to stop after an epoch that `gained`, or did not; None = go on."""
        self.state["epochs_since_gain"] = 0 if gained else self.state["epochs_since_gain"] + 1
        count = self.state["epochs_since_gain"]
        if not 0 < self._patience <= count:
            return None
        epochs = "1 epoch" if count == 1 else f"{count} epochs"
        return Stop("stopped early", f"{epochs} without a gain in validation accuracy")
