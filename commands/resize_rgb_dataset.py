"""Writes a copy of a dataset of pictures, stretched to another size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from common.options import to_plain

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of resize_rgb_dataset."""

    in_file: Annotated[Path, Positional, arg(metavar="IN_FILE")]
    """Dataset to read."""

    out_file: Annotated[Path, Positional, arg(metavar="OUT_FILE")]
    """Dataset to write."""

    x_size: int
    """New width in pixels."""

    y_size: int
    """New height in pixels."""


def run(options: Options) -> Path:
    """Writes the copy and returns its path."""
    from datasets.container import open_dataset
    from datasets.resize import resize_dataset

    dataset = open_dataset(options.in_file)
    created_by = {"command": "resize_rgb_dataset", "options": to_plain(options)}
    created_by["from"] = dict(dataset.created_by)
    resize_dataset(dataset, options.out_file, (options.y_size, options.x_size), created_by)
    total = sum(map(len, dataset.subsets.values()))
    print(
        f"Wrote {options.out_file}: {total:,} pictures of {options.x_size}x{options.y_size} pixels."
    )
    return options.out_file
