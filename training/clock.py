"""How long a training waits for its instances."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Seconds since `reset`; `ChunkStream` adds to them in the thread that takes its batches.

    Attributes
    ----------
    waiting : float
        Of that thread, while it could not go on without instances.
    copying : float
        Of copies from the host's memory to a GPU's, measured there, mostly beside the training; 0
        on the CPU, where a batch is taken from where it was read to.
    """

    waiting: float = 0.0
    copying: float = 0.0

    def reset(self) -> None:
        """Sets both back to 0."""
        self.waiting = self.copying = 0.0
