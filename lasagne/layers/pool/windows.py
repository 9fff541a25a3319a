"""Pooling of windows."""

from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from lasagne.layers.base import Incoming, Layer, Shape
from lasagne.layers.checks import check_spatial_axes
from lasagne.utils import check_int_tuple

__all__ = [
    "MaxPool1DLayer",
    "MaxPool2DLayer",
    "MaxPool3DLayer",
    "Pool1DLayer",
    "Pool2DLayer",
    "Pool3DLayer",
    "pool_output_length",
]

Mode = Literal["max", "average_inc_pad", "average_exc_pad", "sum"]


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
        check_spatial_axes(self, n)
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
        if any(pad >= size for pad, size in zip(self.pad, self.pool_size, strict=True)):
            raise ValueError(
                f"{self}: pad must be smaller than pool_size {self.pool_size}, got {self.pad}"
            )

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        sizes = zip(self.pool_size, self.pad, input.shape[2:], strict=True)
        # PyTorch's own padding ends at half a window, and in three dimensions needs a whole one.
        if any(pad and (2 * pad > size or size > length) for size, pad, length in sizes):
            return self._pool_padded(input)
        return self._pool(input, self.pad, self.mode)

    def _pool_padded(self, input: Tensor) -> Tensor:
        """Return the last `n` axes of `input` pooled, after the padding."""
        both_sides = [pad for pad in reversed(self.pad) for _ in range(2)]
        none = (0,) * self.n
        if self.mode == "max":
            return self._pool(functional.pad(input, both_sides, value=-torch.inf), none, "max")
        padded = functional.pad(input, both_sides)
        if self.mode != "average_exc_pad":
            return self._pool(padded, none, self.mode)
        inside = functional.pad(torch.ones_like(input[:1, :1]), both_sides)
        return self._pool(padded, none, "sum") / self._pool(inside, none, "sum")

    def _pool(self, input: Tensor, pad: tuple[int, ...], mode: Mode) -> Tensor:
        """Return the last `n` axes of `input` pooled by PyTorch."""
        size, stride = self.pool_size, self.stride
        if not self.ignore_border:
            size = tuple(min(pair) for pair in zip(size, input.shape[2:], strict=True))
        if self.n == 1:
            size, stride, pad = (*size, 1), (*stride, 1), (*pad, 0)
            input = input.unsqueeze(-1)
        ceil = not self.ignore_border
        if mode == "max":
            maximum = functional.max_pool3d if self.n == 3 else functional.max_pool2d
            pooled = maximum(input, size, stride, pad, ceil_mode=ceil)
        else:
            average = functional.avg_pool3d if self.n == 3 else functional.avg_pool2d
            pooled = average(
                input,
                size,
                stride,
                pad,
                ceil_mode=ceil,
                count_include_pad=mode == "average_inc_pad",
                divisor_override=1 if mode == "sum" else None,
            )
        return pooled.squeeze(-1) if self.n == 1 else pooled


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
    pad : int or tuple of int, default (0, 0)
        Padding on either side of each axis, smaller than `pool_size`. It never wins a maximum.
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

    def __init__(
        self,
        incoming: Incoming,
        pool_size: int | Iterable[int],
        stride: int | Iterable[int] | None = None,
        pad: int | Iterable[int] = (0, 0),
        ignore_border: bool = True,
        mode: Mode = "max",
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, pool_size, stride, pad, ignore_border, mode, **kwargs)


class Pool3DLayer(_PoolLayer):
    """Pooling over three axes, of an input of shape (batch, channels, depth, height, width).

    Parameters
    ----------
    incoming, pool_size, stride, pad, ignore_border, mode
        As for :class:`Pool2DLayer`, with three axes.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError, ValueError
        As :class:`Pool2DLayer`.
    """

    n = 3

    def __init__(
        self,
        incoming: Incoming,
        pool_size: int | Iterable[int],
        stride: int | Iterable[int] | None = None,
        pad: int | Iterable[int] = (0, 0, 0),
        ignore_border: bool = True,
        mode: Mode = "max",
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, pool_size, stride, pad, ignore_border, mode, **kwargs)


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


class MaxPool3DLayer(Pool3DLayer):
    """:class:`Pool3DLayer` with the mode 'max'; all other arguments are its own."""

    def __init__(
        self,
        incoming: Incoming,
        pool_size: int | Iterable[int],
        stride: int | Iterable[int] | None = None,
        pad: int | Iterable[int] = (0, 0, 0),
        ignore_border: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, pool_size, stride, pad, ignore_border, mode="max", **kwargs)
