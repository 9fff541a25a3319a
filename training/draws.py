"""An epoch's randomness, from its number, the seed and the batch alone.

No generator's state has to be kept: a training that is taken up in the middle of an epoch draws
what it would have drawn.
"""

from __future__ import annotations

import numpy as np
import torch

ORDER, CROPS, NETWORK = range(3)


class Draws:
    """The seeds of one epoch.

    Parameters
    ----------
    seed, epoch : int
        The run's seed, and the epoch, from 1.
    num_batches : int
        Batches of the epoch.
    rank : int
        Of this process among those that train together; dropout differs by rank, nothing else.
    """

    def __init__(self, seed: int, epoch: int, num_batches: int, rank: int = 0) -> None:
        self._key = [seed, epoch]
        self._crops = self._seeds(CROPS, num_batches)
        self._network = self._seeds(NETWORK, num_batches, rank)

    def order(self) -> np.random.Generator:
        """Returns the generator of the order of the instances."""
        return np.random.default_rng(np.random.SeedSequence([*self._key, ORDER]))

    def seed_batch(self, batch: int, crops: torch.Generator) -> None:
        """Seeds a batch's crops, and PyTorch's own generator for what the network draws."""
        crops.manual_seed(int(self._crops[batch]))
        seed = int(self._network[batch])
        torch.default_generator.manual_seed(seed)
        if crops.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _seeds(self, kind: int, count: int, rank: int = 0) -> np.ndarray:
        return np.random.SeedSequence([*self._key, kind, rank]).generate_state(count, np.uint64)
