"""Joined instances against NumPy's own concatenation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.convert_dataset import Options, run
from datasets.container import open_dataset
from datasets.dataset import Subset
from datasets.joined import JoinedArray, joined
from datasets.mean import subset_moments

STORED = np.arange(120, dtype=np.int16).reshape(20, 3, 2)


def subset(rows: list[int] | None, count: int = 20) -> Subset:
    if rows is None:
        return Subset(STORED[:count], np.zeros(count, np.int32))
    return Subset(STORED, np.zeros(len(rows), np.int32), np.array(rows, np.int64))


SUBSETS = st.lists(
    st.lists(st.integers(0, 19), max_size=9).map(subset)
    | st.integers(0, 9).map(lambda count: subset(None, count)),
    min_size=1,
    max_size=4,
)


def joined_by_numpy(subsets) -> np.ndarray:
    return np.concatenate([one.read(slice(None)) for one in subsets])


@settings(max_examples=60, deadline=None)
@given(subsets=SUBSETS, data=st.data())
def test_it_reads_like_one_array(subsets, data):
    expected, array = joined_by_numpy(subsets), JoinedArray(subsets)
    assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
    assert (array.ndim, array.nbytes, len(array)) == (3, expected.nbytes, len(expected))
    assert np.array_equal(array[:], expected)
    assert np.array_equal(array[1:9:2], expected[1:9:2])
    if len(expected):
        places = st.integers(-len(expected), len(expected) - 1)
        rows = np.array(data.draw(st.lists(places, max_size=12)), np.int64)
        assert np.array_equal(array[rows], expected[rows])
        row = data.draw(places)
        assert np.array_equal(array[row], expected[row])


@settings(max_examples=60, deadline=None)
@given(subsets=SUBSETS, data=st.data())
def test_a_subset_of_it_reads_its_rows(subsets, data):
    expected = joined_by_numpy(subsets)
    if not len(expected):
        return
    places = st.integers(0, len(expected) - 1)
    rows = np.array(data.draw(st.lists(places, min_size=1, max_size=12)), np.int64)
    part = Subset(JoinedArray(subsets), np.zeros(len(rows), np.int32), rows)
    assert np.array_equal(part.read(slice(None)), expected[rows])
    assert np.array_equal(part.whole(), expected[rows])
    assert np.array_equal(np.concatenate(list(part.blocks())), expected[rows])
    mean, variance = subset_moments(part)
    assert np.allclose(mean, expected[rows].mean(axis=0))
    assert np.allclose(variance, expected[rows].var(axis=0))


def test_rows_beyond_it():
    array = JoinedArray([subset([3, 4]), subset(None, 2)])
    with pytest.raises(IndexError, match="rows 4 to 4 of an array of 4 rows"):
        array[4]


def test_another_machines_byte_order():
    stored = STORED.astype(">i2")
    array = JoinedArray([Subset(stored, np.zeros(20, np.int32))] * 2)
    assert array[:].dtype.isnative
    assert np.array_equal(array[18:22], STORED[[18, 19, 0, 1]])


def test_shards_of_several_subsets(digits, tmp_path):
    folder = run(Options(digits, tmp_path / "digits.shards", shard_size=100))
    one, many = (list(open_dataset(path).subsets.values()) for path in (digits, folder))
    rows = np.random.default_rng(0).permutation(sum(map(len, one)))[:300]
    assert np.array_equal(JoinedArray(many)[rows], joined_by_numpy(one)[rows])


def test_pictures_one_subset_after_another(make_dataset):
    path, arrays = make_dataset()
    dataset = open_dataset(path).keep_labels(["ape", "cat"])
    whole = joined(list(dataset.subsets.values()))
    expected = [instances[labels != 1] for instances, labels in arrays.values()]
    assert np.array_equal(whole.read(slice(None)), np.concatenate(expected))
    labels = np.concatenate([labels[labels != 1] for _, labels in arrays.values()])
    assert np.array_equal(whole.labels, labels // 2)


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
