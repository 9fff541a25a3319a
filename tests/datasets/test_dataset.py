import mmap
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import CommandError
from datasets import dataset as module
from datasets.container import open_dataset
from datasets.dataset import Subset

SLICES = st.builds(
    slice,
    st.none() | st.integers(-12, 12),
    st.none() | st.integers(-12, 12),
    st.none() | st.integers(-3, 3).filter(bool),
)
POSITIONS = st.lists(st.integers(-9, 8), max_size=12).map(lambda rows: np.array(rows, np.int64))


@given(positions=SLICES | POSITIONS, has_rows=st.booleans(), block=st.sampled_from([1, 20, 1000]))
def test_read_equals_indexing(positions, has_rows, block):
    instances = np.arange(180, dtype=np.int16).reshape(20, 3, 3)
    rows = np.random.default_rng(0).permutation(20)[:9] if has_rows else None
    subset = Subset(instances if has_rows else instances[:9], np.zeros(9, np.int32), rows)
    expected = (instances[:9] if rows is None else instances[rows])[positions]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", block)
        read = subset.read(positions)
        np.testing.assert_array_equal(read, expected)
        assert read.flags.owndata
        assert read.flags.c_contiguous
        blocks = list(subset.blocks())
    np.testing.assert_array_equal(np.concatenate(blocks), subset.read(slice(None)))


def test_read_of_boolean_masks_and_beyond_the_subset():
    subset = Subset(np.arange(4).reshape(4, 1), np.zeros(4, np.int32))
    mask = np.array([True, False, False, True])
    np.testing.assert_array_equal(subset.read(mask), [[0], [3]])
    with pytest.raises(IndexError):
        subset.read(np.array([4]))


def test_read_releases_large_mappings(make_dataset, monkeypatch):
    monkeypatch.setattr(module, "KEPT_MAPPED", 0)
    path, subsets = make_dataset()
    training = open_dataset(path).subset("training")
    base = training.instances.base
    assert isinstance(base, mmap.mmap)
    np.testing.assert_array_equal(training.read(np.array([5, 2])), subsets["training"][0][[5, 2]])
    np.testing.assert_array_equal(training.read(slice(3, 9)), subsets["training"][0][3:9])


def test_instance_shapes_as_a_network_sees_them(make_dataset):
    assert open_dataset(make_dataset()[0]).instance_shape == (3, 5, 7)
    nchw = make_dataset(layout="nchw", shape=(3, 5, 7))[0]
    assert open_dataset(nchw).instance_shape == (3, 5, 7)
    assert open_dataset(nchw).picture_shape == (5, 7, 3)
    flat = make_dataset(layout="flat", shape=(35,), picture_shape=(5, 7, 1))[0]
    assert open_dataset(flat).instance_shape == (35,)
    assert open_dataset(flat).picture_shape == (5, 7, 1)


def test_subset_names_those_there_are(make_dataset):
    with pytest.raises(
        CommandError, match=r"Unknown subset 'test'.* Valid: testing, training, val"
    ):
        open_dataset(make_dataset()[0]).subset("test")


def test_a_usual_subset_that_was_left_out(make_dataset):
    whole = open_dataset(make_dataset()[0])
    alone = replace(whole, subsets={"training": whole.subsets["training"]})
    sentence = r"has no validation subset, only training; make a dataset .* --split 0\.8,0\.1,0\.1"
    with pytest.raises(CommandError, match=sentence):
        alone.subset("validation")


def test_keep_labels_renumbers_and_copies_nothing(make_dataset):
    path, subsets = make_dataset()
    dataset = open_dataset(path)
    kept = dataset.keep_labels(["cat", "ape", "cat"])
    assert kept.label_to_index == {"ape": 0, "cat": 1}
    for name, (instances, labels) in subsets.items():
        mask = np.isin(labels, [0, 2])
        np.testing.assert_array_equal(kept.subset(name).labels, labels[mask] // 2)
        np.testing.assert_array_equal(kept.subset(name).read(slice(None)), instances[mask])
        assert np.shares_memory(kept.subset(name).instances, dataset.subset(name).instances)
    again = dataset.keep_labels(["ape", "bee", "cat"]).keep_labels(["cat", "bee"])
    assert again.label_to_index == {"bee": 0, "cat": 1}
    instances, labels = subsets["training"]
    np.testing.assert_array_equal(again.subset("training").read(slice(None)), instances[labels > 0])


def test_keep_labels_that_are_unknown_or_none(make_dataset):
    dataset = open_dataset(make_dataset()[0])
    sentence = "Unknown label 'bees'. Did you mean 'bee'. Valid: ape, bee, cat"
    with pytest.raises(CommandError, match=sentence):
        dataset.keep_labels(["ape", "bees"])
    for names in ([], ["cat"], ["cat", "cat"]):
        with pytest.raises(
            CommandError, match="tells at least two labels apart, but the labels to"
        ):
            dataset.keep_labels(names)
