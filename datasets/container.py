"""The originals' dataset file, `.pkl.zip`: opened as mapped arrays, written in constant memory.

A zip of

- `array_0`, `array_1`, ...: one .npy file each, uncompressed, at a multiple of 64 bytes;
- `pkl`: a pickle of `({subset: (instances, labels)}, label_to_index)` in which an array is the
  persistent id 'ndarray.array_<n>', as theano.misc.pkl_utils wrote it;
- `metadata.json`: what the originals left to be known: the order of the axes, the value that stands
  for 1.0, the pictures' shape, and which command wrote the file. The originals' files have none.
"""

from __future__ import annotations

import io
import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError
from common.files import whole_file
from datasets.archive import Archive, ArchiveWriter, Blocks
from datasets.dataset import LAYOUTS, Dataset, Layout, Subset
from datasets.unpickle import ArrayReference, FormatError, load_plain, text

__all__ = ["Blocks", "open_dataset", "write_dataset"]

FORMAT = 1
MAX_SCALE = 2**32
ADVICE = "copy it again from where it came from, or write it anew (create_datasets)"


def open_dataset(path: Path) -> Dataset:
    """Opens a dataset file, the originals' included.

    Uncompressed arrays are mapped from the file, compressed ones are read into memory. Nothing that
    the file holds is executed.

    Raises
    ------
    CommandError
        Where the file is missing, damaged, or no dataset; says what is wrong.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read(path, Archive(file))
    except FileNotFoundError as error:
        raise CommandError(
            f"The dataset {path} does not exist; create_datasets, download_mnist and "
            "create_demo_dataset write one."
        ) from error
    except IsADirectoryError as error:
        raise CommandError(
            f"The dataset {path} is a folder; create_datasets makes datasets of a folder of "
            "pictures, as files NAME.pkl.zip."
        ) from error
    except OSError as error:
        raise CommandError(
            f"The dataset {path} can't be read: {error.strerror or error}."
        ) from error
    except FormatError as error:
        raise CommandError(f"{path} can't be used as a dataset: {error}; {ADVICE}.") from error


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
        zip_.write("pkl", _pickle((structure, dict(label_to_index))))
        zip_.write("metadata.json", json.dumps(metadata, indent=2).encode())


class _ReferencePickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> str | None:
        return f"ndarray.{value}" if isinstance(value, ArrayReference) else None


def _pickle(structure: Any) -> bytes:
    stream = io.BytesIO()
    _ReferencePickler(stream, protocol=2).dump(structure)
    return stream.getvalue()


def _read(path: Path, archive: Archive) -> Dataset:
    subset_names, label_names = _structure(load_plain(archive.read("pkl")))
    subsets = {
        name: _subset(name, archive.array(instances), archive.array(labels), len(label_names))
        for name, (instances, labels) in subset_names.items()
    }
    instances = _common_instances(subsets)
    metadata = _metadata(archive) if "metadata.json" in archive else _guess(instances)
    _check_metadata(metadata, instances)
    layout, shape = metadata["layout"], instances.shape[1:]
    picture_shape = metadata.get("picture_shape")
    if layout != "flat":
        picture_shape = shape if layout == "nhwc" else (*shape[1:], shape[0])
    return Dataset(
        path=path,
        subsets=subsets,
        label_to_index=label_names,
        layout=layout,
        scale=float(metadata["scale"]),
        picture_shape=tuple(picture_shape) if picture_shape else None,
        created_by=metadata.get("created_by") or {},
    )


def _structure(
    plain: Any,
) -> tuple[dict[str, tuple[ArrayReference, ArrayReference]], dict[str, int]]:
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
    indices = list(label_to_index.values())
    if (
        not labels
        or len(label_to_index) != len(labels)
        or not all(type(index) is int for index in indices)
        or sorted(indices) != list(range(len(indices)))
    ):
        raise FormatError("its labels are not numbered from 0, each name with a number of its own")
    return {text(name): tuple(pair) for name, pair in subsets.items()}, label_to_index


def _subset(name: str, instances: np.ndarray, labels: np.ndarray, num_labels: int) -> Subset:
    if instances.ndim not in (2, 4) or 0 in instances.shape[1:]:
        raise FormatError(
            f"the {name} instances have shape {instances.shape}, not (n, features) "
            "or that of n pictures"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FormatError(
            f"the {name} labels are {labels.dtype} of shape {labels.shape}, not a row of integers"
        )
    if len(instances) != len(labels):
        raise FormatError(
            f"the {name} subset has {len(instances):,} instances but {len(labels):,} labels"
        )
    if len(labels) and (labels.min() < 0 or labels.max() >= num_labels):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise FormatError(
            f"the {name} subset has the label {wrong}, but labels go from 0 to {num_labels - 1}"
        )
    return Subset(instances, np.array(labels, np.int32))


def _common_instances(subsets: Mapping[str, Subset]) -> np.ndarray:
    if "training" not in subsets:
        raise FormatError(f"it has no training subset, only {', '.join(subsets) or 'nothing'}")
    training = subsets["training"].instances
    if not len(training):
        raise FormatError("its training subset is empty")
    for name, subset in subsets.items():
        instances = subset.instances
        if (instances.shape[1:], instances.dtype) != (training.shape[1:], training.dtype):
            raise FormatError(
                f"its {name} instances are {instances.dtype} of shape {instances.shape[1:]}, but "
                f"its training instances are {training.dtype} of shape {training.shape[1:]}"
            )
    return training


def _guess(instances: np.ndarray) -> dict[str, Any]:
    """Returns the metadata of a file that has none, as the originals' files."""
    if instances.ndim == 2:
        layout = "flat"
    elif instances.shape[1] in (1, 3):
        layout = "nchw"
    elif instances.shape[-1] in (1, 3):
        layout = "nhwc"
    else:
        raise FormatError(
            f"its pictures have shape {instances.shape[1:]}, in which no axis has the "
            "length 1 or 3 of channels"
        )
    scale = 255 if instances.dtype == np.uint8 else 1
    return {"layout": layout, "scale": scale, "picture_shape": None}


def _metadata(archive: Archive) -> dict[str, Any]:
    try:
        metadata = json.loads(archive.read("metadata.json"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its metadata.json is damaged ({error})") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("created_by", {}), dict):
        raise FormatError("its metadata.json is no object with the metadata of a dataset")
    if metadata.get("format") != FORMAT:
        raise FormatError(
            f"it has format {metadata.get('format')!r} and this program reads format {FORMAT}"
        )
    return metadata


def _check_metadata(metadata: Mapping[str, Any], instances: np.ndarray) -> None:
    layout = metadata.get("layout")
    if layout not in LAYOUTS or (layout == "flat") != (instances.ndim == 2):
        raise FormatError(
            f"its metadata says layout {layout!r}, but an instance has shape {instances.shape[1:]}"
        )
    scale = metadata.get("scale")
    if not isinstance(scale, int | float) or not 0 < scale <= MAX_SCALE:
        raise FormatError(f"its metadata says scale {scale!r}, which is no positive number")
    picture_shape = metadata.get("picture_shape")
    if picture_shape is None:
        return
    whole = isinstance(picture_shape, list) and all(type(n) is int and n > 0 for n in picture_shape)
    if (
        not whole
        or len(picture_shape) != 3
        or math.prod(picture_shape) != math.prod(instances.shape[1:])
    ):
        raise FormatError(
            f"its metadata says pictures of {picture_shape}, but an instance has shape "
            f"{instances.shape[1:]}"
        )
