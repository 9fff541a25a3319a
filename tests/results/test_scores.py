"""Accuracies, votes and mean probabilities, against scikit-learn and plain loops."""

import warnings
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from datasets.dataset import Subset
from results.scores import Scores, scores_of
from training.evaluation import Evaluation


def evaluation_of(probabilities: np.ndarray) -> Evaluation:
    logarithms = np.log(probabilities).astype(np.float32)
    return Evaluation(0.0, 0.0, probabilities.argmax(1), logarithms)


@pytest.fixture
def patches():
    """Probabilities of four labels for 60 patches of 13 of 20 recordings, in no order."""
    rng = np.random.default_rng(0)
    recordings = rng.permutation(np.repeat(rng.permutation(20)[:13], 5)[:60]).astype(np.int32)
    labels = (recordings * 7 % 4).astype(np.int32)
    return rng.dirichlet(np.ones(4) / 2, 60), labels, recordings


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k_is_that_of_scikit_learn(k):
    rng = np.random.default_rng(k)
    labels, probabilities = rng.integers(0, 5, 200), rng.dirichlet(np.ones(5), 200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 5 of 5 labels are always right
        expected = top_k_accuracy_score(labels, probabilities, k=k, labels=range(5))
    assert Scores(labels, probabilities).top_accuracy(k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_of_equal_probabilities_the_first_counts_as_higher(k):
    """A network that knows nothing is right by chance, and not always."""
    labels = np.arange(4).repeat(5)
    scores = Scores(labels, np.full((20, 4), 0.25))
    assert scores.top_accuracy(k) == k / 4
    rng = np.random.default_rng(0)
    probabilities = rng.integers(1, 3, (500, 4)) / 6  # of few values, so that many are equal
    scores = Scores(rng.integers(0, 4, 500), probabilities)
    ranked = [sorted(range(4), key=lambda label: (-row[label], label)) for row in probabilities]
    right = [label in row[:k] for label, row in zip(scores.labels, ranked, strict=True)]
    assert scores.top_accuracy(k) == np.mean(right)
    assert scores.top_accuracy(1) == scores.accuracy


def test_what_is_no_number_is_not_right():
    scores = Scores(np.array([0, 1]), np.full((2, 3), np.nan))
    assert scores.top_accuracy(2) == 0


def test_instances_count_each():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(3), 50), rng.integers(0, 3, 50)
    scores = scores_of(evaluation_of(probabilities), Subset(np.zeros((50, 1)), labels))
    assert scores.accuracy == accuracy_score(labels, probabilities.argmax(1))
    np.testing.assert_allclose(scores.probabilities, probabilities, rtol=1e-6)
    assert scores.votes is scores.patches is scores.recordings is None


def test_recordings_by_mean_and_by_vote(patches):
    probabilities, labels, recordings = patches
    subset = Subset(np.zeros((60, 1)), labels, recordings=recordings)
    scores = scores_of(evaluation_of(probabilities), subset)
    assert scores.recordings.tolist() == sorted(set(recordings.tolist()))
    for row, recording in enumerate(scores.recordings):
        own = [index for index in range(60) if recordings[index] == recording]
        mean = sum(probabilities[index] for index in own) / len(own)
        np.testing.assert_allclose(scores.probabilities[row], mean, rtol=1e-6)
        counts = Counter(int(probabilities[index].argmax()) for index in own)
        best = max(counts.values())
        winners = [label for label, count in counts.items() if count == best]
        assert scores.votes[row] == max(winners, key=lambda label, mean=mean: mean[label])
        assert scores.patches[row] == len(own)
        assert scores.labels[row] == recording * 7 % 4
    assert scores.accuracy == accuracy_score(scores.labels, scores.probabilities.argmax(1))
    assert scores.vote_accuracy == accuracy_score(scores.labels, scores.votes)
    assert scores.accuracy != scores.vote_accuracy  # so that one is not the other


def test_a_tie_goes_to_the_higher_mean_and_a_majority_wins_over_it():
    probabilities = np.array(
        [
            [0.6, 0.4, 0.0], [0.1, 0.9, 0.0],  # recording 3: a vote each, mean 0.35 and 0.65
            [0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 1.0, 0.0],  # recording 5: two votes to one
        ]
    ) + 1e-9  # fmt: skip
    subset = Subset(
        np.zeros((5, 1)), np.array([1, 1, 0, 0, 0]), recordings=np.array([3, 3, 5, 5, 5])
    )
    scores = scores_of(evaluation_of(probabilities), subset)
    assert scores.votes.tolist() == [1, 0]
    assert scores.predictions.tolist() == [1, 1]
    assert (scores.vote_accuracy, scores.accuracy) == (1.0, 0.5)
