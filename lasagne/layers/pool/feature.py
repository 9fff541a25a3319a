"""Pooling over channels, or over all positions."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lasagne.layers.base import Incoming, Layer, Shape
from lasagne.layers.checks import check_axis
from lasagne.utils import check_int

__all__ = ["FeaturePoolLayer", "FeatureWTALayer", "GlobalPoolLayer"]

#: Called as ``f(tensor, axis=i)``, returns the tensor without the axis, or a tuple that starts so.
PoolFunction = Callable[..., Any]


class _GroupLayer(Layer):
    """A layer that divides an axis into groups of `pool_size`."""

    def __init__(self, incoming: Incoming, pool_size: int, axis: int = 1, **kwargs: Any) -> None:
        super().__init__(incoming, **kwargs)
        self.pool_size = check_int(pool_size, f"{self}: pool_size")
        self.axis = check_axis(self, axis, self.input_shape)
        size = self.input_shape[self.axis]
        if size is None or size % pool_size:
            raise ValueError(
                f"{self} needs an input whose axis {axis} has a multiple of {pool_size} as its "
                f"size, got {self.input_shape}"
            )

    def _divide(self, input: Tensor) -> Tensor:
        """Return a view of `input` with the groups as the axis after `axis`."""
        return input.unflatten(self.axis, (-1, self.pool_size))


class FeaturePoolLayer(_GroupLayer):
    """Pool over groups of neighbouring channels; with the maximum, this makes a maxout layer.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    pool_size : int
        How many channels make a group; it must divide their number.
    axis : int, default 1
        The axis to pool over.
    pool_function : callable, default torch.amax
        Called as ``pool_function(x, axis=i)``; it must take the axis i away. Of a tuple, what
        ``torch.max`` returns for example, the first item counts.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `axis` does not exist, or its size is not a multiple of `pool_size`.

    References
    ----------
    Ian Goodfellow et al. (2013): Maxout networks. ICML.

    Examples
    --------
    >>> from lasagne.layers import FeaturePoolLayer, InputLayer
    >>> FeaturePoolLayer(InputLayer((None, 12, 8)), pool_size=3).output_shape
    (None, 4, 8)
    """

    def __init__(
        self,
        incoming: Incoming,
        pool_size: int,
        axis: int = 1,
        pool_function: PoolFunction = torch.amax,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, pool_size, axis, **kwargs)
        self.pool_function = _check_pool_function(pool_function, self)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return the input's shape with the number of groups for channels."""
        size = input_shape[self.axis]
        groups = None if size is None else size // self.pool_size
        return (*input_shape[: self.axis], groups, *input_shape[self.axis + 1 :])

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        return _pool(self.pool_function, self._divide(input), self.axis + 1)


class FeatureWTALayer(_GroupLayer):
    """Keep only the largest of each group of neighbouring channels: the winner takes all.

    The others become zero. Where several are largest, the first one wins.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    pool_size : int
        How many channels make a group; it must divide their number.
    axis : int, default 1
        The axis that is divided.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `axis` does not exist, or its size is not a multiple of `pool_size`.

    References
    ----------
    Rupesh Srivastava et al. (2013): Compete to compute. NIPS.
    """

    def __init__(self, incoming: Incoming, pool_size: int, axis: int = 1, **kwargs: Any) -> None:
        super().__init__(incoming, pool_size, axis, **kwargs)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return `input` with zeros in place of what is not the largest."""
        divided = self._divide(input)
        largest, winner = divided.max(self.axis + 1, keepdim=True)
        output = torch.zeros_like(divided).scatter(self.axis + 1, winner, largest)
        return output.flatten(self.axis, self.axis + 1)


class GlobalPoolLayer(Layer):
    """Pool over all axes but the first two.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, channels, and any sizes).
    pool_function : callable, default torch.mean
        Called as ``pool_function(x, axis=2)`` for an x of three axes; it must take the last one
        away. Of a tuple, what ``torch.max`` returns for example, the first item counts.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `pool_function` cannot be called.
    ValueError
        If the input has fewer than three axes.
    """

    def __init__(
        self, incoming: Incoming, pool_function: PoolFunction = torch.mean, **kwargs: Any
    ) -> None:
        super().__init__(incoming, **kwargs)
        self.pool_function = _check_pool_function(pool_function, self)
        if len(self.input_shape) < 3:
            raise ValueError(
                f"{self} needs an input of at least three axes (batch, channels, ...), "
                f"got {self.input_shape}"
            )

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return (batch, channels)."""
        return input_shape[:2]

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        return _pool(self.pool_function, input.flatten(2), 2)


def _check_pool_function(pool_function: Any, layer: Layer) -> PoolFunction:
    """Return `pool_function` if it can be called."""
    if not callable(pool_function):
        raise TypeError(f"{layer}: pool_function must be callable, got {pool_function!r}")
    function: PoolFunction = pool_function
    return function


def _pool(pool_function: PoolFunction, input: Tensor, axis: int) -> Tensor:
    """Return `input` without `axis`."""
    pooled = pool_function(input, axis=axis)
    values: Tensor = pooled[0] if isinstance(pooled, tuple) else pooled
    return values
