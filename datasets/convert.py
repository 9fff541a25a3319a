"""Writes a dataset that is open as one file or as a folder of shards, whichever its name says."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError
from common.files import cannot_write, whole_file
from common.progress import progress
from datasets.checks import FORMAT
from datasets.container import Blocks, is_dataset_file, write_dataset
from datasets.damage import refuse_damaged
from datasets.dataset import Dataset, Subset, rows_per_block
from datasets.mean import subset_mean
from datasets.shard_folder import new_folder, remove_others
from datasets.sharded import Shard, ShardedArray, open_regular
from datasets.shards import (
    INDEX,
    LABEL_TYPE,
    MAX_SHARDS,
    MEAN,
    MEAN_TYPE,
    Index,
    ShardFile,
    header_of,
    write_index,
)
from datasets.unpickle import FormatError

SUFFIX = ".pkl.zip"
SHARD_BYTES = 256 * 2**20  # of a shard's instances, unless its size is given
PLAIN_NAME = re.compile(r"[a-z0-9_]{1,40}", re.ASCII)


@dataclass(frozen=True)
class Change:
    """What instances become on their way.

    Parameters
    ----------
    shape, dtype
        Of an instance that is written.
    of : callable
        Returns the instances to write, of that shape and type, of a block of those that are read.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    of: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Written:
    """What was made of a dataset; as text, "in one file" or the like.

    Parameters
    ----------
    shards : int
        The shards of all subsets; 0 where it is one file.
    found : int
        How many of them were already there, from a run that was broken off.
    shard_size : int
        The instances in a shard; each subset's last may have fewer.
    """

    shards: int = 0
    found: int = 0
    shard_size: int = 0

    def __str__(self) -> str:
        if not self.shards:
            return "in one file"
        there = f", {self.found:,} of which were there" if self.found else ""
        return f"in {self.shards:,} shards of up to {self.shard_size:,}{there}"


def write(
    dataset: Dataset,
    out: Path,
    *,
    shard_size: int | None = None,
    written_by: Mapping[str, Any] | None = None,
    change: Change | None = None,
) -> Written:
    """Writes a dataset as one file where `out` ends in .pkl.zip, else as a folder of shards.

    What is read is held against its checksums before anything is written.

    Parameters
    ----------
    dataset, written_by, change
        As for `write_shards`.
    out : Path
        The file or folder; may be the dataset's own. Only a dataset is replaced.
    shard_size : int, optional
        Instances in a shard; for a folder only.

    Raises
    ------
    CommandError
        Where the name or the size makes no sense, the dataset is damaged, and as for `write_file`
        and `write_shards`.
    """
    if not out.name.endswith(SUFFIX):
        if out.suffix.lower() == ".zip":
            raise CommandError(
                f"{out} ends in .zip; give NAME{SUFFIX} for a file, or another name, without "
                ".zip, for a folder of shards."
            )
        refuse_damaged(dataset.path)
        return write_shards(dataset, out, shard_size, written_by, change)
    if shard_size is not None:
        raise CommandError(
            f"--shard-size makes a folder of shards, but {out} is the name of a file; leave one "
            "of them out."
        )
    refuse_damaged(dataset.path)
    write_file(dataset, out, change)
    return Written()


def write_file(dataset: Dataset, path: Path, change: Change | None = None) -> None:
    """Writes a dataset as one file, whole or not at all, a few megabytes at a time.

    A file that this program wrote and that was converted to shards comes back byte for byte.

    Parameters
    ----------
    dataset, change
        As for `write_shards`.
    path : Path
        The file, or a symbolic link to it; a dataset is replaced.

    Raises
    ------
    CommandError
        Where the name is that of something else, or the file can't be written.
    """
    path = _followed(path)
    if os.path.lexists(path) and not is_dataset_file(path):
        raise CommandError(
            f"{path} can't be read as a dataset, and is left alone; choose a name that nothing has."
        )
    source = _Source(dataset, change)
    with progress("Writing", source.total, "instances") as advance:
        subsets = {}
        for name, subset in dataset.subsets.items():
            blocks = _counted(source.blocks(subset, range(len(subset))), advance)
            form = ((len(subset), *source.shape), source.dtype.newbyteorder("="))
            subsets[name] = Blocks(*form, blocks), subset.labels
        write_dataset(path, subsets, dataset.label_to_index, **_plain_metadata(dataset))


def write_shards(
    dataset: Dataset,
    out: Path,
    shard_size: int | None = None,
    written_by: Mapping[str, Any] | None = None,
    change: Change | None = None,
) -> Written:
    """Writes a dataset as a folder of shards, a few megabytes at a time.

    The folder grows as `OUT.partial`, shard by shard, the index last, and is renamed when it is
    whole. What a run that was broken off has left there is compared with what would be written, and
    kept where it is the same.

    Parameters
    ----------
    dataset : Dataset
        Says, but for `change`, all that is written.
    out : Path
        The folder, or a symbolic link to it; one of shards is replaced, any other must be empty.
    shard_size : int, optional
        Instances in a shard; unless given, as many as have 256 MB.
    written_by : mapping
        What the index says of the writing.
    change : Change, optional
        What instances become on their way.

    Raises
    ------
    CommandError
        Where the size makes no sense, the folder holds something else, or it can't be written.
    """
    source = _Source(dataset, change)
    size = _shard_size(source, shard_size)
    with new_folder(_followed(out)) as folder:
        index, found = _write_all(source, folder, size)
        with whole_file(folder / INDEX) as file:
            file.write_bytes(write_index(index, written_by or {}))
        remove_others(folder, index.files)
    return Written(sum(map(len, index.subsets.values())), found, size)


def _followed(out: Path) -> Path:
    """Returns a name that can be renamed and replaced: not a symbolic link, nor '..'."""
    try:
        followed = out.resolve() if out.is_symlink() or out.name in ("", "..") else out
    except OSError as error:
        raise cannot_write(out, error) from error
    except RuntimeError as error:
        raise CommandError(f"{out} is a symbolic link to itself; choose another name.") from error
    if not followed.name:
        raise CommandError(f"{out} is the root of all folders; choose another name.")
    return followed


def _plain_metadata(dataset: Dataset) -> dict[str, Any]:
    scale = dataset.scale
    return {
        "layout": dataset.layout,
        "scale": int(scale) if scale.is_integer() else scale,
        "picture_shape": dataset.picture_shape,
        "created_by": dict(dataset.created_by),
    }


class _Source:
    """A dataset whose instances are changed as they are read."""

    def __init__(self, dataset: Dataset, change: Change | None) -> None:
        stored = dataset.subsets["training"].instances
        self.dataset = dataset
        self._change = change or Change(stored.shape[1:], stored.dtype, lambda block: block)
        self.shape, self.dtype = self._change.shape, self._change.dtype
        self.total = sum(map(len, dataset.subsets.values()))
        self.row_bytes = int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize
        larger = -(-self.row_bytes * len(stored) // stored.nbytes)
        self._step = max(1, rows_per_block(stored) // larger)

    def blocks(self, subset: Subset, rows: range) -> Iterator[np.ndarray]:
        """Yields what is to be written for these rows, some megabytes at a time."""
        for start in range(rows.start, rows.stop, self._step):
            yield self._change.of(subset.read(slice(start, min(start + self._step, rows.stop))))


def _shard_size(source: _Source, given: int | None) -> int:
    largest = max(map(len, source.dataset.subsets.values()))
    if given is None:
        return max(1, SHARD_BYTES // source.row_bytes)
    if given < 1:
        raise CommandError(f"--shard-size is {given}; give a number of instances from 1.")
    if -(-largest // given) > MAX_SHARDS:
        raise CommandError(
            f"--shard-size {given} makes more than {MAX_SHARDS:,} shards of a subset; give at "
            f"least {-(-largest // MAX_SHARDS)}."
        )
    return given


def _write_all(source: _Source, folder: Path, size: int) -> tuple[Index, int]:
    """Writes all files but the index; returns it, and how many shards were already there."""
    dataset, shape, dtype = source.dataset, source.shape, source.dtype.newbyteorder("<")
    subsets: dict[str, list[tuple[ShardFile, ShardFile]]] = {}
    found = 0
    with progress("Writing", source.total, "instances") as advance:
        for number, (name, subset) in enumerate(dataset.subsets.items()):
            stem = name if PLAIN_NAME.fullmatch(name) else f"subset-{number}"
            subsets[name] = []
            for shard, start in enumerate(range(0, len(subset), size)):
                rows = range(start, min(start + size, len(subset)))
                pair = _Pair(source, subset, rows, f"{stem}-{shard:05d}")
                files, there = pair.store(folder)
                subsets[name].append(files)
                found += there
                advance(len(rows))
    mean = _mean_of(folder, [instances for instances, _ in subsets["training"]])
    metadata = {"format": FORMAT, **_plain_metadata(dataset)}
    return Index(shape, dtype, subsets, mean, dataset.label_to_index, metadata), found


def _mean_of(folder: Path, files: list[ShardFile]) -> ShardFile:
    """Writes the mean of what was written to these files."""
    shape = files[0].shape[1:]
    shards = [Shard(folder / file.name, file.shape[0], len(header_of(file))) for file in files]
    training = ShardedArray(shards, shape, files[0].dtype)
    mean = subset_mean(Subset(training, np.empty(len(training), np.int32))).astype(MEAN_TYPE)
    crc, _ = _store(folder, ShardFile(MEAN, shape, MEAN_TYPE, ""), lambda: iter([mean]))
    return ShardFile(MEAN, shape, MEAN_TYPE, crc)


@dataclass(frozen=True)
class _Pair:
    """The two files of a shard that are to be written."""

    source: _Source
    subset: Subset
    rows: range
    stem: str

    def store(self, folder: Path) -> tuple[tuple[ShardFile, ShardFile], bool]:
        """Writes them; returns what the index says of them and whether both were there."""
        count, dtype = len(self.rows), self.source.dtype.newbyteorder("<")
        labels = self.subset.labels[self.rows.start : self.rows.stop].astype(LABEL_TYPE)
        files, there = [], True
        for name, form, stored, blocks in (
            (f"{self.stem}.npy", (count, *self.source.shape), dtype, self._blocks),
            (f"{self.stem}.labels.npy", (count,), LABEL_TYPE, lambda: iter([labels])),
        ):
            crc, same = _store(folder, ShardFile(name, form, stored, ""), blocks)
            files.append(ShardFile(name, form, stored, crc))
            there = there and same
        return (files[0], files[1]), there

    def _blocks(self) -> Iterator[np.ndarray]:
        for block in self.source.blocks(self.subset, self.rows):
            yield block.astype(self.source.dtype.newbyteorder("<"), copy=False)


def _store(
    folder: Path, file: ShardFile, blocks: Callable[[], Iterator[np.ndarray]]
) -> tuple[str, bool]:
    """Writes a file unless it is there and the same; returns its checksum and whether it was."""
    header = header_of(file)
    crc = _checksum_if_same(folder / file.name, header, file.num_bytes, blocks)
    if crc is not None:
        return f"{crc:08x}", True
    crc = zlib.crc32(header)
    with whole_file(folder / file.name) as partial, partial.open("wb") as stream:
        stream.write(header)
        for block in blocks():
            stream.write(block.data)
            crc = zlib.crc32(block.data, crc)
    return f"{crc:08x}", False


def _checksum_if_same(
    path: Path, header: bytes, num_bytes: int, blocks: Callable[[], Iterator[np.ndarray]]
) -> int | None:
    try:
        stream = open_regular(path)
    except (OSError, FormatError):
        return None
    crc = zlib.crc32(header)
    with stream:
        size = os.fstat(stream.fileno()).st_size
        if size != len(header) + num_bytes or stream.read(len(header)) != header:
            return None
        for block in blocks():
            there = np.frombuffer(stream.read(block.nbytes), np.uint8)
            if not np.array_equal(there, np.frombuffer(block.data, np.uint8)):
                return None
            crc = zlib.crc32(block.data, crc)
    return crc


def _counted(blocks: Iterator[np.ndarray], advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block
        advance(len(block))
