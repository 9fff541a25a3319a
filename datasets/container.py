"""The originals' dataset file, `.pkl.zip`: opened as mapped arrays, written in constant memory.

A zip of

- `array_0`, `array_1`, ...: one .npy file each, uncompressed, at a multiple of 64 bytes;
- `pkl`: a pickle of `({subset: (instances, labels)}, label_to_index)` in which an array is the
  persistent id 'ndarray.array_<n>', as theano.misc.pkl_utils wrote it;
- `metadata.json`: what the originals left to be known: the order of the axes, the value that stands
  for 1.0, the pictures' shape, and which command wrote the file. The originals' files have none.

Spectrograms of recordings lie in the same container, see `datasets.recordings`.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError
from common.files import whole_file
from datasets.archive import Archive, ArchiveWriter, Blocks
from datasets.checks import (
    FORMAT,
    checked_metadata,
    checked_subset,
    dataset_of,
    label_names,
)
from datasets.dataset import Dataset, Layout
from datasets.sharded import ADVICE as SHARDS_ADVICE
from datasets.sharded import NoFileError, open_regular
from datasets.shards import INDEX, open_shards
from datasets.unpickle import ArrayReference, FormatError, load_plain, text

__all__ = ["Blocks", "open_dataset", "write_dataset"]

RECORDINGS = "recordings"  # the metadata's kind of a file of spectrograms, and its only subset
ADVICE = "copy it again from where it came from, or write it anew (create_datasets)"


def open_dataset(path: Path) -> Dataset:
    """Opens a dataset: a file, the originals' included, or a folder of shards.

    Uncompressed arrays are mapped from the file, compressed ones are read into memory. Nothing that
    the file holds is executed.

    Raises
    ------
    CommandError
        Where the file is missing, damaged, or no dataset; says what is wrong.
    """
    path = Path(path)
    with sentences(path):
        if (path / INDEX).is_file():
            return open_shards(path)
        with open_regular(path) as file:
            return _read(path, Archive(file))


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Raises what keeps a dataset from being opened as a CommandError that says what to do."""
    try:
        yield
    except FileNotFoundError as error:
        if partial := _partial(path):
            raise partial from error
        raise CommandError(
            f"The dataset {path} does not exist; create_datasets, preprocess_imagenet, "
            "create_spectrograms, download_mnist and create_demo_dataset write one."
        ) from error
    except NoFileError as error:
        raise _no_file(path) from error
    except OSError as error:
        raise CommandError(
            f"The dataset {path} can't be read: {error.strerror or error}."
        ) from error
    except FormatError as error:
        raise CommandError(f"{path} can't be used as a dataset: {error}; {ADVICE}.") from error


def _partial(path: Path) -> CommandError | None:
    """Returns the sentence for a folder of shards that is not whole yet, if there is one."""
    if not (partial := path.with_name(f"{path.name}.partial")).is_dir():
        return None
    return CommandError(
        f"The dataset {path} does not exist, but {partial} does: a conversion to it was broken "
        "off, or is still at work; the same command (preprocess_imagenet, convert_dataset, "
        "resize_rgb_dataset), run again, goes on."
    )


def _no_file(path: Path) -> CommandError:
    if path.is_dir() and any(path.glob("*-00000.labels.npy")):
        return CommandError(
            f"{path} can't be used as a dataset: its {INDEX} is missing; {SHARDS_ADVICE}."
        )
    if path.is_dir():
        return CommandError(
            f"The dataset {path} is a folder; create_datasets makes datasets of a folder of "
            f"pictures, create_spectrograms of recordings, and a folder of shards has an "
            f"{INDEX}, which convert_dataset writes last."
        )
    return CommandError(
        f"The dataset {path} is a pipe or a device; give a file, or a folder of shards."
    )


def is_dataset_file(path: Path) -> bool:
    """Returns whether the file has the structure of a dataset; its values are not read."""
    try:
        with open_regular(path) as file:
            read_structure(Archive(file))
    except (FormatError, OSError):
        return False
    return True


def write_dataset(
    path: Path,
    subsets: Mapping[str, tuple[Blocks | np.ndarray, np.ndarray]],
    label_to_index: Mapping[str, int],
    *,
    layout: Layout,
    scale: float,
    picture_shape: tuple[int, int, int] | None,
    created_by: Mapping[str, Any] | None = None,
) -> None:
    """Writes a dataset file, whole or not at all; equal arguments give equal bytes.

    Parameters
    ----------
    path : Path
        The file to write.
    subsets : mapping of str to (instances, labels)
        Instances of shape (n, ...) as an array or as Blocks, which are asked for one at a time;
        labels of shape (n,), integers.
    label_to_index : mapping of str to int
        The index, from 0, of every label's name.
    layout, scale, picture_shape, created_by
        As the attributes of `Dataset`.

    Raises
    ------
    CommandError
        Where the file can't be written.
    """
    metadata = {
        "format": FORMAT,
        "layout": layout,
        "scale": scale,
        "picture_shape": picture_shape,
        "created_by": dict(created_by or {}),
    }
    with whole_file(Path(path)) as partial, partial.open("wb") as file, ArchiveWriter(file) as zip_:
        structure: dict[str, tuple[ArrayReference, ArrayReference]] = {}
        for index, (name, (instances, labels)) in enumerate(subsets.items()):
            pair = ArrayReference(f"array_{2 * index}"), ArrayReference(f"array_{2 * index + 1}")
            zip_.write_array(pair[0], instances)
            zip_.write_array(pair[1], np.asarray(labels, np.int32))
            structure[name] = pair
        zip_.write("pkl", pickled(structure, label_to_index))
        zip_.write("metadata.json", json.dumps(metadata, indent=2).encode())


class _ReferencePickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> str | None:
        return f"ndarray.{value}" if isinstance(value, ArrayReference) else None


def pickled(
    structure: Mapping[str, tuple[ArrayReference, ArrayReference]],
    label_to_index: Mapping[str, int],
) -> bytes:
    """Returns the content of the member `pkl`."""
    stream = io.BytesIO()
    _ReferencePickler(stream, protocol=2).dump((dict(structure), dict(label_to_index)))
    return stream.getvalue()


def _read(path: Path, archive: Archive) -> Dataset:
    if holds_recordings(archive):
        raise CommandError(
            f"{path} holds spectrograms of recordings, each of a length of its own, and this "
            "command takes instances of one shape, such as pictures; describe_dataset says what is "
            "in it, and create_datasets makes a dataset of pictures."
        )
    subset_names, labels = read_structure(archive)
    subsets = {
        name: checked_subset(name, archive.array(instances), archive.array(rows), len(labels))
        for name, (instances, rows) in subset_names.items()
    }
    return dataset_of(path, subsets, labels, read_metadata(archive))


def holds_recordings(archive: Archive) -> bool:
    """Returns whether the file holds spectrograms of recordings, see `datasets.recordings`."""
    metadata = read_metadata(archive)
    return metadata is not None and metadata.get("kind") == RECORDINGS


def read_structure(
    archive: Archive,
) -> tuple[dict[str, tuple[ArrayReference, ArrayReference]], dict[str, int]]:
    """Returns the members that hold each subset's instances and labels, and the labels' indices.

    Raises
    ------
    FormatError
        Where the file's pickle says something else.
    """
    plain = load_plain(archive.read("pkl"))
    if not (isinstance(plain, tuple | list) and len(plain) == 2):
        raise FormatError("its pickle is no pair of subsets and labels")
    subsets, labels = plain
    if not (isinstance(subsets, dict) and isinstance(labels, dict)):
        raise FormatError("its pickle is no pair of subsets by name and labels by name")
    for pair in subsets.values():
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise FormatError("a subset in its pickle is no pair of instances and labels")
        if not all(isinstance(member, ArrayReference) for member in pair):
            raise FormatError("a subset in its pickle refers to no arrays")
    label_to_index = {text(name): index for name, index in labels.items()}
    if len(label_to_index) != len(labels):
        raise FormatError("its labels are not numbered from 0, each name with a number of its own")
    return {text(name): tuple(pair) for name, pair in subsets.items()}, label_names(label_to_index)


def read_metadata(archive: Archive) -> dict[str, Any] | None:
    """Returns the file's metadata; None where it has none, as the originals' files.

    Raises
    ------
    FormatError
        Where they are damaged or of another format.
    """
    if "metadata.json" not in archive:
        return None
    try:
        metadata = json.loads(archive.read("metadata.json"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its metadata.json is damaged ({error})") from error
    return checked_metadata(metadata, "metadata.json")
