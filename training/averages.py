"""An exponential moving average of a network's weights, to validate and to keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from common.errors import CommandError

UPDATES = "updates"  # no weight's name: those have a layer's and a dot


class WeightAverage:
    """Follows a network's weights.

    An update makes it ``d * average + (1 - d) * weights``, where d is `decay`, but no more than
    ``(1 + n) / (10 + n)`` after n updates: so the average soon leaves the start weights behind,
    which with a decay of 0.9999 would otherwise weigh in for tens of thousands of batches. All
    floating-point entries of the state dict are averaged, BatchNorm's running statistics too: they
    are close to linear in the weights, so that their average fits the average weights better than
    the last weights' own would.

    Parameters
    ----------
    network : nn.Module
        The network itself, not what wraps it. It may be wrapped or compiled, before or after.
    decay : float
        In (0, 1). Raises CommandError where it is not.

    References
    ----------
    Polyak and Juditsky (1992): Acceleration of stochastic approximation by averaging. The limit is
    that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise CommandError(
                f"--average-weights is {decay}; give more than 0 and less than 1, as in 0.999, or "
                "0 for no average."
            )
        self._decay = decay
        self._updates = 0
        entries = network.state_dict(keep_vars=True)
        self._weights = {  # each once, also those that layers share
            entry: name for name, entry in entries.items() if entry.is_floating_point()
        }
        self._averages = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the weights; to be called after each of their updates."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        torch._foreach_lerp_(self._averages, list(self._weights), 1 - decay)
        self._updates += 1

    @torch.no_grad()
    def restart(self) -> None:
        """Starts anew from the weights as they are, as after they were set to others."""
        torch._foreach_copy_(self._averages, list(self._weights))
        self._updates = 0

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Lets the network have the average for its weights while the context lasts.

        The weights' tensors point to the average meanwhile; nothing is copied.
        """
        trained = [weight.data for weight in self._weights]
        self._point(self._averages)
        try:
            yield
        finally:
            self._point(trained)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the averages by their weights' names, and the number of `UPDATES` (int64)."""
        averages = dict(zip(self._weights.values(), self._averages, strict=True))
        return averages | {UPDATES: torch.tensor(self._updates)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes up what `state_dict` returned; starts anew where `state` is empty."""
        if not state:
            self.restart()
            return
        for name, average in zip(self._weights.values(), self._averages, strict=True):
            average.copy_(state[name])
        self._updates = int(state[UPDATES])

    def _point(self, values: list[Tensor]) -> None:
        for weight, value in zip(self._weights, values, strict=True):
            weight.data = value
