"""When to stop because validation gains nothing any more."""

from __future__ import annotations

from common.errors import CommandError


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

    def after_epoch(self, gained: bool) -> bool:
        """Returns whether to stop after an epoch that `gained`, or did not."""
        self.state["epochs_since_gain"] = 0 if gained else self.state["epochs_since_gain"] + 1
        return 0 < self._patience <= self.state["epochs_since_gain"]
