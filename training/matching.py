"""Opens a dataset to evaluate a trained network on, if it is one that the network can tell of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError, first_names
from datasets.dataset import SUBSETS, Dataset
from datasets.joined import joined
from datasets.origin import FEATURES, RECORDINGS, origin_of
from datasets.patches import PatchDataset, patch_dataset
from datasets.recordings import Recordings, open_any
from training.experiment import Experiment
from training.order import fingerprint
from training.subsets import open_subsets
from training.trained import Trained

ALL = "all"
"""The subset of all instances of a file, in the order of its subsets."""


def open_matching(trained: Trained, path: Path | None, subset: str) -> Dataset:
    """Opens a dataset with the labels numbered as the network's.

    Parameters
    ----------
    trained : Trained
    path : Path, optional
        The dataset; that of the training unless given.
    subset : str
        Of `SUBSETS`, by the folds of the training where it had some; or `ALL`, which is there
        beside the others then.

    Raises
    ------
    CommandError
        Where the dataset can't be opened, its labels or spectrograms are not the network's, the
        folds of the training are not in it, or the subset is empty.
    """
    own = trained.experiment.dataset_path
    if path is None and not own.exists():
        raise CommandError(
            f"{own}, the dataset of {trained.path}, is not there; give its place as "
            "--dataset-path, or another dataset."
        )
    experiment = replace(
        trained.experiment,
        dataset_path=path or own,
        labels_to_keep="",  # they are the network's labels
    )
    opened = open_any(experiment.dataset_path)
    _check_origin(trained, opened)
    if isinstance(opened, Recordings):
        _check_length(trained, opened)
    dataset = _with_all(experiment, opened) if subset == ALL else _folded(trained, experiment)
    _check_labels(trained, dataset)
    dataset = dataset.with_labels(trained.labels)
    if subset != ALL and (isinstance(dataset, PatchDataset) or experiment.fold is not None):
        _check_folds(trained, dataset)
    if subset not in dataset.subsets:
        there = " or ".join(name for name in dataset.subsets if name != ALL)
        raise CommandError(f"{dataset.path} has no {subset} subset; give --test-subset {there}.")
    if not len(dataset.subset(subset)):
        raise CommandError(
            f"The {subset} subset of {dataset.path} has no instances of the network's labels; give "
            "another --test-subset, or another dataset."
        )
    return dataset


def _folded(trained: Trained, experiment: Experiment) -> Dataset:
    """Returns the dataset with the subsets of the training, dealt out as it was."""
    try:
        return open_subsets(experiment)
    except CommandError as error:  # too few for so many folds, say
        if experiment.dataset_path == trained.experiment.dataset_path:
            raise
        raise _other_folds(trained, experiment.dataset_path) from error


def _with_all(experiment: Experiment, opened: Dataset | Recordings) -> Dataset:
    if isinstance(opened, Recordings):
        frames, hop = experiment.patch_frames, experiment.frames_between_patches
        every = {ALL: np.arange(len(opened))}
        return patch_dataset(opened, every, frames, hop, experiment.patch_policy)
    own = {name: opened.subsets[name] for name in SUBSETS if name in opened.subsets}
    return replace(opened, subsets=own | {ALL: joined(list(own.values()))})


def _check_origin(trained: Trained, dataset: Dataset | Recordings) -> None:
    """Raises CommandError where values stand for something else than those trained on."""
    wanted, found = trained.origin, origin_of(dataset)
    if not wanted:  # an older snapshot does not say
        return
    kinds = [FEATURES if one["kind"] != RECORDINGS else RECORDINGS for one in (wanted, found)]
    if kinds[0] != kinds[1]:
        texts = {RECORDINGS: "spectrograms of recordings", FEATURES: "instances of one shape"}
        raise CommandError(
            f"{dataset.path} holds {texts[kinds[1]]}, and the network of {trained.path} was "
            f"trained on {texts[kinds[0]]}; give a dataset of those."
        )
    names = ["scale"]
    if kinds[0] == RECORDINGS:
        wanted, found = wanted["parameters"], found["parameters"]
        names = sorted({*wanted, *found})
    if differences := _differences(wanted, found, names):
        raise CommandError(
            f"{dataset.path} was made otherwise than what the network of {trained.path} was "
            f"trained on: {differences}; make the dataset anew with the latter."
        )


def _check_length(trained: Trained, recordings: Recordings) -> None:
    frames, longest = trained.experiment.patch_frames, int(recordings.num_frames.max())
    if longest < frames:
        rate = recordings.frames_per_second
        raise CommandError(
            f"The network of {trained.path} takes patches of {frames / rate:.1f} s, but the "
            f"longest recording in {recordings.path} has {longest / rate:.1f} s; give longer ones."
        )


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(
        f"its {name.replace('_', ' ')} is {found.get(name)}, not {wanted.get(name)}"
        for name in names
        if found.get(name) != wanted.get(name)
    )


def _check_labels(trained: Trained, dataset: Dataset) -> None:
    """Raises CommandError for labels that the network does not know.

    Where it was trained with --labels-to-keep, a dataset may have others beside those.
    """
    unknown = [name for name in dataset.label_names if name not in trained.labels]
    if unknown and (
        not trained.experiment.labels_to_keep or len(unknown) == len(dataset.label_names)
    ):
        raise CommandError(
            f"{dataset.path} has labels that the network of {trained.path} does not know: "
            f"{first_names(unknown)}; "
            f"it knows {first_names(trained.labels)}. Give a dataset of these, as create_datasets "
            "and create_spectrograms make it with --labels, preprocess_imagenet with the same kit."
        )


def _check_folds(trained: Trained, dataset: Dataset) -> None:
    """Raises CommandError where the training instances are others than those of the training."""
    found = fingerprint(dataset)
    if any(trained.order.get(name, value) != value for name, value in found.items()):
        raise _other_folds(trained, dataset.path)


def _other_folds(trained: Trained, path: Path) -> CommandError:
    return CommandError(
        f"{path} is not what the network of {trained.path} was trained on, whose folds mean "
        "nothing in it; give --test-subset all."
    )
