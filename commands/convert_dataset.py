"""Converts a dataset between one file and a folder of shards.

OUT_PATH decides: NAME.pkl.zip is written as one file, any other name as a folder of shards, for
what is too big for one file. Every command that takes a dataset takes both. A conversion to a
folder that was broken off goes on where it stopped when it is run again.
"""

from __future__ import annotations

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
    from datasets.convert import write_file, write_shards

    source, out = options.in_path, options.out_path
    to_file = out.suffix == ".zip"
    if to_file and options.shard_size is not None:
        raise CommandError(
            f"--shard-size makes a folder of shards, but {out} is the name of a file; leave one "
            "of them out."
        )
    dataset = open_dataset(source)
    if source.resolve() == out.resolve():
        raise CommandError(f"{out} is the dataset that is read; give another name to write.")
    total = sum(map(len, dataset.subsets.values()))
    if to_file:
        write_file(dataset, out)
        print(f"Wrote {out}: {total:,} instances in one file.")
        return out
    written_by = {"command": "convert_dataset", "shard_size": options.shard_size}
    written = write_shards(dataset, out, options.shard_size, written_by)
    if written.found:
        print(f"Already there: {written.found:,} of {written.shards:,} shards.")
    print(
        f"Wrote {out}: {total:,} instances in {written.shards:,} shards of up to "
        f"{written.shard_size:,}."
    )
    return out
