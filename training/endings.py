"""How a training may end but by its last epoch."""

from __future__ import annotations

from common.errors import CommandError


class Diverged(CommandError):
    """The training loss is no longer a finite number."""

    status = 3


class Stopped(Exception):
    """The training was stopped between two batches; `reason` is what results.json says."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Terminated(CommandError):
    """A signal other than Ctrl-C's asked the training to end; the status is 128 + its number."""
