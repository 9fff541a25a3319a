"""Converts a dataset between one file and a folder of shards.

OUT_PATH decides: NAME.pkl.zip is written as one file, any other name as a folder of shards, for
what is too big for one file. Every command that takes a dataset takes both. A dataset that has the
name is replaced, anything else is left alone. A conversion to a folder that was broken off goes on
where it stopped when it is run again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of convert_dataset."""

    in_path: Annotated[Path, Positional, arg(metavar="IN_PATH")]
    """Dataset to read, a file or a folder."""

    out_path: Annotated[Path, Positional, arg(metavar="OUT_PATH")]
    """File NAME.pkl.zip, or folder, to write."""

    shard_size: int | None = None
    """Instances in a shard of a folder; unless given, as many as have 256 MB."""


def run(options: Options) -> Path:
    """Writes the dataset and returns its path."""
    from common.errors import CommandError
    from datasets.container import open_dataset
    from datasets.convert import write

    source, out = options.in_path, options.out_path
    dataset = open_dataset(source)
    with suppress(OSError):
        if source.samefile(out):
            raise CommandError(f"{out} is the dataset that is read; give another name to write.")
    written_by = {"command": "convert_dataset", "shard_size": options.shard_size}
    written = write(dataset, out, shard_size=options.shard_size, written_by=written_by)
    print(f"Wrote {out}: {sum(map(len, dataset.subsets.values())):,} instances {written}.")
    return out
