"""Pooling layers."""

from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from lasagne.layers.base import Incoming, Layer, Shape
from lasagne.utils import check_int_tuple

__all__ = [
    "MaxPool1DLayer",
    "MaxPool2DLayer",
    "Pool1DLayer",
    "Pool2DLayer",
    "pool_output_length",
]

Mode = Literal["max", "average_inc_pad", "average_exc_pad", "sum"]

_AXES = {1: "(batch, channels, length)", 2: "(batch, channels, height, width)"}


def pool_output_length(
    input_length: int | None, pool_size: int, stride: int, pad: int, ignore_border: bool
) -> int | None:
    """Return the length of a pooling's output along one axis.

    Parameters
    ----------
    input_length : int or None
        The input's length; None if it is not known.
    pool_size : int
        The window's length.
    stride : int
        Steps between two windows.
    pad : int
        Padding at both ends, 0 unless `ignore_border`.
    ignore_border : bool
        Whether windows that reach past the end are dropped.

    Returns
    -------
    int or None
        None if the input's length is not known.

    Raises
    ------
    ValueError
        If no window fits into the padded input and `ignore_border` is set.
    """
    if input_length is None:
        return None
    if ignore_border:
        if input_length + 2 * pad < pool_size:
            raise ValueError(
                f"the output would be empty: an input of size {input_length} with {pad} padded "
                f"on either side is smaller than a pool of size {pool_size}"
            )
        return (input_length + 2 * pad - pool_size) // stride + 1
    if stride >= pool_size:
        return -(-input_length // stride)
    return max(0, -((pool_size - input_length) // stride)) + 1


class _PoolLayer(Layer):
    """Pooling over the last `n` axes, with the arguments of :class:`Pool2DLayer`."""

    n: int

    def __init__(
        self,
        incoming: Incoming,
        pool_size: int | Iterable[int],
        stride: int | Iterable[int] | None = None,
        pad: int | Iterable[int] = 0,
        ignore_border: bool = True,
        mode: Mode = "max",
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        n = self.n
        if len(self.input_shape) != n + 2:
            raise ValueError(f"{self} needs an input of shape {_AXES[n]}, got {self.input_shape}")
        if mode not in get_args(Mode):
            raise ValueError(f"{self}: mode must be one of {get_args(Mode)}, got {mode!r}")
        self.pool_size = check_int_tuple(pool_size, n, f"{self}: pool_size")
        stride = self.pool_size if stride is None else stride
        self.stride = check_int_tuple(stride, n, f"{self}: stride")
        self.pad = check_int_tuple(pad, n, f"{self}: pad", minimum=0)
        self.ignore_border = ignore_border
        self.mode = mode
        self._check_pad()
        self.get_output_shape_for(self.input_shape)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return (batch, channels, and the output's sizes)."""
        sizes = zip(input_shape[2:], self.pool_size, self.stride, self.pad, strict=True)
        try:
            lengths = [pool_output_length(*size, self.ignore_border) for size in sizes]
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from None
        return (*input_shape[:2], *lengths)

    def _check_pad(self) -> None:
        """Raise ValueError if padding cannot be had with the other arguments."""
        if any(self.pad) and not self.ignore_border:
            raise ValueError(f"{self}: pad must be 0 for ignore_border=False, got {self.pad}")
        if self.mode == "average_exc_pad":
            limits, wording = [size // 2 for size in self.pool_size], "at most half of"
        else:
            limits, wording = [size - 1 for size in self.pool_size], "smaller than"
        if any(pad > limit for pad, limit in zip(self.pad, limits, strict=True)):
            raise ValueError(
                f"{self}: pad must be {wording} pool_size {self.pool_size} for "
                f"mode={self.mode!r}, got {self.pad}"
            )

    def _pool(
        self,
        input: Tensor,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        pad: tuple[int, ...],
    ) -> Tensor:
        """Return the last two axes of `input` pooled."""
        if not self.ignore_border:
            size = tuple(min(pair) for pair in zip(size, input.shape[2:], strict=True))
        if any(2 * p > s for p, s in zip(pad, size, strict=True)):
            # PyTorch's own padding ends at half a window.
            value = -torch.inf if self.mode == "max" else 0.0
            input = functional.pad(input, (pad[1], pad[1], pad[0], pad[0]), value=value)
            pad = (0, 0)
        ceil = not self.ignore_border
        if self.mode == "max":
            return functional.max_pool2d(input, size, stride, pad, ceil_mode=ceil)
        return functional.avg_pool2d(
            input,
            size,
            stride,
            pad,
            ceil_mode=ceil,
            count_include_pad=self.mode == "average_inc_pad",
            divisor_override=1 if self.mode == "sum" else None,
        )


class Pool1DLayer(_PoolLayer):
    """Pooling over one axis, of an input of shape (batch, channels, length).

    Parameters
    ----------
    incoming, pool_size, stride, pad, ignore_border, mode
        As for :class:`Pool2DLayer`, with one axis.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError, ValueError
        As :class:`Pool2DLayer`.
    """

    n = 1

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        size, stride, pad = (*self.pool_size, 1), (*self.stride, 1), (*self.pad, 0)
        return self._pool(input.unsqueeze(-1), size, stride, pad).squeeze(-1)


class Pool2DLayer(_PoolLayer):
    """Pooling over two axes, of an input of shape (batch, channels, height, width).

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    pool_size : int or tuple of int
        The window's size along each axis; an int stands for all.
    stride : int, tuple of int or None, default None
        Steps between two windows; None is `pool_size`.
    pad : int or tuple of int, default 0
        Padding on either side of each axis, smaller than `pool_size` (at most half of it for
        'average_exc_pad'). Padding never wins a maximum.
    ignore_border : bool, default True
        Whether windows that reach past the end are dropped. If not, they pool what is there, and
        `pad` must be 0.
    mode : {'max', 'average_inc_pad', 'average_exc_pad', 'sum'}, default 'max'
        The maximum, the mean with or without counting padded zeros, or the sum.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument is out of range, the input has another number of axes, or the output would
        be empty.

    Examples
    --------
    >>> from lasagne.layers import InputLayer, Pool2DLayer
    >>> Pool2DLayer(InputLayer((None, 3, 7, 7)), 3, stride=2, ignore_border=True).output_shape
    (None, 3, 3, 3)
    >>> Pool2DLayer(InputLayer((None, 3, 8, 8)), 3, stride=2, ignore_border=False).output_shape
    (None, 3, 4, 4)
    """

    n = 2

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        return self._pool(input, self.pool_size, self.stride, self.pad)


class MaxPool1DLayer(Pool1DLayer):
    """:class:`Pool1DLayer` with the mode 'max'; all other arguments are its own."""

    def __init__(
        self,
        incoming: Incoming,
        pool_size: int | Iterable[int],
        stride: int | Iterable[int] | None = None,
        pad: int | Iterable[int] = 0,
        ignore_border: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, pool_size, stride, pad, ignore_border, mode="max", **kwargs)


class MaxPool2DLayer(Pool2DLayer):
    """:class:`Pool2DLayer` with the mode 'max'; all other arguments are its own."""

    def __init__(
        self,
        incoming: Incoming,
        pool_size: int | Iterable[int],
        stride: int | Iterable[int] | None = None,
        pad: int | Iterable[int] = (0, 0),
        ignore_border: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, pool_size, stride, pad, ignore_border, mode="max", **kwargs)
