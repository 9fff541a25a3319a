"""How the instances of a dataset were made of files: as plain data, and new ones made just so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageOps

from datasets.dataset import Dataset, Layout
from datasets.outputs import grey
from datasets.patches import PatchDataset
from datasets.pictures import ResizeMode, read_picture, resized
from datasets.recordings import Recordings

PICTURES, RECORDINGS, FEATURES = "pictures", "recordings", "features"
OF_FILES = ("create_datasets", "preprocess_imagenet")  # commands that read pictures' files
LIGHT_ON_DARK = ("download_mnist", "create_demo_dataset")  # commands whose pictures are so
Size = tuple[int, int]  # height and width in pixels


def origin_of(dataset: Dataset | Recordings) -> dict[str, Any]:
    """Returns what is to be known to make an instance of a file, in types that JSON holds.

    `kind` is 'pictures', 'recordings' or, where nothing is known of it, 'features'. Spectrograms
    have `parameters`, see `Recordings`; all others `layout`, `scale` and `picture_shape` as in
    `Dataset`, `steps`, the modes and sizes (height, width) that pictures were brought to one after
    another, and `command`, which wrote the dataset.
    """
    if isinstance(dataset, PatchDataset):
        dataset = dataset.source
    if isinstance(dataset, Recordings):
        return {"kind": RECORDINGS, "parameters": dict(dataset.parameters)}
    shape = dataset.picture_shape
    is_picture = shape is not None and shape[2] in (1, 3)
    return {
        "kind": PICTURES if is_picture else FEATURES,
        "layout": dataset.layout,
        "scale": dataset.scale,
        "picture_shape": None if shape is None else list(shape),
        "steps": _steps(dataset.created_by, None if shape is None else shape[:2]),
        "command": str(_first(dataset.created_by).get("command", "")),
    }


def _first(created_by: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns what is known of the dataset before it was resized."""
    while isinstance(created_by.get("from"), dict):
        created_by = created_by["from"]
    return created_by


def _steps(created_by: Mapping[str, Any], size: Size | None) -> list[list[Any]]:
    """Returns the modes and sizes that pictures were brought to, by the commands' options.

    `size` is that of the pictures as they are stored, if it is known.
    """
    options, before = created_by.get("options") or {}, created_by.get("from")
    if created_by.get("command") == "resize_rgb_dataset" and isinstance(before, dict):
        return [*_steps(before, None), *_step("stretch", size)]
    side = options.get("image_size")
    if created_by.get("command") in OF_FILES and isinstance(side, int):
        return _step(options.get("resize_mode", "stretch"), (side, side))
    return _step("stretch", size)


def _step(mode: str, size: Size | None) -> list[list[Any]]:
    return [[mode, *size]] if size else []


@dataclass(frozen=True)
class PictureOrigin:
    """Makes instances of picture files, exactly as those of a dataset were made.

    Parameters
    ----------
    shape : tuple of (height, width, channels)
        Of the pictures as they are stored; grey with one channel, RGB with three.
    layout, scale
        As in `Dataset`.
    steps : tuple of (mode, (height, width))
        What a picture is brought to, one after another, see `datasets.pictures.resized`.
    """

    shape: tuple[int, int, int]
    layout: Layout
    scale: float
    steps: tuple[tuple[ResizeMode, Size], ...]

    @classmethod
    def of(cls, origin: Mapping[str, Any]) -> PictureOrigin:
        """Makes it of what `origin_of` has returned for pictures."""
        height, width, channels = origin["picture_shape"]
        steps = tuple((mode, (high, wide)) for mode, high, wide in origin["steps"])
        return cls((height, width, channels), origin["layout"], origin["scale"], steps)

    def read(self, path: Path, *, inverted: bool = False) -> np.ndarray:
        """Reads a picture, of any size; inverted, it becomes its negative.

        Returns
        -------
        np.ndarray of shape (height, width, 3), uint8

        Raises
        ------
        datasets.pictures.PictureError
            Where it can't be read.
        """
        image = read_picture(path, self.steps[0][1]).image
        if inverted:
            image = ImageOps.invert(image)
        for mode, size in self.steps:
            image = resized(image, size, mode)
        return np.asarray(image)

    def instances(self, pictures: np.ndarray) -> np.ndarray:
        """Returns pictures (n, height, width, 3), uint8, as the dataset's instances are stored.

        Where these do not go to 255, as the digits' 16 levels, the values are float32.
        """
        count = len(pictures)
        values = grey(pictures).reshape(count, *self.shape) if self.shape[2] == 1 else pictures
        if self.layout == "nchw":
            values = values.transpose(0, 3, 1, 2)
        if self.layout == "flat":
            values = values.reshape(count, -1)
        if self.scale != 255:
            return values * np.float32(self.scale / 255)
        return np.ascontiguousarray(values)
