"""Which of a dataset's instances are trained on, validated on and tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError
from common.options import to_plain
from common.params import parse_names
from datasets.dataset import SUBSETS, Dataset, Subset
from datasets.folds import fold_numbers, groups_of, parts_of_fold
from datasets.joined import joined
from datasets.patches import PatchDataset, patch_dataset
from datasets.recordings import Recordings, open_any
from training.experiment import Experiment
from training.order import fingerprint

CHOICE = ["dataset_path", "labels_to_keep", "folds", "fold", "fold_seed", "group_by"]
CHOICE += ["patch_frames", "patch_hop", "patch_policy"]
"""The options that choose what is trained on."""


def open_subsets(experiment: Experiment) -> Dataset:
    """Opens an experiment's dataset with the subsets and labels that its options choose.

    Recordings are cut into patches.

    Raises CommandError where the options don't fit the dataset.
    """
    opened = open_any(experiment.dataset_path)
    if isinstance(opened, Recordings):
        dataset = _patches(experiment, opened)
    else:
        _check_names(experiment, opened)
        dataset = opened if experiment.fold is None else _refolded(experiment, opened)
    if experiment.labels_to_keep:
        dataset = dataset.keep_labels(parse_names(experiment.labels_to_keep))
    return dataset


def check_unchanged(
    experiment: Experiment, dataset: Dataset, snapshot: Path, header: Mapping[str, Any]
) -> None:
    """Checks that folds are those of a snapshot that chose them by the same options.

    Parameters
    ----------
    experiment, dataset
        What goes on from the snapshot.
    snapshot : Path
        For the message.
    header : mapping
        Its header.

    Raises
    ------
    CommandError
        Where the dataset has changed: what was trained on would be tested on.
    """
    if experiment.fold is None and not isinstance(dataset, PatchDataset):
        return
    chosen, recorded = to_plain(experiment), header["experiment"]
    if any(chosen[name] != recorded.get(name) for name in CHOICE):
        return
    known = fingerprint(dataset)
    if any(header["order"].get(name, value) != value for name, value in known.items()):
        raise CommandError(
            f"{dataset.path} has changed since {snapshot} was written: its folds are others now, "
            "and what was trained on would be tested on; put the dataset back as it was, or train "
            "anew without the snapshot."
        )


def _check_names(experiment: Experiment, dataset: Dataset) -> None:
    if experiment.group_by is not None:
        else_ = ", or give --group-by to create_datasets" if experiment.fold is None else ""
        raise CommandError(
            f"--group-by needs the instances' names, and {dataset.path} does not hold them, only "
            f"spectrograms of recordings do; leave it out{else_}."
        )


def _patches(experiment: Experiment, recordings: Recordings) -> Dataset:
    groups = groups_of(recordings.names, experiment.group_by)
    parts = _parts(experiment, recordings.labels, groups)
    frames, hop = experiment.patch_frames, experiment.frames_between_patches
    return patch_dataset(recordings, parts, frames, hop, experiment.patch_policy)


def _refolded(experiment: Experiment, dataset: Dataset) -> Dataset:
    """Returns the dataset with the folds of all its instances in place of its own subsets."""
    own = [dataset.subsets[name] for name in SUBSETS if name in dataset.subsets]
    every = joined(own)
    parts = _parts(experiment, every.labels, None)
    subsets = {
        name: Subset(every.instances, every.labels[part], part) for name, part in parts.items()
    }
    return replace(dataset, subsets=subsets, mean=None)


def _parts(
    experiment: Experiment, labels: np.ndarray, groups: np.ndarray | None
) -> dict[str, np.ndarray]:
    folds = fold_numbers(labels, experiment.folds, experiment.fold_seed, groups)
    fold = 1 if experiment.fold is None else experiment.fold
    if not 1 <= fold <= experiment.folds:
        raise CommandError(
            f"--fold is {fold}; give 1 to {experiment.folds}, the number of --folds."
        )
    return parts_of_fold(folds, fold - 1)
