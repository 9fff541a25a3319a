"""The order in which an epoch goes through the instances, and the chunks that they are read in."""

from __future__ import annotations

import math
import zlib

import numpy as np

from datasets.dataset import Dataset, Subset
from datasets.patches import PatchDataset

RUN_BYTES = 2**20  # what is read at once where instances are too many to be shuffled one by one
MEMORY_PART = 0.5  # of the free memory that a file may take to be read in any order


def chunk_instances(chunk_size: int, batch_size: int, count: int) -> int:
    """Returns how many instances a chunk has: as many whole batches as fit, and at least one.

    Parameters
    ----------
    chunk_size : int
        Instances, over all devices; 0 means all `count` of them.
    batch_size : int
        Instances of a batch, over all devices.
    """
    if not chunk_size or chunk_size >= count:
        return max(1, count)
    return max(1, chunk_size // batch_size) * batch_size


def run_length(subset: Subset, chunk_size: int, memory: int) -> int:
    """Chooses how many neighbouring instances an epoch's order keeps together within a chunk.

    The order follows from it, so it is to be chosen once for a training, and recorded.

    Parameters
    ----------
    memory : int
        Bytes that are available, see `common.host.memory`.

    Returns
    -------
    int
        1, for an order of instances one by one, where all are in one chunk or fit in half of the
        memory, which keeps what was read from the file; else as many as make 1 MiB.
    """
    row_bytes = math.prod(subset.instances.shape[1:]) * subset.instances.dtype.itemsize
    one_chunk = not chunk_size or chunk_size >= len(subset)
    if one_chunk or row_bytes * len(subset) <= MEMORY_PART * memory:
        return 1
    return max(1, -(-RUN_BYTES // max(1, row_bytes)))


def fingerprint(dataset: Dataset, subset: str = "training") -> dict[str, int]:
    """Returns what a subset is known again by: how many instances it has, and checksums.

    These are of the labels and, where instances are patches, of the recordings' names.
    """
    part = dataset.subset(subset)
    known = {"instances": len(part), "labels": zlib.crc32(part.labels.tobytes())}
    if isinstance(dataset, PatchDataset) and part.recordings is not None:
        names = [dataset.source.names[number] for number in np.unique(part.recordings)]
        known["recordings"] = zlib.crc32("\n".join(names).encode(errors="surrogateescape"))
    return known


def epoch_order(count: int, rng: np.random.Generator, run: int = 1, chunk: int = 0) -> np.ndarray:
    """Returns the numbers 0 to `count` - 1 in a random order, int64.

    Where `run` is 1 every order is as likely as any other. Else the numbers are cut into runs of
    that length, at other places for every order; the runs are shuffled, and then the numbers
    within every `chunk` of what has come of that. A chunk is so read in long runs that come from
    everywhere.

    Parameters
    ----------
    run : int
        See `run_length`.
    chunk : int
        See `chunk_instances`; without effect where `run` is 1.
    """
    if run == 1:
        return rng.permutation(count)
    edges = np.arange(-int(rng.integers(run)), count + run, run).clip(0, count)
    starts, lengths = edges[:-1], np.diff(edges)
    shuffled = rng.permutation(len(starts))
    starts, lengths = starts[shuffled], lengths[shuffled]
    first_places = np.cumsum(lengths) - lengths
    order = np.repeat(starts - first_places, lengths) + np.arange(count)
    chunk = chunk or max(1, count)
    for start in range(0, count, chunk):
        rng.shuffle(order[start : start + chunk])
    return order
