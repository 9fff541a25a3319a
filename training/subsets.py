"""Which of a dataset's instances are trained on, validated on and tested on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from common.errors import CommandError
from common.params import parse_names
from datasets.dataset import SUBSETS, Dataset, Subset
from datasets.folds import fold_numbers, groups_of, parts_of_fold
from datasets.joined import joined
from datasets.patches import patch_dataset
from datasets.recordings import Recordings, open_any
from training.experiment import Experiment


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


def _check_names(experiment: Experiment, dataset: Dataset) -> None:
    if experiment.group_by is not None:
        raise CommandError(
            f"--group-by needs the instances' names, and {dataset.path} does not hold them, only "
            "spectrograms of recordings do; leave it out, or give --group-by to create_datasets."
        )


def _patches(experiment: Experiment, recordings: Recordings) -> Dataset:
    groups = groups_of(recordings.names, experiment.group_by)
    parts = _parts(experiment, recordings.labels, groups)
    frames = experiment.patch_frames
    hop = frames if experiment.patch_hop is None else experiment.patch_hop
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
