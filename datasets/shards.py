"""A folder of shards: a dataset that is too big for one file, read as it were one.

In the folder are

- `training-00000.npy`, `training-00000.labels.npy`, ...: the instances of a shard, and their labels
  (int32), as numpy writes them;
- `mean.npy`: the mean of the training instances, float64;
- `index.json`: what a dataset file has in its `metadata.json` and its pickle, the shape and type of
  an instance, the files in order with their counts and checksums (CRC-32), and last the checksum of
  all that stands before the comma in front of it. It is written last: a folder without it is no
  dataset.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from common.errors import CommandError
from datasets.archive import npy_header
from datasets.checks import checked_metadata, checked_subset, dataset_of, label_names
from datasets.dataset import Dataset
from datasets.sharded import ADVICE, NoFileError, Shard, ShardedArray, open_regular
from datasets.unpickle import FormatError

INDEX = "index.json"
MEAN = "mean.npy"
LABEL_TYPE = np.dtype("<i4")
MEAN_TYPE = np.dtype("<f8")
MAX_INDEX_BYTES = 64 * 2**20
MAX_SHARDS = 100_000
MAX_AXES = 3
HEADER_BYTES = 4096
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.npy", re.ASCII)
CHECKSUM = re.compile(r"[0-9a-f]{8}", re.ASCII)
OWN_CHECKSUM = re.compile(rb',\n "crc32": "([0-9a-f]{8})"\n}\n\Z')
KEYS = {
    *("format", "layout", "scale", "picture_shape", "created_by", "written_by"),
    *("shape", "dtype", "label_to_index", "mean", "subsets", "crc32"),
}


@dataclass(frozen=True)
class ShardFile:
    """A .npy file of the folder, and what the index says of it: shape, type and checksum."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    crc: str

    @property
    def num_bytes(self) -> int:
        """The size of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Index:
    """What index.json says.

    Parameters
    ----------
    shape, dtype
        Of a stored instance.
    subsets : dict of str to list of (instances, labels)
        The files of every subset's shards, in order.
    mean : ShardFile
        The mean of the training subset.
    label_to_index, metadata
        As in a dataset file.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    subsets: dict[str, list[tuple[ShardFile, ShardFile]]]
    mean: ShardFile
    label_to_index: dict[str, int]
    metadata: dict[str, Any]

    @property
    def files(self) -> set[str]:
        """The names of all files that belong to the dataset."""
        names = {file.name for pairs in self.subsets.values() for pair in pairs for file in pair}
        return names | {self.mean.name, INDEX}


def open_shards(folder: Path) -> Dataset:
    """Opens a folder of shards; only labels, mean and the heads of the files are read.

    Raises
    ------
    CommandError
        Where anything is missing or damaged, as far as it shows without reading all values.
    """
    try:
        return _open(folder, read_index(folder))
    except FormatError as error:
        raise CommandError(f"{folder} can't be used as a dataset: {error}; {ADVICE}.") from error
    except (MemoryError, OverflowError) as error:
        sentence = f"{folder} can't be used as a dataset: it declares more than memory can hold"
        raise CommandError(f"{sentence}; {ADVICE}.") from error


def _open(folder: Path, index: Index) -> Dataset:
    subsets = {}
    for name, pairs in index.subsets.items():
        shards = [
            Shard(folder / file.name, file.shape[0], check_file(folder, file)) for file, _ in pairs
        ]
        labels = [read_array(folder, file) for _, file in pairs]
        subsets[name] = checked_subset(
            name,
            ShardedArray(shards, index.shape, index.dtype),
            np.concatenate([np.empty(0, LABEL_TYPE), *labels]),
            len(index.label_to_index),
        )
    mean = read_array(folder, index.mean).astype(np.float64)
    return dataset_of(folder, subsets, index.label_to_index, index.metadata, mean)


def check_file(folder: Path, file: ShardFile) -> int:
    """Checks that a file is there, has the size and begins with the header that the index wants.

    Returns
    -------
    int
        The bytes before its values.

    Raises
    ------
    FormatError
        Which names the file and says what is wrong.
    """
    return _with_file(folder, file, lambda stream, start: start)


def read_array(folder: Path, file: ShardFile) -> np.ndarray:
    """Reads a small file whole, checked as by `check_file`.

    Raises FormatError as it does.
    """

    def read(stream: BinaryIO, start: int) -> np.ndarray:
        stream.seek(start)
        return np.frombuffer(stream.read(file.num_bytes), file.dtype).reshape(file.shape)

    return _with_file(folder, file, read)


def _with_file(folder: Path, file: ShardFile, use: Callable[[BinaryIO, int], Any]) -> Any:
    what = f"its shard '{file.name}'"
    try:
        with open_regular(folder / file.name) as stream:
            start = _check_stream(what, file, stream)
            return use(stream, start)
    except FileNotFoundError as error:
        raise FormatError(f"{what} is missing") from error
    except NoFileError as error:
        raise FormatError(f"{what} is no file") from error
    except OSError as error:
        raise FormatError(f"{what} can't be read ({error.strerror or error})") from error


def _check_stream(what: str, file: ShardFile, stream: BinaryIO) -> int:
    head = stream.read(HEADER_BYTES)
    if not head:
        raise FormatError(f"{what} is empty")
    dtype, shape, order, start = npy_header(what, head)
    if (dtype, shape, order) != (file.dtype, file.shape, "C"):
        raise FormatError(
            f"{what} holds {dtype} of shape {shape}, but {INDEX} says {file.dtype} of "
            f"shape {file.shape}"
        )
    size = os.fstat(stream.fileno()).st_size
    if size != start + file.num_bytes:
        raise FormatError(f"{what} has {size:,} bytes instead of {start + file.num_bytes:,}")
    return start


def header_of(file: ShardFile) -> bytes:
    """Returns the bytes that the file begins with where this program has written it."""
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(file.dtype)
    fields = {"descr": descr, "fortran_order": False, "shape": file.shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def write_index(index: Index, written_by: Mapping[str, Any]) -> bytes:
    """Returns the content of index.json, a line for each shard, its own checksum last."""
    head = index.metadata | {
        "written_by": dict(written_by),
        "shape": index.shape,
        "dtype": index.dtype.str,
        "label_to_index": index.label_to_index,
        "mean": {"file": index.mean.name, "crc32": index.mean.crc},
    }
    subsets = []
    for name, pairs in index.subsets.items():
        lines = ",\n    ".join(
            json.dumps(
                {
                    "count": instances.shape[0],
                    "instances": instances.name,
                    "instances_crc32": instances.crc,
                    "labels": labels.name,
                    "labels_crc32": labels.crc,
                }
            )
            for instances, labels in pairs
        )
        subsets.append(f"  {json.dumps(name)}: [\n    {lines}\n  ]")
    text, listed = json.dumps(head, indent=1).removesuffix("\n}"), ",\n".join(subsets)
    return signed(f'{text},\n "subsets": {{\n{listed}\n }}'.encode())


def signed(content: bytes) -> bytes:
    """Returns the content of index.json, which lacks its last line, with its checksum."""
    return content + f',\n "crc32": "{zlib.crc32(content):08x}"\n}}\n'.encode()


def read_index(folder: Path) -> Index:
    """Reads and checks index.json; no file that it names is opened.

    Raises
    ------
    FormatError
        Where it is damaged, says impossible things, or names files elsewhere.
    """
    try:
        with open_regular(folder / INDEX) as stream:
            content = stream.read(MAX_INDEX_BYTES + 1)
    except OSError as error:
        raise FormatError(f"its {INDEX} can't be read ({error.strerror or error})") from error
    if len(content) > MAX_INDEX_BYTES:
        raise FormatError(f"its {INDEX} is too large")
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its {INDEX} is damaged ({error})") from error
    metadata = checked_metadata(plain, INDEX)
    _check_own(content, metadata)
    shape, dtype = _form(metadata)
    labels, subsets = metadata.get("label_to_index"), metadata.get("subsets")
    if not isinstance(labels, dict) or not isinstance(subsets, dict):
        raise FormatError(f"its {INDEX} has no subsets by name and labels by name")
    used: set[str] = set()
    mean = metadata.get("mean")
    if not isinstance(mean, dict):
        raise FormatError(f"its {INDEX} names no mean")
    return Index(
        shape,
        dtype,
        {name: list(_pairs(name, entry, shape, dtype, used)) for name, entry in subsets.items()},
        _file(mean.get("file"), shape, MEAN_TYPE, mean.get("crc32"), used),
        label_names(labels),
        metadata,
    )


def _check_own(content: bytes, metadata: Mapping[str, Any]) -> None:
    """Checks that the index is as it was written, and has nothing that this program can't read."""
    found = OWN_CHECKSUM.search(content)
    if found is None:
        raise FormatError(f"its {INDEX} does not end in a checksum of its own")
    if zlib.crc32(content[: found.start()]) != int(found[1], 16):
        raise FormatError(f"its {INDEX} has changed since it was written (its checksum differs)")
    if unknown := sorted(metadata.keys() - KEYS):
        raise FormatError(f"its {INDEX} has the unknown field {unknown[0][:80]!r}")


def _form(metadata: Mapping[str, Any]) -> tuple[tuple[int, ...], np.dtype]:
    shape, dtype = metadata.get("shape"), metadata.get("dtype")
    if (
        not isinstance(shape, list)
        or not 0 < len(shape) <= MAX_AXES
        or not all(type(size) is int and 0 < size < 2**40 for size in shape)
    ):
        raise FormatError(f"its {INDEX} says instances of shape {shape!r}, which is none")
    if not isinstance(dtype, str) or not re.fullmatch(r"[<>|][uif][1248]", dtype, re.ASCII):
        raise FormatError(f"its {INDEX} says values of type {dtype!r}, which are no numbers")
    try:
        return tuple(shape), np.dtype(dtype)
    except TypeError as error:
        raise FormatError(f"its {INDEX} says values of type {dtype!r}: {error}") from error


def _pairs(
    name: str, entry: Any, shape: tuple[int, ...], dtype: np.dtype, used: set[str]
) -> Iterator[tuple[ShardFile, ShardFile]]:
    if not isinstance(entry, list) or not all(isinstance(shard, dict) for shard in entry):
        raise FormatError(f"its {INDEX} has no list of shards for the subset '{name}'")
    if len(entry) > MAX_SHARDS:
        raise FormatError(f"its {INDEX} has more than {MAX_SHARDS:,} shards for '{name}'")
    for shard in entry:
        count = shard.get("count")
        if type(count) is not int or not 0 < count < 2**48:
            raise FormatError(
                f"its {INDEX} says that a shard of '{name}' has {str(count)[:40]} instances"
            )
        yield (
            _file(
                shard.get("instances"), (count, *shape), dtype, shard.get("instances_crc32"), used
            ),
            _file(shard.get("labels"), (count,), LABEL_TYPE, shard.get("labels_crc32"), used),
        )


def _file(
    name: Any, shape: tuple[int, ...], dtype: np.dtype, crc: Any, used: set[str]
) -> ShardFile:
    if not isinstance(name, str) or not FILE_NAME.fullmatch(name):
        raise FormatError(
            f"its {INDEX} names the shard {str(name)[:80]!r}, which is no .npy file of the folder"
        )
    if name in used:
        raise FormatError(f"its {INDEX} names the shard '{name}' twice")
    if not isinstance(crc, str) or not CHECKSUM.fullmatch(crc):
        raise FormatError(f"its {INDEX} has no checksum for '{name}'")
    used.add(name)
    return ShardFile(name, shape, dtype, crc)
