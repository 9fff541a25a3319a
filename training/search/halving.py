"""Successive halving: evaluations that are among the worse half after a few epochs end there."""

from __future__ import annotations

from collections.abc import Sequence

from training.records import EpochRecord


class Halving:
    """Decides which evaluations go on.

    After `grace` epochs, and each time the epochs have doubled (the rungs), an evaluation goes on
    if it is among the better half of those that have come to that rung so far; the first always
    does. Nobody waits for others, so that it serves one evaluation at a time and several. This is
    the stopping variant of ASHA with a reduction factor of 2. Source: Li et al. (2020), A system
    for massively parallel hyperparameter tuning, https://arxiv.org/abs/1810.05934.

    Parameters
    ----------
    grace : int
        The first rung, in epochs; at least 1.
    num_epochs : int
        The epochs of a whole evaluation, which are no rung.
    """

    def __init__(self, grace: int, num_epochs: int) -> None:
        self.rungs: list[int] = []
        while (rung := grace * 2 ** len(self.rungs)) < num_epochs:
            self.rungs.append(rung)
        self._reached: dict[int, dict[int, tuple[float, float]]] = {rung: {} for rung in self.rungs}

    def stopped_at(self, number: int, records: Sequence[EpochRecord]) -> int | None:
        """Returns the rung at which an evaluation ends, None where it may go on.

        Rungs count the evaluation's own epochs, also where it began with a snapshot's. What was
        decided at a rung stays decided.

        Parameters
        ----------
        number : int
            The evaluation's.
        records : sequence of EpochRecord
            Its epochs so far.
        """
        for rung in self.rungs:
            if rung > len(records):
                break
            ranks = self._reached[rung]
            if number in ranks:
                continue
            rank = max(record.rank for record in records[:rung])
            better = sum(other > rank for other in ranks.values())
            ranks[number] = rank
            if better >= max(1, len(ranks) // 2):
                return rung
        return None

    def take(self, number: int, records: Sequence[EpochRecord]) -> None:
        """Takes over an evaluation that has ended, with the epochs that counted."""
        for rung in self.rungs:
            if rung <= len(records):
                self._reached[rung][number] = max(record.rank for record in records[:rung])
