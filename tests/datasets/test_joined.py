"""Several subsets as one."""

import numpy as np

from datasets.container import open_dataset
from datasets.joined import joined
from datasets.patches import patch_dataset
from datasets.recordings import open_recordings
from tests.small_networks import spectrogram_dataset


def test_pictures_one_subset_after_another(make_dataset):
    path, arrays = make_dataset()
    dataset = open_dataset(path).keep_labels(["ape", "cat"])
    whole = joined(list(dataset.subsets.values()))
    expected = [instances[labels != 1] for instances, labels in arrays.values()]
    assert np.array_equal(whole.read(slice(None)), np.concatenate(expected))
    labels = np.concatenate([labels[labels != 1] for _, labels in arrays.values()])
    assert np.array_equal(whole.labels, labels // 2)


def test_patches_keep_their_recordings(tmp_path):
    recordings = open_recordings(spectrogram_dataset(tmp_path, seconds=0.5))
    parts = {"training": np.arange(5, 20), "testing": np.arange(5)}
    dataset = patch_dataset(recordings, parts, 7, 3)
    whole = joined([dataset.subsets["testing"], dataset.subsets["training"]])
    every = patch_dataset(recordings, {"training": np.arange(20)}, 7, 3).subsets["training"]
    assert np.array_equal(whole.recordings, every.recordings)
    assert np.array_equal(whole.read(slice(None)), every.read(slice(None)))


def test_labels_in_another_order(make_dataset):
    path, arrays = make_dataset()
    dataset = open_dataset(path)
    other = dataset.with_labels(["cat", "dog", "ape"])
    assert other.label_names == ["cat", "dog", "ape"]
    for name, (instances, labels) in arrays.items():
        chosen = labels != 1
        assert np.array_equal(other.subset(name).read(slice(None)), instances[chosen])
        assert other.subset(name).labels.tolist() == [2 - label for label in labels[chosen]]
    assert dataset.label_names == ["ape", "bee", "cat"]
