"""Writes a copy of a dataset of pictures, stretched to another size.

OUT_PATH decides, as for convert_dataset: NAME.pkl.zip is written as one file, any other name as a
folder of shards. Only a dataset is replaced, be it IN_PATH itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from common.options import to_plain

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of resize_rgb_dataset."""

    in_path: Annotated[Path, Positional, arg(metavar="IN_PATH")]
    """Dataset to read, a file or a folder."""

    out_path: Annotated[Path, Positional, arg(metavar="OUT_PATH")]
    """File NAME.pkl.zip, or folder, to write."""

    x_size: int
    """New width in pixels."""

    y_size: int
    """New height in pixels."""

    shard_size: int | None = None
    """Pictures in a shard of a folder; unless given, as many as have 256 MB."""


def run(options: Options) -> Path:
    """Writes the copy and returns its path."""
    from datasets.container import open_dataset
    from datasets.resize import resize_dataset

    dataset = open_dataset(options.in_path)
    origin = dict(dataset.created_by)
    created_by: dict[str, Any] = {"command": "resize_rgb_dataset", "options": to_plain(options)}
    if pictures := origin.pop("pictures", None):
        created_by["pictures"] = pictures  # their sizes before any resizing
    created_by["from"] = origin
    size = options.y_size, options.x_size
    written = resize_dataset(dataset, options.out_path, size, created_by, options.shard_size)
    total = sum(map(len, dataset.subsets.values()))
    print(
        f"Wrote {options.out_path}: {total:,} pictures of {options.x_size}x{options.y_size} "
        f"pixels {written}."
    )
    return options.out_path
