"""Which instances an experiment trains, validates and tests on."""

import re
from dataclasses import replace

import numpy as np
import pytest

from commands.convert_dataset import Options, run
from common.errors import CommandError
from datasets.container import open_dataset
from datasets.dataset import SUBSETS
from datasets.patches import PatchDataset
from tests.recorded import spectra, write
from training.experiment import Experiment
from training.subsets import open_subsets

LENGTHS = [12 + number % 7 for number in range(24)]
ARTISTS = 8


@pytest.fixture
def recordings(tmp_path):
    """Three pieces of every artist, each artist of one label."""
    labels = np.arange(24) // 3 % 3
    known = ["jazz", "metal", "polka"]
    names = [f"{known[label]}/{n // 3} - {n % 3}.wav" for n, label in enumerate(labels)]
    return write(tmp_path / "x.pkl.zip", spectra(LENGTHS), labels, names)


@pytest.fixture
def experiment(recordings):
    return Experiment(recordings.path, "m", patch_frames=5, folds=4)


def numbers_of(dataset) -> dict[str, set[int]]:
    """The recordings of each subset."""
    return {name: set(dataset.subset(name).recordings.tolist()) for name in SUBSETS}


def folded(experiment) -> list[dict[str, set[int]]]:
    """The recordings of each subset, fold by fold."""
    folds = range(1, experiment.folds + 1)
    return [numbers_of(open_subsets(replace(experiment, fold=fold))) for fold in folds]


def test_every_recording_is_tested_once_over_all_folds(experiment):
    every = folded(experiment)
    for name in ("testing", "validation"):
        tested = [number for parts in every for number in parts[name]]
        assert sorted(tested) == list(range(24))
    for parts in every:
        assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 24


def test_the_patches_of_a_recording_are_in_its_subset_alone(experiment, recordings):
    dataset = open_subsets(replace(experiment, fold=2))
    assert isinstance(dataset, PatchDataset)
    assert dataset.label_names == ["jazz", "metal", "polka"]
    for name in SUBSETS:
        subset = dataset.subset(name)
        counts = np.bincount(subset.recordings, minlength=24)
        for number in np.unique(subset.recordings):
            assert counts[number] == LENGTHS[number] // 5  # the hop is a patch's length
        first = subset.read(np.array([0]))[0, 0]
        assert np.array_equal(first, recordings[subset.recordings[0]][:5].T)


def test_without_a_fold_recordings_have_the_first(experiment):
    assert numbers_of(open_subsets(experiment)) == folded(experiment)[0]


def test_another_seed_gives_other_folds(experiment):
    assert folded(experiment) == folded(experiment)
    assert folded(experiment) != folded(replace(experiment, fold_seed=1))


def test_a_hop_and_mirdls_policy(experiment):
    dataset = open_subsets(replace(experiment, patch_hop=2, patch_policy="original"))
    counts = sum(np.bincount(dataset.subset(name).recordings, minlength=24) for name in SUBSETS)
    assert counts.tolist() == [len(range(0, int((n - 5) / 2) * 2, 2)) for n in LENGTHS]


def test_an_artists_recordings_are_in_one_fold(experiment):
    """With 8 artists, two whose three pieces are all tested in each of 4 folds, more or less."""
    every = folded(replace(experiment, group_by=r"^\d+"))
    artists = [{number // 3 for number in parts["testing"]} for parts in every]
    assert sum(map(len, artists)) == ARTISTS == len(set.union(*artists))
    alone = [{number // 3 for number in parts["testing"]} for parts in folded(experiment)]
    assert sum(map(len, alone)) > ARTISTS


def test_labels_to_keep(experiment, recordings):
    """They are left out of the folds, which stay as they are."""
    kept = replace(experiment, labels_to_keep="polka, jazz")
    wanted = set(np.flatnonzero(recordings.labels != 1).tolist())
    expected = [{name: p & wanted for name, p in parts.items()} for parts in folded(experiment)]
    assert folded(kept) == expected
    subset = open_subsets(kept).subset("training")
    assert np.array_equal(subset.labels, recordings.labels[subset.recordings] // 2)


@pytest.mark.parametrize("fold", [0, 5, -1])
def test_a_fold_that_there_is_not(experiment, fold):
    sentence = f"--fold is {fold}; give 1 to 4, the number of --folds."
    with pytest.raises(CommandError, match=re.escape(sentence)):
        open_subsets(replace(experiment, fold=fold))


@pytest.mark.parametrize("folds", [2, 0, -3])
def test_too_few_folds(experiment, digits, folds):
    for one in (experiment, Experiment(digits, "m", fold=1)):
        with pytest.raises(CommandError, match=f"--folds is {folds}; give at least 3"):
            open_subsets(replace(one, folds=folds))


@pytest.fixture(params=["file", "shards"])
def pictures(request, digits, tmp_path):
    """The digits, in a file and in a folder of shards."""
    if request.param == "file":
        return digits
    return run(Options(digits, tmp_path / "digits.shards", shard_size=100))


def test_folds_of_pictures_take_all_subsets_as_one(digits, pictures):
    """Each instance is tested once, validated once and else trained on, with its own label."""
    stored = open_dataset(digits)
    own = [stored.subset(name) for name in SUBSETS]
    instances = np.concatenate([subset.read(slice(None)) for subset in own])
    labels = np.concatenate([subset.labels for subset in own])
    tested = []
    for fold in range(1, 6):
        dataset = open_subsets(Experiment(pictures, "m", folds=5, fold=fold))
        assert dataset.instance_shape == stored.instance_shape
        rows = [dataset.subset(name).rows for name in SUBSETS]
        assert np.sort(np.concatenate(rows)).tolist() == list(range(1797))
        for name, expected in zip(SUBSETS, rows, strict=True):
            subset = dataset.subset(name)
            assert np.array_equal(subset.read(slice(None)), instances[expected])
            assert np.array_equal(subset.labels, labels[expected])
        tested.append(dataset.subset("testing").rows)
        counts = np.bincount(labels[tested[-1]])
        assert (abs(counts - np.bincount(labels) / 5) < 1).all()
    assert np.sort(np.concatenate(tested)).tolist() == list(range(1797))


def test_a_stored_mean_is_not_that_of_a_fold(pictures):
    assert open_subsets(Experiment(pictures, "m", fold=1)).mean is None


def test_without_a_fold_pictures_keep_their_subsets(pictures):
    stored, dataset = open_dataset(pictures), open_subsets(Experiment(pictures, "m"))
    for name in SUBSETS:
        assert dataset.subset(name).rows is None
        assert np.array_equal(dataset.subset(name).labels, stored.subset(name).labels)


def test_labels_to_keep_of_pictures(digits):
    dataset = open_subsets(Experiment(digits, "m", fold=2, labels_to_keep="3,7"))
    whole = open_subsets(Experiment(digits, "m", fold=2))
    for name in SUBSETS:
        subset, every = dataset.subset(name), whole.subset(name)
        kept = np.isin(every.labels, [3, 7])
        assert np.array_equal(subset.read(slice(None)), every.read(np.flatnonzero(kept)))
        assert np.array_equal(subset.labels, (every.labels[kept] == 7).astype(int))


@pytest.mark.parametrize("fold", [None, 1])
def test_pictures_have_no_names_to_group_by(digits, fold):
    with pytest.raises(CommandError, match="--group-by needs the instances' names, and .* does no"):
        open_subsets(Experiment(digits, "m", fold=fold, group_by="x"))
