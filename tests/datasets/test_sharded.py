import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import CommandError
from datasets import dataset as dataset_module
from datasets import sharded
from datasets.dataset import Subset
from datasets.sharded import Shard, ShardedArray

SLICES = st.builds(
    slice,
    st.none() | st.integers(-25, 25),
    st.none() | st.integers(-25, 25),
    st.none() | st.integers(-3, 3).filter(bool),
)


def stored(folder, array, sizes):
    """The array over files that numpy itself has written."""
    shards, row = [], 0
    for number, size in enumerate(sizes):
        path = folder / f"{number}.npy"
        np.save(path, array[row : row + size])
        row += size
        start = path.stat().st_size - array[:size].nbytes
        shards.append(Shard(path, size, start))
    assert row == len(array)
    return ShardedArray(shards, array.shape[1:], array.dtype)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_indexing_equals_numpys(data, tmp_path_factory):
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    count = sum(sizes)
    dtype = data.draw(st.sampled_from(["u1", "<f4", ">f8", "<i8"]))
    shape = data.draw(st.sampled_from([(3,), (2, 2, 1)]))
    array = np.arange(count * int(np.prod(shape))).reshape(count, *shape).astype(dtype)
    positions = st.lists(st.integers(-count, count - 1), max_size=30)
    masks = st.lists(st.booleans(), min_size=count, max_size=count)
    key = data.draw(
        SLICES
        | st.integers(-count, count - 1)
        | positions.map(lambda rows: np.array(rows, np.int64))
        | positions.map(lambda rows: np.array(sorted(rows), np.int64))
        | masks.map(np.array)
    )
    many = stored(tmp_path_factory.mktemp("any"), array, sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharded, "MAX_OPEN", data.draw(st.integers(1, 4)))
        patch.setattr(sharded, "KEPT_MAPPED", data.draw(st.sampled_from([0, 2**26])))
        patch.setattr(sharded, "READ_BYTES", data.draw(st.sampled_from([1, 20, 2**20])))
        patch.setattr(sharded, "ADVISED_BYTES", data.draw(st.sampled_from([1, 2**20])))
        patch.setattr(sharded, "BUFFER_BYTES", data.draw(st.sampled_from([1, 50, 2**20])))
        patch.setattr(dataset_module, "BLOCK_BYTES", data.draw(st.sampled_from([1, 50, 2**24])))
        read = many[key]
        np.testing.assert_array_equal(read, array[key])
        assert read.dtype.isnative
        if not isinstance(key, int):
            subset = Subset(many, np.zeros(count, np.int32))
            np.testing.assert_array_equal(subset.read(key), array[key])
            np.testing.assert_array_equal(np.concatenate(list(subset.blocks())), array)
            np.testing.assert_array_equal(subset.whole(), array)
            rows = np.random.default_rng(0).permutation(count)
            chosen = Subset(many, np.zeros(count, np.int32), rows)
            np.testing.assert_array_equal(chosen.read(key), array[rows][key])


def test_it_says_what_an_array_says(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(6, 2, 2)
    many = stored(tmp_path, array, [4, 2])
    assert (many.shape, many.ndim, many.dtype) == (array.shape, array.ndim, array.dtype)
    assert (len(many), many.nbytes) == (len(array), array.nbytes)
    np.testing.assert_array_equal(np.asarray(many), array)
    assert np.asarray(many, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="can only be copied"):
        np.asarray(many, copy=False)
    for beyond in (6, -7, np.array([0, 6]), np.array([-7])):
        with pytest.raises(IndexError):
            many[beyond]
    with pytest.raises(IndexError):
        many[np.array([0.5])]
    empty = ShardedArray([], (2, 2), array.dtype)
    assert empty.shape == (0, 2, 2)
    assert empty[:].shape == empty[np.array([], np.int64)].shape == (0, 2, 2)


def test_what_is_read_is_the_callers_own(tmp_path):
    array = np.zeros((6, 2), np.uint8)
    many = stored(tmp_path, array, [3, 3])
    many[2:5][:] = 1
    np.testing.assert_array_equal(many[:], array)


def test_only_so_many_files_are_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sharded, "MAX_OPEN", 3)
    array = np.arange(40, dtype=np.uint8).reshape(20, 2)
    many = stored(tmp_path, array, [2] * 10)
    for _ in range(2):
        np.testing.assert_array_equal(many[np.arange(19, -1, -1)], array[::-1])
        assert len(many._open) == 3
        assert open_files(tmp_path) == 2 * 3
    del many
    assert open_files(tmp_path) == 0


def open_files(folder):
    """How many descriptors this process has of files in a folder."""
    own = Path("/proc/self/fd")
    return sum(os.path.realpath(own / name).startswith(str(folder)) for name in os.listdir(own))


def test_a_shard_that_shrinks_while_it_is_open_is_named(tmp_path):
    many = stored(tmp_path, np.ones((6, 10_000), np.uint8), [3, 3])
    assert many[:].sum() == 60_000
    os.truncate(tmp_path / "1.npy", 20_000)
    with pytest.raises(
        CommandError, match=r"1\.npy can't be read as a shard: it has become smaller"
    ):
        many[2:6]


@pytest.mark.parametrize("damage", ["missing", "smaller", "empty", "folder"])
def test_a_shard_that_goes_after_opening_is_named(tmp_path, damage):
    many = stored(tmp_path, np.ones((6, 50), np.uint8), [3, 3])
    victim = tmp_path / "1.npy"
    content = victim.read_bytes()
    victim.unlink()
    if damage == "folder":
        victim.mkdir()
    elif damage != "missing":
        victim.write_bytes(content[:200] if damage == "smaller" else b"")
    assert many[:3].sum() == 150
    with pytest.raises(CommandError, match=r"1\.npy can't be read as a shard: .*convert it anew"):
        many[2:4]
