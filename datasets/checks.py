"""What must hold of subsets, labels and metadata, whatever file or folder they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from datasets.dataset import LAYOUTS, Dataset, Instances, Subset
from datasets.unpickle import FormatError

FORMAT = 1
MAX_SCALE = 2**32


def dataset_of(
    path: Path,
    subsets: dict[str, Subset],
    label_to_index: dict[str, int],
    metadata: Mapping[str, Any] | None,
    mean: np.ndarray | None = None,
) -> Dataset:
    """Puts a dataset together of what was read; `metadata` is None for the originals' files.

    Raises
    ------
    FormatError
        Where the parts don't fit one another.
    """
    instances = _common_instances(subsets)
    metadata = _guess(instances) if metadata is None else metadata
    _check_metadata(metadata, instances)
    layout, shape = metadata["layout"], instances.shape[1:]
    picture_shape = metadata.get("picture_shape")
    if layout != "flat":
        picture_shape = shape if layout == "nhwc" else (*shape[1:], shape[0])
    return Dataset(
        path=path,
        subsets=subsets,
        label_to_index=label_to_index,
        layout=layout,
        scale=float(metadata["scale"]),
        picture_shape=tuple(picture_shape) if picture_shape else None,
        created_by=metadata.get("created_by") or {},
        mean=mean,
    )


def label_names(label_to_index: Mapping[str, Any]) -> dict[str, int]:
    """Returns the labels' indices by name.

    Raises
    ------
    FormatError
        Where they are not 0, 1, 2, and so on.
    """
    indices = list(label_to_index.values())
    if (
        not indices
        or not all(type(index) is int for index in indices)
        or sorted(indices) != list(range(len(indices)))
    ):
        raise FormatError("its labels are not numbered from 0, each name with a number of its own")
    return dict(label_to_index)


def checked_metadata(metadata: Any, file: str) -> dict[str, Any]:
    """Returns the metadata that `file` holds.

    Raises
    ------
    FormatError
        Where it is no object of this format.
    """
    if not isinstance(metadata, dict) or not isinstance(metadata.get("created_by", {}), dict):
        raise FormatError(f"its {file} is no object with the metadata of a dataset")
    if metadata.get("format") != FORMAT:
        raise FormatError(
            f"it has format {metadata.get('format')!r} and this program reads format {FORMAT}"
        )
    return metadata


def checked_subset(name: str, instances: Instances, labels: np.ndarray, num_labels: int) -> Subset:
    """Returns the subset of these arrays.

    Raises
    ------
    FormatError
        Where they are no instances with a label each.
    """
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


def _common_instances(subsets: Mapping[str, Subset]) -> Instances:
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


def _guess(instances: Instances) -> dict[str, Any]:
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


def _check_metadata(metadata: Mapping[str, Any], instances: Instances) -> None:
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
