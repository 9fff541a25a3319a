"""Layers that change the shape and keep the values."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from torch import Tensor
from torch.nn import functional

from lasagne.layers.base import Incoming, Layer, Shape
from lasagne.layers.checks import check_axis
from lasagne.utils import check_int, check_int_tuple

__all__ = [
    "DimshuffleLayer",
    "FlattenLayer",
    "PadLayer",
    "ReshapeLayer",
    "SliceLayer",
    "dimshuffle",
    "flatten",
    "pad",
    "reshape",
]


class FlattenLayer(Layer):
    """Flatten the input to `outdim` axes.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    outdim : int, default 2
        How many axes are left: the first ``outdim - 1`` stay, the others become one.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `outdim` is not an integer.
    ValueError
        If `outdim` is not between 1 and the input's number of axes.
    """

    def __init__(self, incoming: Incoming, outdim: int = 2, **kwargs: Any) -> None:
        super().__init__(incoming, **kwargs)
        self.outdim = check_int(outdim, f"{self}: outdim")
        if outdim > len(self.input_shape):
            raise ValueError(
                f"{self}: outdim must be at most the number of axes of the input's shape "
                f"{self.input_shape}, got {outdim}"
            )

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return the first sizes and the product of the others."""
        kept, flattened = input_shape[: self.outdim - 1], input_shape[self.outdim - 1 :]
        return (*kept, _product(flattened))

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return `input`, flattened."""
        return input.flatten(self.outdim - 1)


flatten = FlattenLayer


class ReshapeLayer(Layer):
    """Give the input another shape of the same size.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    shape : tuple
        The output's shape: positive integers, ``[i]`` for the size of the input's axis i, and at
        most one -1 for what is left.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    ValueError
        If `shape` is made of anything else, or cannot have the input's size.

    Examples
    --------
    >>> from lasagne.layers import InputLayer, ReshapeLayer
    >>> ReshapeLayer(InputLayer((None, 100, 20)), ([0], [1], 2, -1)).output_shape
    (None, 100, 2, 10)
    """

    def __init__(self, incoming: Incoming, shape: Sequence[int | list[int]], **kwargs: Any) -> None:
        super().__init__(incoming, **kwargs)
        self.shape = tuple(shape)
        if not all(_is_size(item) or _is_reference(item) for item in self.shape):
            raise ValueError(
                f"{self}: shape must be made of positive integers, -1 and references to input "
                f"axes like [0], got {self.shape}"
            )
        if self.shape.count(-1) > 1:
            raise ValueError(f"{self}: shape must not contain more than one -1, got {self.shape}")
        self.get_output_shape_for(self.input_shape)

    def get_output_shape_for(self, input_shape: Shape, **kwargs: Any) -> Shape:
        """Return the shape asked for, with references and -1 replaced where sizes are known."""
        output = list(self._resolve(input_shape))
        # A size that is unknown but carried over stands on both sides, and cancels.
        input_rest, output_rest = list(input_shape), list(output)
        for axis, item in enumerate(self.shape):
            if isinstance(item, list) and output[axis] is None and input_rest[item[0]] is None:
                input_rest[item[0]] = output_rest[axis] = 1
        input_size, output_size = _product(input_rest), _product(output_rest)
        if -1 in output:
            inferred = None
            if input_size is not None and output_size is not None:
                inferred = input_size // -output_size
                output_size *= -inferred
            output[output.index(-1)] = inferred
        if None not in (input_size, output_size) and input_size != output_size:
            raise ValueError(
                f"{self}: an input of shape {input_shape} cannot have the shape {self.shape}: "
                "their sizes differ"
            )
        return tuple(output)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return `input` in its new shape."""
        return input.reshape(self._resolve(input.shape))

    def _resolve(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        """Return the shape asked for, with the references replaced by the input's sizes."""
        try:
            return tuple(
                input_shape[item[0]] if isinstance(item, list) else item for item in self.shape
            )
        except IndexError:
            raise ValueError(
                f"{self}: shape refers to an axis which an input of shape {tuple(input_shape)} "
                f"does not have, got {self.shape}"
            ) from None


reshape = ReshapeLayer


class DimshuffleLayer(Layer):
    """Reorder the axes, and add or drop axes of size 1.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    pattern : tuple
        For each axis of the output the input's axis, or 'x' for a new one. Axes that are left out
        must be of size 1.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    ValueError
        If `pattern` contains anything else, an axis twice or one that does not exist, or leaves
        out an axis of another size.

    Examples
    --------
    >>> from lasagne.layers import DimshuffleLayer, InputLayer
    >>> DimshuffleLayer(InputLayer((None, 1, 8, 6)), (3, "x", 0, 2)).output_shape
    (6, 1, None, 8)
    """

    def __init__(
        self, incoming: Incoming, pattern: Iterable[int | Literal["x"]], **kwargs: Any
    ) -> None:
        super().__init__(incoming, **kwargs)
        self.pattern = tuple(pattern)
        axes = [item for item in self.pattern if item != "x"]
        ndim = len(self.input_shape)
        if not all(_is_index(axis) and 0 <= axis < ndim for axis in axes):
            raise ValueError(
                f"{self}: pattern must be made of 'x' and axes of the input's shape "
                f"{self.input_shape}, got {self.pattern}"
            )
        if len(set(axes)) < len(axes):
            raise ValueError(f"{self}: pattern must not repeat an axis, got {self.pattern}")
        self._axes = axes
        self._dropped = [axis for axis in range(ndim) if axis not in axes]
        self.get_output_shape_for(self.input_shape)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return the sizes in their new order, 1 for new axes."""
        if any(input_shape[axis] not in (1, None) for axis in self._dropped):
            raise ValueError(
                f"{self}: axes that pattern leaves out must be of size 1, got {self.pattern} for "
                f"an input of shape {tuple(input_shape)}"
            )
        return tuple(1 if item == "x" else input_shape[item] for item in self.pattern)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return a view of `input` with its axes in their new order."""
        self.get_output_shape_for(input.shape)
        shape = [1 if item == "x" else input.shape[item] for item in self.pattern]
        return input.permute(*self._axes, *self._dropped).view(shape)


dimshuffle = DimshuffleLayer


class PadLayer(Layer):
    """Add a border of a constant value.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    width : int or iterable of int or pair of int
        How much is added to either side of each axis from `batch_ndim` on: one number for all,
        or for each axis, maybe but the last ones, a number or a pair (before, after).
    val : float, default 0
        The border's value.
    batch_ndim : int, default 2
        How many axes at the start are never padded.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `width` or `batch_ndim` is not made of integers.
    ValueError
        If a number is negative, or there are more of them than axes.

    Examples
    --------
    >>> from lasagne.layers import InputLayer, PadLayer
    >>> PadLayer(InputLayer((None, 3, 8, 6)), [2, (0, 1)]).output_shape
    (None, 3, 12, 7)
    """

    def __init__(
        self,
        incoming: Incoming,
        width: int | Iterable[int | Iterable[int]],
        val: float = 0,
        batch_ndim: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        self.width = width
        self.val = val
        self.batch_ndim = check_int(batch_ndim, f"{self}: batch_ndim", 0)
        padded = max(0, len(self.input_shape) - self.batch_ndim)
        widths = list(width) if isinstance(width, Iterable) else [width] * padded
        if len(widths) > padded:
            raise ValueError(
                f"{self}: width must have at most {padded} items for an input of shape "
                f"{self.input_shape} and batch_ndim={batch_ndim}, got {width!r}"
            )
        self._widths = [check_int_tuple(pair, 2, f"{self}: width", minimum=0) for pair in widths]

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return the sizes with the border added."""
        output = list(input_shape)
        for axis, pair in enumerate(self._widths, self.batch_ndim):
            size = output[axis]
            output[axis] = None if size is None else size + sum(pair)
        return tuple(output)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return `input` with the border around it."""
        rest = input.ndim - self.batch_ndim - len(self._widths)
        innermost_first = [(0, 0)] * rest + self._widths[::-1]
        flat = [width for pair in innermost_first for width in pair]
        return functional.pad(input, flat, value=self.val)


pad = PadLayer


class SliceLayer(Layer):
    """Take a part of one axis.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    indices : int or slice
        An int takes the axis away; a slice is Python's, with any step. Negative numbers count
        from the end.
    axis : int, default -1
        The axis.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `indices` is neither an int nor a slice.
    ValueError
        If the axis, or for an int the place on it, does not exist.

    Examples
    --------
    >>> from lasagne.layers import InputLayer, SliceLayer
    >>> layer = InputLayer((2, 3, 4))
    >>> SliceLayer(layer, slice(None, None, -2)).output_shape, SliceLayer(layer, 0, 1).output_shape
    ((2, 3, 2), (2, 4))
    """

    def __init__(
        self, incoming: Incoming, indices: int | slice, axis: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(incoming, **kwargs)
        if not isinstance(indices, slice) and not _is_index(indices):
            raise TypeError(f"{self}: indices must be an integer or a slice, got {indices!r}")
        self.slice = indices
        self.axis = check_axis(self, axis, self.input_shape)
        self.get_output_shape_for(self.input_shape)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return the input's shape with the axis shortened, or without it."""
        output, size = list(input_shape), input_shape[self.axis]
        if isinstance(self.slice, slice):
            output[self.axis] = None if size is None else len(range(*self.slice.indices(size)))
            return tuple(output)
        if size is not None and not -size <= self.slice < size:
            raise ValueError(
                f"{self}: indices must be within axis {self.axis} of the input's shape "
                f"{tuple(input_shape)}, got {self.slice}"
            )
        del output[self.axis]
        return tuple(output)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the part of `input`."""
        if not isinstance(self.slice, slice):
            return input.select(self.axis, self.slice)
        places = range(*self.slice.indices(input.shape[self.axis]))
        # PyTorch's steps are positive.
        forwards = places if places.step > 0 else places[::-1]
        part = slice(forwards.start, forwards.stop, forwards.step)
        output = input[(slice(None),) * self.axis + (part,)]
        return output if places.step > 0 else output.flip(self.axis)


def _is_size(item: Any) -> bool:
    """Tell whether `item` is a positive integer or -1."""
    return isinstance(item, int) and (item > 0 or item == -1)


def _is_reference(item: Any) -> bool:
    """Tell whether `item` is a list of one axis."""
    return isinstance(item, list) and len(item) == 1 and isinstance(item[0], int) and item[0] >= 0


def _is_index(item: Any) -> bool:
    """Tell whether `item` is an integer."""
    return isinstance(item, int) and not isinstance(item, bool)


def _product(sizes: Sequence[int | None]) -> int | None:
    """Return the product of the sizes, None if one is unknown."""
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None
