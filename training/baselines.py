"""Baselines on raw pixels by scikit-learn: what a network has to beat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import LinearSVC

from common.progress import progress
from datasets.dataset import Dataset

TREES_AT_A_TIME = 10


def random_forest_accuracies(
    dataset: Dataset, test_subset: str, num_estimators: int, num_iterations: int, random_state: int
) -> Iterator[float]:
    """Yields the accuracy of one random forest per seed `random_state`, `random_state` + 1, ….

    The forests equal those that scikit-learn fits in one go; they are grown a few trees at a time
    only to show progress.
    """
    training, testing = _subsets(dataset, test_subset)
    with progress("random forest", num_estimators * num_iterations, "trees") as advance:
        for seed in range(random_state, random_state + num_iterations):
            forest = RandomForestClassifier(warm_start=True, random_state=seed, n_jobs=-1)
            grown = 0
            while grown < num_estimators:
                step = min(TREES_AT_A_TIME, num_estimators - grown)
                grown += step
                forest.set_params(n_estimators=grown).fit(*training)
                advance(step)
            yield float(forest.score(*testing))


def linear_accuracy(dataset: Dataset, test_subset: str, random_state: int) -> float:
    """Returns the accuracy of a linear support vector machine on features scaled to [0, 1]."""
    training, testing = _subsets(dataset, test_subset)
    model = make_pipeline(MinMaxScaler(), LinearSVC(random_state=random_state))
    return float(model.fit(*training).score(*testing))


def _subsets(
    dataset: Dataset, test_subset: str
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns (instances, labels) to train and to test on; testing trains on validation as well."""
    names = ["training", "validation"] if test_subset == "testing" else ["training"]
    parts = [_flat(dataset, name) for name in names]
    instances, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return (instances, labels), _flat(dataset, test_subset)


def _flat(dataset: Dataset, name: str) -> tuple[np.ndarray, np.ndarray]:
    subset = dataset.subset(name)
    return subset.read(slice(None)).reshape(len(subset), -1), subset.labels
