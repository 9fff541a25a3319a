"""What the pictures of a dataset look like: grey or in colour, more than once, on average."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from common.progress import progress
from datasets.dataset import Dataset, Subset, rows_per_block
from datasets.duplicates import DISTANCE, THUMBNAIL, find_groups, fingerprints, thumbnail
from datasets.workers import num_cores


@dataclass(frozen=True)
class Looks:
    """Of all pictures of a dataset.

    Parameters
    ----------
    num_pictures, num_grey : int
        All, and those without colour.
    num_groups, num_in_groups : int
        Groups of the same or nearly the same picture (`datasets.duplicates`), pictures in them.
    num_across_labels, num_leaking : int
        Groups with more than one label, and groups in more than one subset.
    """

    num_pictures: int
    num_grey: int
    num_groups: int
    num_in_groups: int
    num_across_labels: int
    num_leaking: int


def look(dataset: Dataset) -> Looks:
    """Looks at every picture of every subset once; a dataset of known `picture_shape`."""
    count = sum(map(len, dataset.subsets.values()))
    labels = np.concatenate([subset.labels for subset in dataset.subsets.values()])
    sizes = [len(subset) for subset in dataset.subsets.values()]
    subsets = np.repeat(np.arange(len(sizes)), sizes)
    with tempfile.TemporaryFile() as file:
        file.truncate(count * int(np.prod(THUMBNAIL)))
        thumbnails = np.ndarray((count, *THUMBNAIL), np.uint8, mmap.mmap(file.fileno(), 0))
        digests = np.zeros((count, 2), np.uint64)
        _reduce_all(dataset, thumbnails, digests)
        prints = fingerprints(thumbnails)
        groups = find_groups(prints, digests, DISTANCE, np.arange(count))
    return Looks(
        count,
        int(prints.grey.sum()),
        len(groups),
        sum(map(len, groups)),
        sum(len(set(labels[group])) > 1 for group in groups),
        sum(len(set(subsets[group])) > 1 for group in groups),
    )


def _reduce_all(dataset: Dataset, thumbnails: np.ndarray, digests: np.ndarray) -> None:
    workers = num_cores()
    with (
        ThreadPoolExecutor(workers) as pool,
        progress("Looking at the pictures", len(digests), "pictures") as advance,
    ):

        def reduce(block: np.ndarray, start: int) -> None:
            for row, (stored, picture) in enumerate(
                zip(block, as_rgb(dataset, block), strict=True), start=start
            ):
                content = np.ascontiguousarray(stored).data
                digest = hashlib.blake2b(content, digest_size=16).digest()
                digests[row] = np.frombuffer(digest, np.uint64)
                thumbnails[row] = thumbnail(Image.fromarray(picture))

        done = 0
        for subset in dataset.subsets.values():
            for block in subset.blocks():
                parts = np.array_split(np.arange(len(block)), workers)
                jobs = [
                    pool.submit(reduce, block[part[0] : part[-1] + 1], done + int(part[0]))
                    for part in parts
                    if len(part)
                ]
                for job in jobs:
                    job.result()
                done += len(block)
                advance(len(block))


def as_rgb(dataset: Dataset, instances: np.ndarray) -> np.ndarray:
    """Returns instances of a dataset of known `picture_shape` as a person sees them.

    Returns
    -------
    np.ndarray of shape (n, height, width, 3), uint8
    """
    assert dataset.picture_shape is not None
    height, width, channels = dataset.picture_shape
    if dataset.layout == "nchw":
        instances = instances.transpose(0, 2, 3, 1)
    pictures = instances.reshape(len(instances), height, width, channels)
    if pictures.dtype != np.uint8 or dataset.scale != 255:
        levels = np.clip(pictures.astype(np.float64) * (255 / dataset.scale), 0, 255)
        pictures = np.rint(levels).astype(np.uint8)
    pictures = pictures if channels == 3 else pictures[..., :1].repeat(3, axis=3)
    return np.ascontiguousarray(pictures)


def mean_picture(dataset: Dataset, label: int) -> np.ndarray | None:
    """Returns the mean of a label's training pictures, or None where it has none.

    Returns
    -------
    np.ndarray of shape (height, width, 3), float64
        RGB, 0 to 255.
    """
    training: Subset = dataset.subsets["training"]
    positions = np.flatnonzero(training.labels == label)
    if not len(positions):
        return None
    total: np.ndarray | float = 0.0
    step = rows_per_block(training.instances)
    for start in range(0, len(positions), step):
        block = training.read(positions[start : start + step])
        total = total + as_rgb(dataset, block).sum(axis=0, dtype=np.int64)
    return np.asarray(total) / len(positions)
