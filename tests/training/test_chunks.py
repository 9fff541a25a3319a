import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datasets.dataset import Subset
from training.chunks import ChunkStream

CPU = torch.device("cpu")


def subset(count: int, rows: np.ndarray | None = None) -> Subset:
    instances = np.arange(3 * 50, dtype=np.uint8).reshape(50, 3)
    rows_used = np.arange(count) if rows is None else rows
    return Subset(
        instances[:count] if rows is None else instances, rows_used.astype(np.int32), rows
    )


@given(
    count=st.integers(1, 50),
    batch_size=st.integers(1, 60),
    chunk_size=st.integers(0, 60),
    seed=st.integers(0, 5),
)
def test_every_instance_comes_once_in_the_order_asked_for(count, batch_size, chunk_size, seed):
    order = np.random.default_rng(seed).permutation(count)
    stream = ChunkStream(subset(count), chunk_size, CPU)
    batches = list(stream.batches(order, batch_size))
    assert torch.equal(torch.cat([batch.labels for batch in batches]), torch.from_numpy(order))
    instances = torch.cat([batch.instances for batch in batches]).numpy()
    assert np.array_equal(instances, subset(count).instances[order])
    assert all(1 <= len(batch.labels) <= batch_size for batch in batches)
    chunk = min(chunk_size or count, count)
    sizes = [min(batch_size, chunk - start) for start in range(0, chunk, batch_size)]
    assert [len(batch.labels) for batch in batches][: len(sizes)] == sizes


def test_chunked_batches_equal_resident_ones_where_the_chunk_is_a_multiple():
    order = np.random.default_rng(3).permutation(50)
    whole = list(ChunkStream(subset(50), 0, CPU).batches(order, 5))
    parts = list(ChunkStream(subset(50), 15, CPU).batches(order, 5))
    for one, other in zip(whole, parts, strict=True):
        assert torch.equal(one.instances, other.instances)
        assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("chunk_size", [0, 4])
def test_only_the_rows_in_use_come(chunk_size):
    rows = np.array([40, 7, 7, 12, 49, 0])
    order = np.arange(6)
    stream = ChunkStream(subset(50, rows), chunk_size, CPU)
    batches = list(stream.batches(order, 2))
    got = torch.cat([batch.instances for batch in batches]).numpy()
    assert np.array_equal(got, subset(50).instances[rows])


def test_an_unreadable_chunk_raises_where_it_is_used():
    stream = ChunkStream(subset(10), 4, CPU)
    with pytest.raises(IndexError):
        list(stream.batches(np.arange(20), 2))


def test_a_resident_subset_is_not_copied():
    data = subset(50)
    stream = ChunkStream(data, 0, CPU)
    list(stream.batches(np.arange(50), 50))
    tensor, _ = stream._whole()
    assert tensor.data_ptr() == data.instances.ctypes.data
