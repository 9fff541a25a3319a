"""Converts a dataset between one file and a folder of shards."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError
from common.files import cannot_write, new_folders, whole_file
from common.progress import progress
from datasets.checks import FORMAT
from datasets.container import Blocks, write_dataset
from datasets.dataset import Dataset, Subset, rows_per_block
from datasets.mean import subset_mean
from datasets.sharded import open_regular
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

SHARD_BYTES = 256 * 2**20  # of a shard's instances, unless its size is given
PLAIN_NAME = re.compile(r"[a-z0-9_]{1,40}", re.ASCII)
OURS = re.compile(
    r"([a-z0-9_]{1,40}(-\d+)?-\d{5,}(\.labels)?\.npy|mean\.npy|index\.json)(\.\d+\.partial)?",
    re.ASCII,
)


@dataclass(frozen=True)
class Written:
    """What a conversion to shards has made.

    Parameters
    ----------
    shards : int
        The shards of all subsets.
    found : int
        How many of them were already there, from a conversion that was broken off.
    shard_size : int
        The instances in a shard; each subset's last may have fewer.
    """

    shards: int
    found: int
    shard_size: int


def plain_metadata(dataset: Dataset) -> dict[str, Any]:
    """Returns the dataset's metadata as they are stored."""
    scale = dataset.scale
    return {
        "layout": dataset.layout,
        "scale": int(scale) if scale.is_integer() else scale,
        "picture_shape": dataset.picture_shape,
        "created_by": dict(dataset.created_by),
    }


def write_file(dataset: Dataset, path: Path) -> None:
    """Writes a dataset as one file, whole or not at all, a few megabytes at a time.

    A file that this program wrote and that was converted to shards comes back byte for byte.

    Raises
    ------
    CommandError
        Where the file can't be written.
    """
    total = sum(map(len, dataset.subsets.values()))
    with progress("Converting", total, "instances") as advance:
        subsets = {}
        for name, subset in dataset.subsets.items():
            instances = subset.instances
            blocks = _counted(subset.blocks(), advance)
            form = ((len(subset), *instances.shape[1:]), instances.dtype.newbyteorder("="))
            subsets[name] = Blocks(*form, blocks), subset.labels
        write_dataset(path, subsets, dataset.label_to_index, **plain_metadata(dataset))


def write_shards(
    dataset: Dataset,
    out: Path,
    shard_size: int | None = None,
    written_by: Mapping[str, Any] | None = None,
) -> Written:
    """Writes a dataset as a folder of shards, a few megabytes at a time.

    The folder grows as `OUT.partial`, shard by shard, the index last, and is renamed when it is
    whole. What a conversion that was broken off has left there is compared with what would be
    written, and kept where it is the same.

    Parameters
    ----------
    dataset : Dataset
    out : Path
        The folder; one of shards is replaced, any other must be empty.
    shard_size : int, optional
        Instances in a shard; unless given, as many as have 256 MB.
    written_by : mapping
        What the index says of the conversion.

    Raises
    ------
    CommandError
        Where the size makes no sense, the folder holds something else, or it can't be written.
    """
    out = out if out.name not in ("", "..") else out.resolve()
    size = _shard_size(dataset, shard_size)
    partial = out.with_name(f"{out.name}.partial")
    for folder in (out, partial):
        _refuse_others(folder)
    try:
        with new_folders(out.parent):
            partial.mkdir(exist_ok=True)
            with _locked(partial):
                index, found = _write_all(dataset, partial, size)
                with whole_file(partial / INDEX) as file:
                    file.write_bytes(write_index(index, written_by or {}))
                for entry in partial.iterdir():
                    if entry.name not in index.files:
                        entry.unlink()
                _install(partial, out)
    except OSError as error:
        raise cannot_write(out, error) from error
    return Written(sum(map(len, index.subsets.values())), found, size)


def _shard_size(dataset: Dataset, given: int | None) -> int:
    instances = dataset.subsets["training"].instances
    largest = max(map(len, dataset.subsets.values()))
    row_bytes = int(np.prod(instances.shape[1:], dtype=object)) * instances.dtype.itemsize
    if given is None:
        return max(1, SHARD_BYTES // row_bytes)
    if given < 1:
        raise CommandError(f"--shard-size is {given}; give a number of instances from 1.")
    if -(-largest // given) > MAX_SHARDS:
        raise CommandError(
            f"--shard-size {given} makes more than {MAX_SHARDS:,} shards of a subset; give at "
            f"least {-(-largest // MAX_SHARDS)}."
        )
    return given


def _refuse_others(folder: Path) -> None:
    """Refuses a folder that holds anything but what a conversion writes."""
    try:
        entries = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        if not folder.is_file():
            raise cannot_write(folder, error) from error
        raise CommandError(
            f"{folder} is a file, and shards need a folder; choose a name that nothing has, or "
            "one that ends in .pkl.zip for a file."
        ) from error
    has_shards = any("-" in name for name in entries)
    for name in entries:
        if not has_shards or not OURS.fullmatch(name):
            raise CommandError(
                f"{folder} holds '{name}', which is no part of a folder of shards, and is left "
                "alone; choose a name that nothing has."
            )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps a second conversion out of the folder; a process that is killed loses its lock."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CommandError(
            f"{folder} is being written by another conversion; wait for it, or choose another name."
        ) from error
    finally:
        os.close(descriptor)


def _write_all(dataset: Dataset, folder: Path, size: int) -> tuple[Index, int]:
    """Writes all files but the index; returns it, and how many shards were already there."""
    instances = dataset.subsets["training"].instances
    shape, dtype = instances.shape[1:], instances.dtype.newbyteorder("<")
    subsets: dict[str, list[tuple[ShardFile, ShardFile]]] = {}
    found = 0
    total = sum(map(len, dataset.subsets.values()))
    with progress("Converting", total, "instances") as advance:
        for number, (name, subset) in enumerate(dataset.subsets.items()):
            stem = name if PLAIN_NAME.fullmatch(name) else f"subset-{number}"
            subsets[name] = []
            for shard, start in enumerate(range(0, len(subset), size)):
                rows = range(start, min(start + size, len(subset)))
                pair = _Pair(subset, rows, f"{stem}-{shard:05d}", dtype)
                files, there = pair.store(folder)
                subsets[name].append(files)
                found += there
                advance(len(rows))
    mean = subset_mean(dataset.subsets["training"]).astype(MEAN_TYPE)
    unsigned = ShardFile(MEAN, shape, MEAN_TYPE, "")
    crc, _ = _store(folder, unsigned, lambda: iter([mean]))
    mean_file = ShardFile(MEAN, shape, MEAN_TYPE, crc)
    metadata = {"format": FORMAT, **plain_metadata(dataset)}
    return Index(shape, dtype, subsets, mean_file, dataset.label_to_index, metadata), found


@dataclass(frozen=True)
class _Pair:
    """The two files of a shard that are to be written."""

    subset: Subset
    rows: range
    stem: str
    dtype: np.dtype

    def store(self, folder: Path) -> tuple[tuple[ShardFile, ShardFile], bool]:
        """Writes them; returns what the index says of them and whether both were there."""
        count = len(self.rows)
        shape = (count, *self.subset.instances.shape[1:])
        labels = self.subset.labels[self.rows.start : self.rows.stop].astype(LABEL_TYPE)
        files, there = [], True
        for name, form, dtype, blocks in (
            (f"{self.stem}.npy", shape, self.dtype, self._blocks),
            (f"{self.stem}.labels.npy", (count,), LABEL_TYPE, lambda: iter([labels])),
        ):
            crc, same = _store(folder, ShardFile(name, form, dtype, ""), blocks)
            files.append(ShardFile(name, form, dtype, crc))
            there = there and same
        return (files[0], files[1]), there

    def _blocks(self) -> Iterator[np.ndarray]:
        step = rows_per_block(self.subset.instances)
        for start in range(self.rows.start, self.rows.stop, step):
            block = self.subset.read(slice(start, min(start + step, self.rows.stop)))
            yield block.astype(self.dtype, copy=False)


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


def _install(partial: Path, out: Path) -> None:
    """Renames the whole folder; one that it replaces goes only when it has another name."""
    old = out.with_name(f"{out.name}.old.partial")
    _remove(old)
    if out.exists():
        out.replace(old)
    partial.replace(out)
    _remove(old)


def _remove(folder: Path) -> None:
    _refuse_others(folder)
    if folder.is_dir():
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()


def _counted(blocks: Iterator[np.ndarray], advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block
        advance(len(block))
