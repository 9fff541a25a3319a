"""Layers that change the shape and keep the values."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lasagne.layers.base import Incoming, Layer, Shape
from lasagne.utils import check_int

__all__ = ["FlattenLayer", "ReshapeLayer", "flatten", "reshape"]


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


def _is_size(item: Any) -> bool:
    """Tell whether `item` is a positive integer or -1."""
    return isinstance(item, int) and (item > 0 or item == -1)


def _is_reference(item: Any) -> bool:
    """Tell whether `item` is a list of one axis."""
    return isinstance(item, list) and len(item) == 1 and isinstance(item[0], int) and item[0] >= 0


def _product(sizes: Sequence[int | None]) -> int | None:
    """Return the product of the sizes, None if one is unknown."""
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None
