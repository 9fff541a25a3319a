"""What a network makes of a subset: of every instance, or of every recording by its patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.dataset import Subset
from training.evaluation import Evaluation


@dataclass(frozen=True, eq=False)
class Scores:
    """Predictions for n instances, or for n recordings.

    Parameters
    ----------
    labels : np.ndarray of shape (n,), int
        The true labels.
    probabilities : np.ndarray of shape (n, labels), float64
        Of a recording, the mean of its patches'.
    votes : np.ndarray of shape (n,), int, optional
        The label that most of a recording's patches are predicted to have; of several, the one of
        the highest mean probability.
    patches : np.ndarray of shape (n,), int, optional
        How many a recording has.
    recordings : np.ndarray of shape (n,), int, optional
        The recordings' numbers, rising.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    votes: np.ndarray | None = None
    patches: np.ndarray | None = None
    recordings: np.ndarray | None = None

    @property
    def predictions(self) -> np.ndarray:
        """The label of the highest probability, (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """The share of labels that are predicted."""
        return float((self.predictions == self.labels).mean())

    @property
    def vote_accuracy(self) -> float:
        """The share of labels that are voted for; recordings only."""
        assert self.votes is not None
        return float((self.votes == self.labels).mean())

    def top_accuracy(self, k: int) -> float:
        """Returns the share of labels that are among the k of the highest probability.

        Of equal ones the first label counts as higher, as for `predictions`.
        """
        rows = np.arange(len(self.labels))
        own = self.probabilities[rows, self.labels][:, np.newaxis]
        later = np.arange(self.probabilities.shape[1]) >= self.labels[:, np.newaxis]
        behind = (self.probabilities < own) | ((self.probabilities == own) & later)
        return float(((~behind).sum(axis=1) < k).mean())


def scores_of(evaluation: Evaluation, subset: Subset) -> Scores:
    """Returns the scores of a subset's instances; of its recordings, where these are patches."""
    assert evaluation.log_probabilities is not None
    probabilities = np.exp(evaluation.log_probabilities.astype(np.float64))
    if subset.recordings is None:
        return Scores(subset.labels, probabilities)
    recordings, first, which = np.unique(subset.recordings, return_index=True, return_inverse=True)
    patches = np.bincount(which)
    sums = np.zeros((len(recordings), probabilities.shape[1]))
    np.add.at(sums, which, probabilities)
    means = sums / patches[:, np.newaxis]
    counts = np.zeros_like(means)
    np.add.at(counts, (which, evaluation.predictions), 1)
    votes = (counts + means / 2).argmax(axis=1)  # a mean is at most 1, and decides among equals
    return Scores(subset.labels[first], means, votes, patches, recordings)
