"""Spatial pyramid pooling."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from lasagne.layers.base import Incoming, Layer, Shape
from lasagne.layers.checks import check_spatial_axes
from lasagne.utils import check_int

__all__ = ["SpatialPyramidPoolingLayer"]

PyramidMode = Literal["max", "average_inc_pad", "average_exc_pad"]
Implementation = Literal["fast", "kaiming"]


class SpatialPyramidPoolingLayer(Layer):
    """Pool over grids of several sizes, of an input of shape (batch, channels, height, width).

    The output, of shape (batch, channels, positions), has the same size whatever the picture's;
    a level of ``n`` gives ``n * n`` positions, row by row.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    pool_dims : iterable of int, default [4, 2, 1]
        For each level of the pyramid, how many rows and columns its grid has.
    mode : {'max', 'average_inc_pad', 'average_exc_pad'}, default 'max'
        The maximum or the mean; there is no padding, so that both means are the same.
    implementation : {'fast', 'kaiming'}, default 'fast'
        'kaiming' divides as He et al. do, into cells that overlap where the size is not a
        multiple. 'fast' moves a window of ``ceil(size / n)`` by ``size // n``, which covers less
        than the whole or takes more than ``n`` steps where the size is not a multiple: an axis of
        7 is divided into 6 for ``n = 4``. Only where the sizes are known beforehand does the
        output's shape tell of these.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `pool_dims` is not made of integers.
    ValueError
        If an argument is out of range, the input has another number of axes, or for 'fast' is
        smaller than a grid.

    References
    ----------
    Kaiming He et al. (2015): Spatial pyramid pooling in deep convolutional networks for visual
    recognition. TPAMI 37.

    Examples
    --------
    >>> from lasagne.layers import InputLayer, SpatialPyramidPoolingLayer
    >>> SpatialPyramidPoolingLayer(InputLayer((None, 16, None, None))).output_shape
    (None, 16, 21)
    """

    def __init__(
        self,
        incoming: Incoming,
        pool_dims: Iterable[int] = [4, 2, 1],
        mode: PyramidMode = "max",
        implementation: Implementation = "fast",
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        check_spatial_axes(self, 2)
        self.pool_dims = [check_int(n, f"{self}: pool_dims") for n in pool_dims]
        if not self.pool_dims:
            raise ValueError(f"{self}: pool_dims must have at least one level, got {pool_dims}")
        if mode not in get_args(PyramidMode):
            raise ValueError(f"{self}: mode must be one of {get_args(PyramidMode)}, got {mode!r}")
        if implementation not in get_args(Implementation):
            raise ValueError(
                f"{self}: implementation must be one of {get_args(Implementation)}, "
                f"got {implementation!r}"
            )
        self.mode = mode
        self.implementation = implementation
        self.get_output_shape_for(self.input_shape)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return (batch, channels, positions)."""
        positions = 0
        for n in self.pool_dims:
            height, width = (self._steps(size, n) for size in input_shape[2:])
            positions += height * width
        return (*input_shape[:2], positions)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        return torch.cat([self._pool(input, n).flatten(2) for n in self.pool_dims], 2)

    def _steps(self, size: int | None, n: int) -> int:
        """Return into how many parts an axis is divided that is meant to be divided into `n`."""
        if self.implementation == "kaiming" or size is None:
            return n
        window, stride = self._window([size], n)[0]
        return (size - window) // stride + 1

    def _window(self, sizes: Sequence[int], n: int) -> list[tuple[int, int]]:
        """Return for each axis the size of the window, and by how much it moves."""
        if min(sizes) < n:
            raise ValueError(
                f"{self}: pool_dims must not be larger than the input's sizes for "
                f"implementation='fast', got {n} for a size of {min(sizes)}"
            )
        return [(-(-size // n), size // n) for size in sizes]

    def _pool(self, input: Tensor, n: int) -> Tensor:
        """Return one level of the pyramid."""
        if self.implementation == "kaiming":
            if self.mode == "max":
                return functional.adaptive_max_pool2d(input, n)
            return functional.adaptive_avg_pool2d(input, n)
        windows, strides = zip(*self._window(input.shape[2:], n), strict=True)
        if self.mode == "max":
            return functional.max_pool2d(input, windows, strides)
        return functional.avg_pool2d(input, windows, strides)
