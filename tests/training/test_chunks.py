import gc
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from datasets.dataset import Subset
from datasets.patches import patch_starts
from training import transfer
from training.chunks import ChunkStream
from training.clock import Clock

CPU = torch.device("cpu")
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    ),
]


class Stored:
    """Instances in no memory, as shards are; reading one may be slow, or fail."""

    def __init__(self, instances: np.ndarray, slow: range = range(0), bad: int = -1) -> None:
        self._instances, self._slow, self._bad = instances, slow, bad
        self.shape, self.dtype, self.nbytes = instances.shape, instances.dtype, instances.nbytes
        self.read: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._instances)

    def copy_rows(self, rows, target):
        time.sleep(0.1 * len(set(self._slow) & set(rows)))
        if self._bad in rows:
            raise OSError("the disk is broken")
        self.read.append(np.asarray(rows))
        target[:] = self._instances[rows]


def subset(count: int, rows: np.ndarray | None = None, stored=lambda values: values) -> Subset:
    instances = np.arange(3 * 50, dtype=np.uint8).reshape(50, 3)
    if rows is not None:
        return Subset(stored(instances), rows.astype(np.int32), rows)
    return Subset(stored(instances[:count]), np.arange(count, dtype=np.int32))


def share(rank: int, size: int):
    return lambda count: slice(count * rank // size, count * (rank + 1) // size)


def chunk_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("chunk", "rows"))]


@pytest.mark.parametrize("stored", [lambda values: values, Stored])
@given(
    count=st.integers(1, 50),
    batch_size=st.integers(1, 60),
    chunk_size=st.integers(0, 60),
    ranks=st.integers(1, 4),
    shuffled=st.booleans(),
)
def test_every_instance_comes_once_in_the_order_asked_for(
    stored, count, batch_size, chunk_size, ranks, shuffled
):
    order = np.random.default_rng(0).permutation(count) if shuffled else np.arange(count)
    data = subset(count, stored=stored)
    streams = [
        ChunkStream(data, chunk_size, CPU, share(rank, ranks)).batches(order, batch_size)
        for rank in range(ranks)
    ]
    instances = data.read(slice(None))
    per_chunk = count if not 0 < chunk_size < count else max(1, chunk_size // batch_size)
    number = -(-count // batch_size)
    for index, parts in enumerate(zip(*streams, strict=True)):
        wanted = order[index * batch_size :][:batch_size]
        assert np.array_equal(torch.cat([part.labels for part in parts]), wanted)
        assert np.array_equal(torch.cat([part.instances for part in parts]), instances[wanted])
        for rank, part in enumerate(parts):
            assert part.size == len(wanted)
            assert part.rows == share(rank, ranks)(len(wanted))
            assert len(part.instances) == len(part.labels) == part.rows.stop - part.rows.start
            assert part.index == index
            assert part.chunk == index // per_chunk
            assert part.first_of_chunk == (index % per_chunk == 0)
        number -= 1
    assert number == 0


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chunk_size", [1, 7, 10, 24, 49])
def test_the_size_of_chunks_changes_no_batch(chunk_size, device):
    order = np.random.default_rng(3).permutation(50)
    whole = list(ChunkStream(subset(50), 0, CPU).batches(order, 5))
    parts = list(ChunkStream(subset(50), chunk_size, torch.device(device)).batches(order, 5))
    for one, other in zip(whole, parts, strict=True):
        assert torch.equal(one.instances, other.instances.cpu())
        assert torch.equal(one.labels, other.labels.cpu())
        assert other.instances.device.type == device


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chunk_size", [0, 4])
@pytest.mark.parametrize("stored", [lambda values: values, Stored])
def test_only_the_rows_in_use_come(chunk_size, device, stored):
    rows = np.array([40, 7, 7, 12, 49, 0])
    data = subset(50, rows, stored)
    batches = ChunkStream(data, chunk_size, torch.device(device)).batches(np.arange(6), 2)
    got = torch.cat([batch.instances for batch in batches]).cpu().numpy()
    assert np.array_equal(got, subset(50).instances[rows])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chunk_size", [0, 4, 10])
def test_an_epoch_is_taken_up_in_the_middle(chunk_size, device):
    order = np.random.default_rng(3).permutation(50)
    stream = ChunkStream(subset(50), chunk_size, torch.device(device))
    every = list(stream.batches(order, 4))
    for first in range(len(every) + 2):
        rest = list(stream.batches(order, 4, first))
        assert [batch.index for batch in rest] == list(range(first, len(every)))
        for one, other in zip(every[first:], rest, strict=True):
            assert torch.equal(one.instances, other.instances)
            assert (one.chunk, one.first_of_chunk) == (other.chunk, other.first_of_chunk)


def test_a_process_reads_its_own_rows_in_the_files_order():
    data = subset(50, stored=Stored)
    order = np.random.default_rng(3).permutation(50)
    list(ChunkStream(data, 20, CPU, share(1, 3)).batches(order, 10, first=1))
    own = [[order[start + 3 : start + 6] for start in starts] for starts in ([10], [20, 30], [40])]
    expected = [np.sort(np.concatenate(chunk)) for chunk in own]
    assert all(map(np.array_equal, data.instances.read, expected))
    assert len(data.instances.read) == 3


@pytest.mark.parametrize("device", DEVICES)
def test_chunks_larger_than_what_is_read_at_once(device, monkeypatch):
    monkeypatch.setattr(transfer, "BLOCK_BYTES", 7)
    monkeypatch.setattr(transfer, "PINNED_BYTES", 10)
    order = np.random.default_rng(3).permutation(50)
    for chunk_size in (0, 25):
        stream = ChunkStream(subset(50), chunk_size, torch.device(device))
        for _ in range(2):
            batches = list(stream.batches(order, 5))
            got = torch.cat([batch.instances for batch in batches]).cpu().numpy()
            assert np.array_equal(got, subset(50).instances[order])


def test_an_unreadable_chunk_raises_where_it_is_used():
    stream = ChunkStream(subset(10), 4, CPU)
    with pytest.raises(IndexError):
        list(stream.batches(np.arange(20), 2))
    with pytest.raises(IndexError):
        list(ChunkStream(subset(10), 0, CPU).batches(np.arange(20), 20))


@pytest.mark.parametrize("device", DEVICES)
def test_an_error_in_a_thread_comes_out_at_its_chunk(device):
    data = subset(50, stored=lambda values: Stored(values, bad=25))
    batches = ChunkStream(data, 10, torch.device(device)).batches(np.arange(50), 5)
    assert [next(batches).index for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OSError, match="the disk is broken"):
        next(batches)
    assert chunk_threads() == []


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", ["close", "break", "raise", "never begun", "read to the end"])
def test_no_thread_is_left_behind(way, device):
    stream = ChunkStream(subset(50, stored=Stored), 10, torch.device(device))
    batches = stream.batches(np.arange(50), 5)
    if way == "close":
        next(batches)
        batches.close()
    elif way == "break":
        for _ in batches:
            break
    elif way == "raise":
        with pytest.raises(ZeroDivisionError):
            for _ in batches:
                raise ZeroDivisionError
    elif way == "read to the end":
        list(batches)
    del batches
    gc.collect()
    assert chunk_threads() == []


def test_ending_early_does_not_wait_for_all_of_a_chunk(monkeypatch):
    monkeypatch.setattr(transfer, "BLOCK_BYTES", 3)  # a row at once
    data = subset(50, stored=lambda values: Stored(values, slow=range(25, 50)))
    batches = ChunkStream(data, 25, CPU).batches(np.arange(50), 1)
    next(batches)
    batches.close()
    assert 25 <= len(data.instances.read) < 40


def test_a_resident_subset_is_the_file_itself():
    data = subset(50)
    first, second = ChunkStream(data, 0, CPU).batches(np.arange(50), 30)
    assert first.instances.data_ptr() == data.instances.ctypes.data
    assert second.instances.data_ptr() == data.instances[30:].ctypes.data


def test_batches_stay_as_they_are_when_the_next_chunks_come():
    batches = list(ChunkStream(subset(50), 6, CPU).batches(np.arange(50), 3))
    assert len({batch.instances.untyped_storage().data_ptr() for batch in batches}) == len(batches)


def test_resident_instances_that_are_in_no_memory_are_not_put_there():
    data = subset(50, stored=Stored)
    list(ChunkStream(data, 0, CPU).batches(np.arange(50), 5))
    assert [len(rows) for rows in data.instances.read] == 10 * [5]


@pytest.mark.parametrize("dtype", [">f4", ">i2"])
@pytest.mark.parametrize("chunk_size", [0, 4])
def test_another_machines_byte_order(dtype, chunk_size):
    values = np.arange(30).reshape(10, 3)
    data = Subset(values.astype(dtype), np.arange(10, dtype=np.int32))
    batches = ChunkStream(data, chunk_size, CPU).batches(np.arange(10), 2)
    assert np.array_equal(torch.cat([batch.instances for batch in batches]), values)


def test_the_next_chunk_is_read_while_this_one_is_used():
    data = subset(50, stored=Stored)
    for batch in ChunkStream(data, 10, CPU).batches(np.arange(50), 10):
        deadline = time.monotonic() + 10
        while len(data.instances.read) < min(batch.chunk + 2, 5):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert len(data.instances.read) <= batch.chunk + 2, "no more than two chunks are held"


@pytest.mark.parametrize("device", DEVICES)
def test_a_clock_counts_how_long_instances_were_waited_for(device):
    clock = Clock()
    data = subset(50, stored=lambda values: Stored(values, slow=range(2)))
    list(ChunkStream(data, 10, torch.device(device), clock=clock).batches(np.arange(50), 10))
    assert 0.2 <= clock.waiting < 20
    assert (clock.copying > 0) == (device == "cuda")


LENGTHS = [9, 5, 30, 4, 12]


def patches(frames: int = 5, hop: int = 2, *, chosen: range = range(5), bands: int = 3) -> Subset:
    """Patches of spectrograms that lie in one array; see `datasets.patches`."""
    stored = np.random.default_rng(1).random((sum(LENGTHS), bands), np.float32)
    starts, of = patch_starts(np.cumsum([0, *LENGTHS]), frames, hop)
    rows = np.flatnonzero(np.isin(of, chosen))
    windows = sliding_window_view(stored, frames, axis=0)[:, np.newaxis]
    return Subset(windows, rows.astype(np.int32), starts[rows], of[rows].astype(np.int32))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chunk_size", [0, 7])
@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("hop", [1, 5])
def test_patches_come_with_the_numbers_of_their_recordings(chunk_size, device, ranks, hop):
    data = patches(hop=hop)
    instances = data.read(slice(None))
    order = np.random.default_rng(3).permutation(len(data))
    streams = [
        ChunkStream(data, chunk_size, torch.device(device), share(rank, ranks)).batches(order, 4)
        for rank in range(ranks)
    ]
    for parts in zip(*streams, strict=True):
        wanted = order[parts[0].index * 4 :][:4]
        for name, expected in (
            ("instances", instances),
            ("labels", data.labels),
            ("recordings", data.recordings),
        ):
            found = torch.cat([getattr(part, name) for part in parts]).cpu().numpy()
            assert np.array_equal(found, expected[wanted])
        assert all(part.recordings.dtype == torch.int64 for part in parts)
        assert all(part.instances.is_contiguous() for part in parts)


def test_pictures_have_no_recordings():
    for chunk_size in (0, 10):
        batches = ChunkStream(subset(50), chunk_size, CPU).batches(np.arange(50), 10)
        assert [batch.recordings for batch in batches] == 5 * [None]


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (patches(hop=1), sum(LENGTHS) * 3),  # the frames, all of them
        (patches(hop=2), sum(LENGTHS) * 3),
        (patches(frames=1, hop=1), sum(LENGTHS) * 3),
        (patches(hop=1, bands=1), sum(LENGTHS)),
        (patches(hop=5), 10 * 15),  # less than that: patches that don't overlap
        (patches(hop=1, chosen=range(1)), 5 * 15),
        (patches(frames=30, hop=30), 30 * 3),
        (subset(50, np.arange(3, 40)), 37 * 3),
        (subset(50), 50 * 3),
    ],
)
def test_on_a_device_overlapping_patches_take_no_more_than_their_frames(data, number):
    """What is done on a GPU, here on the CPU."""
    stream = ChunkStream(data, 0, CPU)
    order = np.random.default_rng(3).permutation(len(data))
    for _ in range(2):
        instances, places = stream._resident_instances()
        taken, labels, _ = stream._chunk(instances, places[order], order).take(slice(2, 9))
        assert np.array_equal(taken, data.read(order[2:9]))
        assert np.array_equal(labels, data.labels[order[2:9]])
        assert taken.is_contiguous()
        assert len(instances.untyped_storage()) == number * data.instances.itemsize
    assert stream._resident_instances()[0].data_ptr() == instances.data_ptr()


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chunk_size", [0, 10])
def test_evaluation_and_training_may_share_a_stream(inference, device, chunk_size):
    stream = ChunkStream(subset(50), chunk_size, torch.device(device))
    with torch.inference_mode(inference):
        list(stream.batches(np.arange(50), 5))
    weights = torch.ones(3, 1, device=device, requires_grad=True)
    for batch in stream.batches(np.arange(50), 5):
        (batch.instances.float() @ weights).sum().backward()
    assert weights.grad.cpu().flatten().tolist() == subset(50).instances.sum(0).tolist()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("chunk_size", [0, 4000])
def test_a_gpu_under_load_gets_the_right_instances(chunk_size):
    """Long work between batches lets the copies of later chunks run ahead of it."""
    count, gpu = 20_000, torch.device("cuda")
    values = np.random.default_rng(0).integers(0, 256, (count, 64, 64), dtype=np.uint8)
    clock = Clock()
    stream = ChunkStream(
        Subset(values, np.arange(count, dtype=np.int32)), chunk_size, gpu, clock=clock
    )
    busy, sums, labels = torch.rand(4096, 4096, device=gpu), [], []
    for epoch in range(2):
        order = np.random.default_rng(epoch).permutation(count)
        for batch in stream.batches(order, 500):
            busy = (busy @ busy).clamp(0, 1)
            sums.append(batch.instances.sum(dim=(1, 2)))
            labels.append(batch.labels)
    sums, labels = torch.cat(sums).cpu().numpy(), torch.cat(labels).cpu().numpy()
    assert np.array_equal(sums, values.sum(axis=(1, 2))[labels])
    assert clock.copying > 0
