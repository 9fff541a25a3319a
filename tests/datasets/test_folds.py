"""Folds: what StratifiedKFold and StratifiedGroupKFold promise, and what cross-validation needs."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from common.errors import CommandError
from datasets.folds import fold_numbers, groups_of, parts_of_fold

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [40, 33, 17])).astype(np.int32)
GROUPS = np.arange(len(LABELS)) // 3


def shares(labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """How many instances of each label (a column) each fold (a row) has."""
    counts = np.zeros((folds.max() + 1, labels.max() + 1), int)
    np.add.at(counts, (folds, labels), 1)
    return counts


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=12, max_size=60),
    num_folds=st.integers(3, 6),
    seed=st.integers(0, 20),
)
def test_every_fold_has_its_share_of_every_label(labels, num_folds, seed):
    """Also of a label with fewer instances than there are folds: one at most."""
    labels = np.array(labels)
    if np.bincount(labels).max() < num_folds:
        return
    folds = fold_numbers(labels, num_folds, seed)
    assert set(folds) == set(range(num_folds))
    counts = shares(labels, folds)
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()
    sizes = counts.sum(axis=1)
    assert sizes.max() - sizes.min() <= 1


def test_the_folds_are_those_of_scikit_learn():
    splitter = StratifiedKFold(4, shuffle=True, random_state=7)
    folds = fold_numbers(LABELS, 4, 7)
    for number, (_, testing) in enumerate(splitter.split(LABELS, LABELS)):
        assert np.flatnonzero(folds == number).tolist() == testing.tolist()


def test_groups_stay_whole_and_labels_are_spread():
    folds = fold_numbers(LABELS, 5, 0, GROUPS)
    assert all(len(np.unique(folds[group == GROUPS])) == 1 for group in np.unique(GROUPS))
    counts = shares(LABELS, folds)
    assert (abs(counts - counts.mean(axis=0)) <= 3).all()  # at most a group too many or too few


def test_a_seed_decides():
    for groups in (None, GROUPS):
        one, again, other = (fold_numbers(LABELS, 5, seed, groups) for seed in (3, 3, 4))
        assert np.array_equal(one, again)
        assert not np.array_equal(one, other)


@pytest.mark.parametrize("num_folds", [3, 4, 10])
def test_every_instance_is_tested_once_and_validated_once(num_folds):
    folds = fold_numbers(LABELS, num_folds, 0)
    every = [parts_of_fold(folds, fold) for fold in range(num_folds)]
    for name in ("testing", "validation"):
        joined = np.concatenate([parts[name] for parts in every])
        assert np.sort(joined).tolist() == list(range(len(LABELS)))
    for fold, parts in enumerate(every):
        assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(len(LABELS)))
        assert np.array_equal(parts["validation"], every[(fold + 1) % num_folds]["testing"])


def test_too_few_folds():
    with pytest.raises(CommandError, match="--folds is 2; give at least 3: one is tested on, one"):
        fold_numbers(LABELS, 2, 0)


def test_too_few_instances():
    sentence = "--folds is 41, but no label has more than 40 instances to deal out; give at most 40"
    with pytest.raises(CommandError, match=sentence):
        fold_numbers(LABELS, 41, 0)
    assert set(fold_numbers(LABELS, 40, 0)) == set(range(40))


def test_a_rare_label_is_no_reason_for_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds = fold_numbers(np.array([0] * 9 + [1]), 3, 0)
    assert np.bincount(folds).tolist() in ([4, 3, 3], [3, 4, 3], [3, 3, 4])


def test_too_few_groups():
    labels, groups = np.zeros(12, int), np.repeat([0, 1, 2], 4)
    assert len(set(fold_numbers(labels, 3, 0, groups))) == 3
    sentence = "--folds is 4, but --group-by makes only 3 groups to deal out; give at most 3, or"
    with pytest.raises(CommandError, match=sentence):
        fold_numbers(labels, 4, 0, groups)


def test_groups_that_scikit_learn_cannot_spread():
    labels = np.array([1, 2, 0, 0, 1, 0, 2, 2, 1, 0])
    groups = np.array([4, 3, 3, 3, 0, 2, 2, 3, 0, 2])
    with pytest.raises(CommandError, match="but 1 of them would be empty, as --group-by makes too"):
        fold_numbers(labels, 4, 0, groups)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_scikit_learn_does_not_take(seed):
    sentence = f"--fold-seed is {seed}; give 0 to 4,294,967,295."
    with pytest.raises(CommandError, match=sentence):
        fold_numbers(LABELS, 3, seed)
    assert len(fold_numbers(LABELS, 3, 2**32 - 1)) == len(LABELS)


def test_groups_are_what_a_pattern_finds_in_the_paths():
    names = ["a/Miles - 1.wav", "b/Miles - 2.wav", "a/x/Ella - 1.wav", "a/alone.wav", "b/alone.wav"]
    groups = groups_of(names, "([^/]+?)(?= - )")
    assert groups[0] == groups[1]  # whatever their labels
    assert len(set(groups)) == 4
    assert groups_of(names, None) is None


def test_the_label_is_not_searched():
    names = ["Miles - x/1.wav", "Miles - x/2.wav"]
    with pytest.raises(CommandError, match=r"is found in none of the paths .*, such as '1\.wav'"):
        groups_of(names, "([^/]+?)(?= - )")


def test_a_pattern_that_is_none():
    with pytest.raises(CommandError, match=r"--group-by '\(' is no regular expression"):
        groups_of(["a/b"], "(")
