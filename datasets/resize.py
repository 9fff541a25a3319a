"""Makes a copy of a dataset whose pictures have another size."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common.errors import CommandError
from datasets.convert import Change, Written, write
from datasets.dataset import Dataset
from datasets.pictures import RESAMPLING
from datasets.workers import num_cores


def resize_dataset(
    dataset: Dataset,
    out: Path,
    size: tuple[int, int],
    created_by: Mapping[str, Any] | None = None,
    shard_size: int | None = None,
) -> Written:
    """Writes a copy of `dataset` whose pictures are stretched to `size`; all else is kept.

    Pictures are read, resized in parallel and written a few megabytes at a time.

    Parameters
    ----------
    dataset : Dataset
        Of pictures, 'nhwc' or 'nchw', uint8 or floating-point (written as float32).
    out, shard_size
        The file or folder to write, see `datasets.convert.write`; may be the dataset's own.
    size : tuple of (height, width)
        In pixels.
    created_by : mapping, optional
        What the copy says it was made by.

    Raises
    ------
    CommandError
        Where the dataset is flat, its values are of another type, the size is not positive, or the
        copy can't be written.
    """
    _check(dataset, size)
    resize = partial(_resize, size=size, limit=dataset.scale, layout=dataset.layout)
    channels = dataset.instance_shape[0]
    shape = (*size, channels) if dataset.layout == "nhwc" else (channels, *size)
    is_uint8 = dataset.subsets["training"].instances.dtype == np.uint8
    dtype = np.dtype(np.uint8 if is_uint8 else np.float32)
    picture_shape = (*size, channels)
    copy = replace(dataset, picture_shape=picture_shape, created_by=created_by or {}, mean=None)
    with ThreadPoolExecutor(num_cores()) as pool:
        change = Change(shape, dtype, lambda block: np.stack(list(pool.map(resize, block))))
        return write(copy, out, shard_size=shard_size, change=change)


def _check(dataset: Dataset, size: tuple[int, int]) -> None:
    if min(size) < 1:
        raise CommandError(
            f"--x-size {size[1]} and --y-size {size[0]}: give numbers of pixels from 1."
        )
    if dataset.layout == "flat":
        raise CommandError(
            f"{dataset.path} holds flat instances of {dataset.instance_shape[0]:,} features, whose "
            "rows and columns can't be resized; give a dataset of pictures, such as the "
            ".rgb.pkl.zip that create_datasets wrote beside it."
        )
    dtype = dataset.subsets["training"].instances.dtype
    if dtype != np.uint8 and dtype.kind != "f":
        raise CommandError(
            f"{dataset.path} holds values of type {dtype}; only uint8 and floating-point pictures "
            "can be resized."
        )


def _resize(picture: np.ndarray, *, size: tuple[int, int], limit: float, layout: str) -> np.ndarray:
    axis = 2 if layout == "nhwc" else 0
    if picture.dtype != np.uint8:
        picture = picture.astype(np.float32)
    channels = [
        np.asarray(Image.fromarray(np.ascontiguousarray(channel)).resize(size[::-1], RESAMPLING))
        for channel in np.moveaxis(picture, axis, 0)
    ]
    resized = np.stack(channels, axis=axis)
    # A bicubic filter overshoots at edges; Pillow itself keeps uint8 within 0 and 255.
    return np.minimum(resized, np.uint8(limit)) if resized.dtype == np.uint8 else resized
