"""Raw batches made ready for a network on the device: crops, mirrors, scale and mean."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.errors import CommandError
from datasets.dataset import Dataset
from datasets.mean import subset_mean


class Crops(NamedTuple):
    """`number` crops of `height` × `width` per instance, each mirrored as well where `mirror`."""

    number: int
    height: int
    width: int
    mirror: bool

    @property
    def per_instance(self) -> int:
        """How many crops come of an instance, mirrors included."""
        return self.number * (2 if self.mirror else 1)


class Preparation:
    """Turns stored instances into a network's input.

    Parameters
    ----------
    dataset : says how instances are stored.
    shape : an instance's shape for the network, before it is cropped: (channels, height, width) or
        any other that holds as many values.
    scale : what stored values are multiplied by; also an attribute.
    mean : stored values' mean per feature, float64 of `dataset.instance_shape`, or None to subtract
        nothing.
    crops : None for whole instances.
    device, dtype : of the prepared batches.
    """

    def __init__(
        self,
        dataset: Dataset,
        shape: tuple[int, ...],
        scale: float,
        mean: np.ndarray | None,
        crops: Crops | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.shape = shape
        self.crops = crops
        self._stored_channels_last = dataset.layout == "nhwc"
        self._channels_last = self._stored_channels_last and shape == dataset.instance_shape
        self.scale = scale
        self._dtype = dtype
        self._mean: Tensor | None = None
        if mean is not None:
            scaled = torch.from_numpy(mean.reshape(shape)).to(device, torch.float64) * scale
            if self._channels_last:
                scaled = scaled.permute(1, 2, 0)
            # A contiguous() picture of one channel may keep other strides; its copy does not.
            self._mean = scaled.to(dtype).clone(memory_format=torch.contiguous_format)
        self._grid: Tensor | None = None
        if crops:
            corners = crop_grid(shape[1:], (crops.height, crops.width), crops.number)
            self._grid = torch.tensor(corners, device=device)

    @property
    def crops_per_instance(self) -> int:
        """How many inputs come of an instance."""
        return self.crops.per_instance if self.crops else 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        return cropped_shape(self.shape, self.crops)

    def for_training(self, instances: Tensor, generator: torch.Generator) -> Tensor:
        """Prepares a batch with random crops drawn from `generator` (of the batch's device)."""
        if self.crops is None:
            return self._whole(instances)
        height, width = self.shape[1:]
        size = (len(instances), self.crops.number)
        ys, xs = (
            torch.randint(0, full - part + 1, size, generator=generator, device=instances.device)
            for full, part in ((height, self.crops.height), (width, self.crops.width))
        )
        return self._cropped(instances, ys, xs)

    def for_evaluation(self, instances: Tensor) -> Tensor:
        """Prepares a batch with the same crops of every instance: the centre, then an even grid."""
        if self._grid is None:
            return self._whole(instances)
        return self._cropped(instances, self._grid[None, :, 0], self._grid[None, :, 1])

    def _arranged(self, instances: Tensor) -> Tensor:
        """Returns (n, *shape), or (n, height, width, channels) where they are stored so."""
        if self._channels_last:
            return instances
        if self._stored_channels_last:
            instances = instances.permute(0, 3, 1, 2)
        return instances.reshape(len(instances), *self.shape)

    def _whole(self, instances: Tensor) -> Tensor:
        ready = self._normalised(self._arranged(instances), self._mean)
        return ready.permute(0, 3, 1, 2) if self._channels_last else ready

    def _cropped(self, instances: Tensor, ys: Tensor, xs: Tensor) -> Tensor:
        """Crops at (n, crops) places, or at the same (1, crops) places of every instance."""
        assert self.crops is not None
        instances = self._arranged(instances)
        channels, height, width = self.shape
        planes, run = (1, channels) if self._channels_last else (channels, 1)
        size = (height, width, self.crops.height, self.crops.width, planes, run)
        instance = torch.arange(len(instances), device=instances.device)[:, None]
        pictures = crop_windows(instances, instance, ys, xs, *size)
        mean = None
        if self._mean is not None:
            mean = crop_windows(self._mean, torch.zeros_like(instance[:1]), ys, xs, *size)
        ready = self._normalised(pictures, mean)
        if self.crops.mirror:
            ready = torch.stack([ready, ready.flip(-2)], dim=2)
        ready = ready.reshape(-1, planes, self.crops.height, self.crops.width, run)
        return ready[:, 0].permute(0, 3, 1, 2) if self._channels_last else ready[..., 0]

    def _normalised(self, values: Tensor, mean: Tensor | None) -> Tensor:
        ready = values.to(self._dtype, copy=True)
        if self.scale != 1:
            ready.mul_(self.scale)
        return ready if mean is None else ready.sub_(mean)


def cropped_shape(shape: tuple[int, ...], crops: Crops | None) -> tuple[int, ...]:
    """Returns the shape of a network's input: that of an instance, or of a crop of it."""
    return shape if crops is None else (shape[0], crops.height, crops.width)


def crop_windows(
    pictures: Tensor,
    instance: Tensor,
    ys: Tensor,
    xs: Tensor,
    height: int,
    width: int,
    crop_height: int,
    crop_width: int,
    planes: int,
    run: int,
) -> Tensor:
    """Copies a window out of each picture, all rows of all windows in one gather.

    A picture is `planes` × height × width × `run` values in memory: (channels, 1) for channels
    first, (1, channels) for channels last. A row of a window is then one run of memory.

    Parameters
    ----------
    pictures : contiguous, any number of pictures.
    instance : (n, 1) int64, the picture of each window.
    ys, xs : (n, windows) int64, each window's upper left corner; (1, windows) for all pictures.

    Returns
    -------
    (n, windows, planes, crop_height, crop_width, run)
    """
    memory = pictures.contiguous().view(-1)
    rows = memory.as_strided((len(memory) // run - crop_width + 1, crop_width * run), (run, 1))
    plane = torch.arange(planes, device=ys.device)[:, None]
    row = torch.arange(crop_height, device=ys.device)
    line = (instance[..., None, None] * planes + plane) * height + ys[..., None, None] + row
    first = line * width + xs[..., None, None]
    gathered = rows.index_select(0, first.view(-1))
    return gathered.view(*first.shape[:2], planes, crop_height, crop_width, run)


def crop_grid(full: tuple[int, ...], part: tuple[int, ...], count: int) -> list[tuple[int, int]]:
    """Returns `count` upper left corners (y, x): the centre, then an even grid over the picture.

    The grid is the smallest square one with enough windows beside the centre; where it has more,
    they are taken evenly.
    """
    centre = ((full[0] - part[0]) // 2, (full[1] - part[1]) // 2)
    side = 2
    while (windows := side * side - side % 2) < count - 1:
        side += 1
    ys, xs = (
        [round(i * (whole - window) / (side - 1)) for i in range(side)]
        for whole, window in zip(full, part, strict=True)
    )
    middle = (side // 2, side // 2) if side % 2 else None
    grid = [(ys[i], xs[j]) for i in range(side) for j in range(side) if (i, j) != middle]
    return [centre] + [grid[i * windows // (count - 1)] for i in range(count - 1)]


def training_mean(dataset: Dataset) -> np.ndarray:
    """Returns the mean of every feature over the training subset, float64 (*instance_shape).

    Exact for uint8; it is read once, in blocks, where it is not stored beside it.
    """
    mean = subset_mean(dataset.subset("training")) if dataset.mean is None else dataset.mean
    return mean.transpose(2, 0, 1) if dataset.layout == "nhwc" else mean


def choose_crops(
    num_crops: int, crop_shape: tuple[int, ...] | None, mirror: bool, shape: tuple[int, ...]
) -> Crops | None:
    """Returns the crops that the options ask for, None without any.

    Raises CommandError where they don't fit each other or instances of `shape`.
    """
    if num_crops < 0:
        raise CommandError(f"--num-crops is {num_crops}; give 0 for none, or how many.")
    if not num_crops and crop_shape is None:
        return None
    if not num_crops or crop_shape is None:
        raise CommandError(
            "--num-crops and --crop-shape go together; give both, as in "
            "--num-crops 5 --crop-shape '(224, 224)'."
        )
    if len(shape) != 3:
        raise CommandError(
            f"--crop-shape needs pictures, but the instances' shape is {shape}; give --reshape-to "
            "'(channels, height, width)', or the dataset's .rgb.pkl.zip."
        )
    if len(crop_shape) != 2 or min(crop_shape) < 1:
        raise CommandError(
            f"--crop-shape is {crop_shape}; give a height and a width of at least 1."
        )
    if crop_shape[0] > shape[1] or crop_shape[1] > shape[2]:
        raise CommandError(
            f"--crop-shape {crop_shape} is larger than the pictures, which are {shape[1]} high and "
            f"{shape[2]} wide; give at most ({shape[1]}, {shape[2]})."
        )
    return Crops(num_crops, *crop_shape, mirror)


def network_shape(dataset: Dataset, reshape_to: tuple[int, ...] | None) -> tuple[int, ...]:
    """Returns an instance's shape for the network; one size of `reshape_to` may be -1.

    Raises CommandError where the dataset's instances have another number of values.
    """
    shape = dataset.instance_shape
    if reshape_to is None:
        return shape
    values, known = math.prod(shape), math.prod(size for size in reshape_to if size != -1)
    inferred = tuple(values // max(known, 1) if size == -1 else size for size in reshape_to)
    if min(reshape_to) < -1 or reshape_to.count(-1) > 1 or math.prod(inferred) != values:
        raise CommandError(
            f"--reshape-to {reshape_to} does not hold the instances' {values} values "
            f"(shape {shape}); give sizes whose product is {values}."
        )
    return inferred
