"""Cross-validation's folds: parts of equal size in which every label has its share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from common.errors import CommandError
from datasets.dataset import SUBSETS
from datasets.grouping import compiled, group_keys


def fold_numbers(
    labels: np.ndarray, num_folds: int, seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """Deals instances out into folds, by scikit-learn's StratifiedKFold or StratifiedGroupKFold.

    Parameters
    ----------
    labels : np.ndarray of shape (n,)
        The label of every instance; each fold gets its share of every label.
    num_folds : int
        At least 3: one to test on, one to validate on, and the others to train on.
    seed : int
        Chooses among equally good folds.
    groups : np.ndarray of shape (n,), optional
        A number for every instance; those with the same stay in one fold.

    Returns
    -------
    np.ndarray of shape (n,), int64
        The fold of every instance, 0 to num_folds - 1.

    Raises
    ------
    CommandError
        Where there are too few instances, or groups, for so many folds, or the seed is none.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if num_folds < 3:
        raise CommandError(
            f"--folds is {num_folds}; give at least 3: one is tested on, one validated on, and the "
            "others are trained on."
        )
    if not 0 <= seed < 2**32:
        raise CommandError(f"--fold-seed is {seed}; give 0 to {2**32 - 1:,}.")
    largest = int(np.bincount(labels).max(initial=0))
    if largest < num_folds:
        raise CommandError(
            f"--folds is {num_folds}, but no label has more than {largest} instances to deal out; "
            f"give at most {largest}, or add some."
        )
    if groups is not None and (few := len(np.unique(groups))) < num_folds:
        raise CommandError(
            f"--folds is {num_folds}, but --group-by makes only {few} groups to deal out; give at "
            f"most {few}, or another --group-by."
        )
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = kind(num_folds, shuffle=True, random_state=seed)
    folds = np.empty(len(labels), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of labels with fewer instances than folds
        for number, (_, chosen) in enumerate(splitter.split(labels, labels, groups)):
            folds[chosen] = number
    if empty := num_folds - len(np.unique(folds)):
        raise CommandError(
            f"--folds is {num_folds}, but {empty} of them would be empty, as --group-by makes too "
            "few groups; give fewer folds, or another --group-by."
        )
    return folds


def parts_of_fold(folds: np.ndarray, fold: int) -> dict[str, np.ndarray]:
    """Returns the instances of each subset: fold number `fold`, from 0, is tested on.

    The next one is validated on, and the others are trained on.
    """
    testing = folds == fold
    validation = folds == (fold + 1) % (int(folds.max()) + 1)
    parts = (~testing & ~validation, validation, testing)
    return {name: np.flatnonzero(part) for name, part in zip(SUBSETS, parts, strict=True)}


def groups_of(names: Sequence[str], group_by: str | None) -> np.ndarray | None:
    """Returns a number for every `<label>/<path>`: equal where `group_by` finds the same in it.

    A name in which it finds nothing is a group of its own. None where there is nothing to find.

    Raises
    ------
    CommandError
        Where it is no regular expression, or found in no path.
    """
    pattern = compiled(group_by)
    if pattern is None:
        return None
    pairs = [(label, path) for label, _, path in (name.partition("/") for name in names)]
    keys = group_keys(pattern, pairs)
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(keys.get(row, row), row) for row in range(len(names))])
