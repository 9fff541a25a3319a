"""Raw batches made ready for a network on the device: windows, mirrors, scale, mean, deviation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import CommandError
from datasets.dataset import Dataset
from datasets.mean import subset_mean, subset_moments
from training.experiment import Experiment
from training.log0m1v import Log0m1v
from training.views import RESHAPE, Views
from training.windows import Places, cut_all, cut_one

BLOCK_VALUES = {"cpu": 2**19, "cuda": 2**25}  # prepared at once; a CPU's cache holds them
LARGE_WINDOW = 2**14  # values from which on a CPU is faster with windows one by one
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)  # PyTorch can do little with them


class Preparation:
    """Turns stored instances into a network's input.

    A value becomes (value × scale - mean × scale) / (deviation × scale), in one operation of
    `dtype`, whose result alone is rounded to `output_dtype`. A deviation of 0 divides by 1.

    Parameters
    ----------
    dataset : Dataset
        Says how instances are stored.
    views : Views
        What the network sees of an instance.
    scale : float
        What stored values are multiplied by; also an attribute.
    normalisation : mapping
        "mean" and "std", or one, or none, as `training_statistics` returns them. A mean picture has
        the same window cut out as the picture that it is subtracted from, mirrored alike.
    device : torch.device
    dtype : torch.dtype
        Of the arithmetic: torch.float32 or torch.float64.
    output_dtype : torch.dtype, optional
        Of the prepared batches; `dtype` unless given.
    compression : Log0m1v, optional
        What is done to spectrograms before anything else.
    """

    def __init__(
        self,
        dataset: Dataset,
        views: Views,
        scale: float,
        normalisation: Mapping[str, np.ndarray],
        device: torch.device,
        dtype: torch.dtype,
        output_dtype: torch.dtype | None = None,
        compression: Log0m1v | None = None,
    ) -> None:
        self.views = views
        self._compression = compression
        self.scale = scale
        self._device = device
        self._dtype = dtype
        self._output_dtype = output_dtype or dtype
        self._stored_channels_last = dataset.layout == "nhwc"
        shape = views.shape
        self._channels_last = self._stored_channels_last and shape == dataset.instance_shape
        # In memory an instance is planes × height × width × run values.
        if self._channels_last:
            self._memory = (1, *shape[1:], shape[0])
        else:
            self._memory = (*shape, 1) if len(shape) == 3 else (1, 1, math.prod(shape), 1)
        height, width = views.window or self._memory[1:3]
        self._input_memory = (self._memory[0], height, width, self._memory[3])
        values = math.prod(self._input_memory)
        self._block = max(1, BLOCK_VALUES[device.type] // values)
        self._one_by_one = device.type == "cpu" and values >= LARGE_WINDOW
        self._tables = [self._table(values) for values in _offset_and_factor(scale, normalisation)]
        self._evaluation = torch.tensor(views.evaluation, dtype=torch.int64, device=device)

    @property
    def training_views(self) -> int:
        """How many inputs come of an instance in training."""
        return self.views.training_views

    @property
    def evaluation_views(self) -> int:
        """How many inputs come of an instance in evaluation."""
        return self.views.evaluation_views

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        return self.views.input_shape

    def for_training(
        self,
        instances: Tensor,
        generator: torch.Generator,
        rows: slice,
        size: int,
        recordings: Tensor | None = None,
    ) -> Tensor:
        """Prepares a part of a batch for training.

        Parameters
        ----------
        instances : Tensor of shape (n, ...)
            As stored, on the device.
        generator : torch.Generator
            Of the device; draws the windows of the whole batch, so that they don't depend on the
            number of devices.
        rows : slice
            Which part of the batch `instances` are.
        size : int
            Instances of the whole batch.
        recordings : Tensor of shape (n,), int64, optional
            The recording of each, if instances are patches.

        Returns
        -------
        Tensor of shape (n × training_views, *input_shape)
            The views of an instance stand together.
        """
        if self._compression:
            instances = self._compression(instances, recordings)
        if self.views.window is None:
            return self._whole(instances)
        return self._cut(instances, self._draw(generator, rows, size))

    def for_evaluation(self, instances: Tensor, recordings: Tensor | None = None) -> Tensor:
        """Prepares instances for evaluation, with the same windows of every one.

        `recordings` as in `for_training`.

        Returns
        -------
        Tensor of shape (n × evaluation_views, *input_shape)
        """
        if self._compression:
            instances = self._compression(instances, recordings)
        if self.views.window is None:
            return self._whole(instances)
        count = len(instances)
        y, x, mirrored = self._evaluation.repeat(count, 1).unbind(1)
        picture = torch.arange(count, device=self._device)
        picture = picture.repeat_interleave(self.evaluation_views)
        has_mirrored = any(window.mirrored for window in self.views.evaluation)
        return self._cut(instances, Places(picture, y, x, mirrored > 0 if has_mirrored else None))

    def _draw(self, generator: torch.Generator, rows: slice, size: int) -> Places:
        """Draws the windows of a whole batch; returns those of its `rows`."""
        drawn = (1 if self.views.per_batch else size, self.views.number)

        def draw(choices: int) -> Tensor:
            values = torch.randint(choices, drawn, generator=generator, device=self._device)
            return values.expand(size, -1)[rows]

        _, height, width, _ = self._input_memory
        y, x = draw(self._memory[1] - height + 1), draw(self._memory[2] - width + 1)
        mirrored = None
        if self.views.mirror == "random":
            mirrored = draw(2).reshape(-1) > 0
        elif self.views.mirror == "both":
            y, x = (values.repeat_interleave(2, 1) for values in (y, x))
            mirrored = (torch.arange(y.numel(), device=self._device) % 2) > 0
        picture = torch.arange(len(y), device=self._device).repeat_interleave(self.training_views)
        return Places(picture, y.reshape(-1), x.reshape(-1), mirrored)

    def _whole(self, instances: Tensor) -> Tensor:
        values = self._arranged(instances)
        ready = self._empty(len(values))
        for start in range(0, len(values), self._block):
            block = slice(start, start + self._block)
            self._normalise(values[block], self._tables, ready[block])
        return self._as_input(ready)

    def _cut(self, instances: Tensor, places: Places) -> Tensor:
        pictures = self._arranged(instances).contiguous()
        _, height, width, _ = self._input_memory
        in_tables = places.in_mirror_images(self._memory[2], width)
        ready = self._empty(len(places.y))
        cut: Callable[..., Tensor] = cut_all
        pieces: Iterator[Any] = zip(
            places.in_blocks(self._block), in_tables.in_blocks(self._block), strict=True
        )
        if self._one_by_one:
            cut = cut_one
            pieces = zip(places.one_by_one(), in_tables.one_by_one(), strict=True)
        for (which, place), (_, in_table) in pieces:
            tables = [
                cut(table, in_table, height, width) if table.ndim == 5 else table
                for table in self._tables
            ]
            self._normalise(cut(pictures, place, height, width), tables, ready[which])
        return self._as_input(ready)

    def _normalise(self, values: Tensor, tables: list[Tensor], target: Tensor) -> None:
        if values.dtype != torch.uint8:
            values = values.to(self._dtype)
        if len(tables) == 1:
            torch.add(tables[0], values, alpha=self.scale, out=target)
        else:
            torch.addcmul(tables[0], values, tables[1], out=target)

    def _arranged(self, instances: Tensor) -> Tensor:
        """Returns instances as (n, planes, height, width, run)."""
        if instances.dtype in UNSIGNED:
            instances = instances.to(self._dtype)
        if self._stored_channels_last and not self._channels_last:
            instances = instances.permute(0, 3, 1, 2)
        return instances.reshape(len(instances), *self._memory)

    def _empty(self, count: int) -> Tensor:
        shape = (count, *self._input_memory)
        return torch.empty(shape, dtype=self._output_dtype, device=self._device)

    def _as_input(self, ready: Tensor) -> Tensor:
        if self._channels_last:
            return ready[:, 0].permute(0, 3, 1, 2)
        return ready.view(len(ready), *self.input_shape)

    def _table(self, values: np.ndarray) -> Tensor:
        """Returns numbers per feature or per channel, or one for all, as `_normalise` takes them.

        Per feature they have an instance's memory; with windows, the picture is followed by its
        mirror image. Per channel they are a row of an input, so that whole rows are computed on.
        """
        table = torch.from_numpy(np.asarray(values)).to(self._device, self._dtype)
        if not values.ndim:
            return table
        per_feature = values.size == math.prod(self.views.shape)
        if self._channels_last:
            table = table.reshape(self.views.shape if per_feature else (-1, 1, 1))
            table = table.permute(1, 2, 0)[None]
        else:
            table = table.reshape(self._memory if per_feature else (-1, 1, 1, 1))
        if not per_feature:
            table = table.expand(-1, -1, self._input_memory[2], -1)
        elif self.views.window:
            return torch.stack([table, table.flip(-2)])
        # A contiguous() picture of one channel may keep other strides; its copy does not.
        return table.clone(memory_format=torch.contiguous_format)


def _offset_and_factor(scale: float, normalisation: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Returns what is added to a stored value times the factor; a factor only if it is not `scale`.

    Both are float64, per feature, per channel, or a single number.
    """
    factor = np.array(scale)
    if "std" in normalisation:
        deviation = normalisation["std"] * scale
        factor = scale / np.where(deviation > 0, deviation, 1)
    offset = -normalisation["mean"] * factor if "mean" in normalisation else np.zeros(())
    return [offset, factor] if "std" in normalisation else [offset]


def training_statistics(
    dataset: Dataset, shape: tuple[int, ...], experiment: Experiment
) -> dict[str, np.ndarray]:
    """Returns what an experiment subtracts and divides by, of the training subset's stored values.

    Both come of one pass through the subset; none is needed for a mean that is stored beside it.

    Parameters
    ----------
    shape : tuple of int
        Of an instance for the network.

    Returns
    -------
    dict of str to np.ndarray
        "mean" and "std", as far as they are asked for, float64: of that shape, or (channels, 1, 1)
        where they are per channel.

    Raises
    ------
    CommandError
        Where there are no channels to do it for.
    """
    per_channel = experiment.normalise_per == "channel"
    if per_channel and len(shape) != 3:
        raise CommandError(
            f"--normalise-per channel needs pictures, but the instances' shape is {shape}; "
            f"{RESHAPE}, or --normalise-per feature."
        )

    def averaged(values: np.ndarray) -> np.ndarray:
        return values.mean(axis=(1, 2), keepdims=True) if per_channel else values

    statistics = {}
    if experiment.divide_by_std:
        moments = subset_moments(dataset.subset("training"))
        mean, variance = (_network_order(dataset, values).reshape(shape) for values in moments)
        statistics["std"] = np.sqrt(averaged(variance + (mean - averaged(mean)) ** 2))
    elif experiment.subtract_mean:
        mean = training_mean(dataset).reshape(shape)
    if experiment.subtract_mean:
        statistics["mean"] = averaged(mean)
    return statistics


def statistics_fit(statistics: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> bool:
    """Tells whether mean and deviation are of such instances, of their channels, or of it all."""
    shapes = (shape, (shape[0], 1, 1))
    return all(one.size == 1 or one.shape in shapes for one in statistics.values())


def training_mean(dataset: Dataset) -> np.ndarray:
    """Returns the mean of every feature over the training subset, float64 (*instance_shape).

    Exact for uint8; it is read once, in blocks, where it is not stored beside it.
    """
    mean = subset_mean(dataset.subset("training")) if dataset.mean is None else dataset.mean
    return _network_order(dataset, mean)


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


def _network_order(dataset: Dataset, values: np.ndarray) -> np.ndarray:
    return values.transpose(2, 0, 1) if dataset.layout == "nhwc" else values
