"""What the pictures of a dataset look like: grey or in colour, more than once, on average."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from common.progress import progress
from datasets.dataset import Dataset, rows_per_block
from datasets.duplicates import DISTANCE, THUMBNAIL, find_groups, fingerprints, thumbnail
from datasets.workers import num_cores

SUM_BYTES = 256 * 2**20  # of labels' sums that are in memory at a time


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
    """Returns instances of a dataset of known `picture_shape` as a person sees them; NaN is black.

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
        with np.errstate(over="ignore"):
            levels = np.nan_to_num(pictures.astype(np.float64) * (255 / dataset.scale))
        pictures = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    pictures = pictures if channels == 3 else pictures[..., :1].repeat(3, axis=3)
    return np.ascontiguousarray(pictures)


def label_means(dataset: Dataset, largest: tuple[int, int]) -> dict[int, np.ndarray]:
    """Returns the mean of every label's training pictures, by label; reads them once.

    Once for as many labels as fit in `SUM_BYTES`, that is.

    Parameters
    ----------
    dataset : Dataset
        Of known `picture_shape`.
    largest : tuple of (width, height)
        In pixels; means of larger pictures are reduced to it, without being rounded.

    Returns
    -------
    dict of int to np.ndarray of shape (height, width, 3), float64
        RGB, 0 to 255, for the labels that have training pictures.
    """
    assert dataset.picture_shape is not None
    shape = (*dataset.picture_shape[:2], 3)
    training = dataset.subsets["training"]
    step = max(1, SUM_BYTES // (8 * int(np.prod(shape))))
    means = {}
    with progress("Averaging the pictures", len(training), "pictures") as advance:
        for first in range(0, len(dataset.label_to_index), step):
            chosen = range(first, min(first + step, len(dataset.label_to_index)))
            sums, counts = _sums(dataset, chosen, advance)
            for label in np.flatnonzero(counts).tolist():
                means[first + label] = _reduced(sums[label] / counts[label], largest)
    return means


def _sums(
    dataset: Dataset, chosen: range, advance: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sums of the pictures of consecutive labels, and how many they are."""
    training = dataset.subsets["training"]
    labels = training.labels - chosen.start
    positions = np.flatnonzero((labels >= 0) & (labels < len(chosen)))
    counts = np.bincount(labels[positions], minlength=len(chosen))
    assert dataset.picture_shape is not None
    sums = np.zeros((len(chosen), *dataset.picture_shape[:2], 3), np.int64)
    step = rows_per_block(training.instances)
    for start in range(0, len(positions), step):
        block = positions[start : start + step]
        pictures, block_labels = as_rgb(dataset, training.read(block)), labels[block]
        for label in np.unique(block_labels):
            sums[label] += pictures[block_labels == label].sum(axis=0, dtype=np.int64)
        advance(len(block))
    return sums, counts


def _reduced(picture: np.ndarray, largest: tuple[int, int]) -> np.ndarray:
    height, width, _ = picture.shape
    size = (min(width, largest[0]), min(height, largest[1]))
    if size == (width, height):
        return picture
    channels = [
        np.asarray(Image.fromarray(channel.astype(np.float32)).resize(size, Image.Resampling.BOX))
        for channel in np.moveaxis(picture, 2, 0)
    ]
    return np.stack(channels, axis=2).astype(np.float64)
