import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.dataset import Subset
from training.order import RUN_BYTES, chunk_instances, epoch_order, run_length


def subset(count: int, row_bytes: int) -> Subset:
    instances = np.broadcast_to(np.zeros(1, np.uint8), (count, row_bytes))
    return Subset(instances, np.zeros(count, np.int32))


@given(
    count=st.integers(0, 200),
    run=st.integers(1, 30),
    chunk=st.integers(0, 250),
    seed=st.integers(0, 5),
)
def test_an_order_has_every_instance_once_and_follows_its_generator(count, run, chunk, seed):
    first, again = (epoch_order(count, np.random.default_rng(seed), run, chunk) for _ in range(2))
    assert first.dtype == np.int64
    assert np.array_equal(np.sort(first), np.arange(count))
    assert np.array_equal(first, again)


@given(run=st.integers(2, 20), runs=st.integers(3, 20), seed=st.integers(0, 5))
def test_a_chunk_is_made_of_whole_runs(run, runs, seed):
    count, chunk = 1000, run * runs
    shuffled = epoch_order(count, np.random.default_rng(seed), run, chunk)
    for start in range(0, count, chunk):
        rows = np.sort(shuffled[start : start + chunk])
        pieces = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
        cut = [piece for piece in pieces if len(piece) < run]
        assert len(cut) <= 4, "only at the chunk's ends and at those of the subset"


def test_chunks_mix_the_whole_subset_and_their_instances():
    count, run, chunk = 10_000, 5, 1000
    shuffled = epoch_order(count, np.random.default_rng(0), run, chunk)
    for start in range(0, count, chunk):
        part = shuffled[start : start + chunk]
        assert abs(part.mean() - count / 2) < 0.1 * count
        assert np.corrcoef(part[1:], part[:-1])[0, 1] < 0.2
        assert np.mean(np.diff(part) == 1) < 0.02


def test_runs_are_cut_elsewhere_in_every_epoch():
    rng = np.random.default_rng(0)
    starts = [set(np.sort(epoch_order(1000, rng, 10, 10)[:10])) for _ in range(20)]
    assert len({min(rows) % 10 for rows in starts}) > 3


def test_a_run_of_one_is_a_plain_permutation():
    shuffled = epoch_order(100, np.random.default_rng(3), 1, 20)
    assert np.array_equal(shuffled, np.random.default_rng(3).permutation(100))


@pytest.mark.parametrize(
    ("chunk_size", "batch_size", "count", "expected"),
    [(0, 10, 95, 95), (95, 10, 95, 95), (50, 10, 95, 50), (59, 10, 95, 50), (5, 10, 95, 10)],
)
def test_a_chunk_has_whole_batches(chunk_size, batch_size, count, expected):
    assert chunk_instances(chunk_size, batch_size, count) == expected


@pytest.mark.parametrize(
    ("chunk_size", "memory", "expected"),
    [
        (0, 0, 1),
        (1000, 0, 1),
        (100, 2 * 1000 * 200_000, 1),
        (100, 2 * 1000 * 200_000 - 1, -(-RUN_BYTES // 200_000)),
    ],
)
def test_instances_are_kept_together_only_where_they_are_too_many(chunk_size, memory, expected):
    assert run_length(subset(1000, 200_000), chunk_size, memory) == expected


def test_a_large_instance_is_a_run_of_its_own():
    assert run_length(subset(10, 5 * RUN_BYTES), 2, 0) == 1
