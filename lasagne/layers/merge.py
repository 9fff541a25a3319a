"""Layers that merge several inputs into one."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from lasagne.layers.base import Incoming, MergeLayer, Shape
from lasagne.layers.checks import check_axis

__all__ = [
    "ConcatLayer",
    "ElemwiseMergeLayer",
    "ElemwiseSumLayer",
    "autocrop",
    "autocrop_array_shapes",
    "concat",
]

CropMode = Literal["lower", "center", "upper"]

#: For each axis how to crop it, None for not at all; axes that follow are not cropped.
Cropping = Sequence[CropMode | None]


def autocrop(inputs: Sequence[Tensor], cropping: Cropping | None) -> list[Tensor]:
    """Cut tensors to the same sizes.

    Parameters
    ----------
    inputs : sequence of Tensor
        The tensors, all of the same number of axes.
    cropping : sequence of {None, 'lower', 'center', 'upper'} or None
        For each axis what is left of it, of the smallest tensor's size there: the start, the
        middle or the end. None leaves the axis, or all of them, as they are, and so do axes
        beyond the sequence's end.

    Returns
    -------
    list of Tensor
        Views of the tensors.

    Raises
    ------
    ValueError
        If the tensors differ in their number of axes, or `cropping` has more items than they
        have axes, or contains anything else.

    Examples
    --------
    >>> a, b = torch.arange(5), torch.arange(2)
    >>> autocrop([a, b], ["center"])
    [tensor([1, 2]), tensor([0, 1])]
    """
    targets = autocrop_array_shapes([tuple(input.shape) for input in inputs], cropping)
    return [
        _crop(input, target, cropping or ()) for input, target in zip(inputs, targets, strict=True)
    ]


def autocrop_array_shapes(input_shapes: Sequence[Shape], cropping: Cropping | None) -> list[Shape]:
    """Return the shapes that :func:`autocrop` gives to tensors of the given shapes.

    Parameters
    ----------
    input_shapes : sequence of tuple
        Sizes, None where unknown.
    cropping : sequence of {None, 'lower', 'center', 'upper'} or None
        As for :func:`autocrop`.

    Returns
    -------
    list of tuple
        The shapes; a cropped axis is None if any of the inputs' is.

    Raises
    ------
    ValueError
        As :func:`autocrop`.

    Examples
    --------
    >>> autocrop_array_shapes([(None, 5, 7), (2, 6, 4)], [None, "lower", "upper"])
    [(None, 5, 4), (2, 5, 4)]
    """
    if cropping is None:
        return list(input_shapes)
    ndims = [len(shape) for shape in input_shapes]
    if len(set(ndims)) > 1 or len(cropping) > min(ndims):
        raise ValueError(
            f"the inputs must have as many axes as each other, and at least as many as cropping "
            f"{list(cropping)} has items, got shapes {list(input_shapes)}"
        )
    if not all(mode is None or mode in get_args(CropMode) for mode in cropping):
        raise ValueError(
            f"cropping must be made of None, 'lower', 'center' and 'upper', got {list(cropping)}"
        )
    smallest = [_smallest(sizes) for sizes in zip(*input_shapes, strict=True)]
    cropped = [axis for axis, mode in enumerate(cropping) if mode is not None]
    return [
        tuple(smallest[axis] if axis in cropped else size for axis, size in enumerate(shape))
        for shape in input_shapes
    ]


class _CroppingLayer(MergeLayer):
    """A layer whose inputs are cropped, and then differ along one axis at most."""

    def __init__(
        self, incomings: Sequence[Incoming], cropping: Cropping | None, **kwargs: Any
    ) -> None:
        super().__init__(incomings, **kwargs)
        if not self.input_shapes:
            raise ValueError(f"{self} needs at least one input")
        self.cropping = cropping

    def _cropped_shapes(self, input_shapes: Sequence[Shape]) -> list[Shape]:
        """Return the inputs' shapes once they are cropped."""
        try:
            return autocrop_array_shapes(input_shapes, self.cropping)
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from None

    def _common_sizes(self, shapes: Sequence[Shape], but: int | None = None) -> list[int | None]:
        """Return the sizes that all shapes have, None if unknown; axis `but` is not compared."""
        known = [{n for n in sizes if n is not None} for sizes in zip(*shapes, strict=False)]
        differing = [axis for axis, sizes in enumerate(known) if len(sizes) > 1]
        if len({len(shape) for shape in shapes}) > 1 or not set(differing) <= {but}:
            exception = "" if but is None else f" but for axis {but}"
            raise ValueError(
                f"{self} needs inputs of the same shape{exception}, got {list(shapes)}"
            )
        return [min(sizes) if sizes else None for sizes in known]


class ConcatLayer(_CroppingLayer):
    """Join the inputs along one axis.

    Parameters
    ----------
    incomings : list of Layer or tuple
        The layers feeding into this one, or the inputs' shapes.
    axis : int, default 1
        The axis; along the others, all inputs have the same size.
    cropping : list of {None, 'lower', 'center', 'upper'} or None, default None
        How to crop the inputs before, see :func:`autocrop`; `axis` itself is never cropped.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `axis` is not an integer.
    ValueError
        If there is no input, `axis` does not exist, `cropping` is not as for :func:`autocrop`, or
        the sizes differ along another axis.

    Examples
    --------
    >>> from lasagne.layers import ConcatLayer, InputLayer
    >>> left, right = InputLayer((None, 3, 8, 8)), InputLayer((None, 5, 6, 6))
    >>> ConcatLayer([left, right], cropping=[None, None, "center", "center"]).output_shape
    (None, 8, 6, 6)
    """

    def __init__(
        self,
        incomings: Sequence[Incoming],
        axis: int = 1,
        cropping: Cropping | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(incomings, cropping, **kwargs)
        self.axis = check_axis(self, axis, min(self.input_shapes, key=len))
        if cropping is not None:
            self.cropping = [None if i == self.axis else mode for i, mode in enumerate(cropping)]
        self.get_output_shape_for(self.input_shapes)

    def get_output_shape_for(self, input_shapes: Sequence[Shape]) -> Shape:
        """Return the common shape, with the sum of the sizes along the axis."""
        shapes = self._cropped_shapes(input_shapes)
        output = self._common_sizes(shapes, but=self.axis)
        joined = [shape[self.axis] for shape in shapes]
        known = [size for size in joined if size is not None]
        output[self.axis] = sum(known) if len(known) == len(joined) else None
        return tuple(output)

    def get_output_for(self, inputs: Sequence[Tensor], **kwargs: Any) -> Tensor:  # type: ignore[override]
        """Return the inputs joined."""
        return torch.cat(autocrop(inputs, self.cropping), self.axis)


concat = ConcatLayer


class ElemwiseMergeLayer(_CroppingLayer):
    """Merge inputs of the same shape element by element.

    Parameters
    ----------
    incomings : list of Layer or tuple
        The layers feeding into this one, or the inputs' shapes.
    merge_function : callable
        Called with two tensors, returns one; ``torch.mul`` and ``torch.maximum`` for example.
        Further inputs are merged one by one with the result.
    cropping : list of {None, 'lower', 'center', 'upper'} or None, default None
        How to crop the inputs before, see :func:`autocrop`.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `merge_function` cannot be called.
    ValueError
        If there is no input, `cropping` is not as for :func:`autocrop`, or the shapes differ.
    """

    def __init__(
        self,
        incomings: Sequence[Incoming],
        merge_function: Callable[[Tensor, Tensor], Tensor],
        cropping: Cropping | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(incomings, cropping, **kwargs)
        if not callable(merge_function):
            raise TypeError(f"{self}: merge_function must be callable, got {merge_function!r}")
        self.merge_function = merge_function
        self.get_output_shape_for(self.input_shapes)

    def get_output_shape_for(self, input_shapes: Sequence[Shape]) -> Shape:
        """Return the common shape."""
        return tuple(self._common_sizes(self._cropped_shapes(input_shapes)))

    def get_output_for(self, inputs: Sequence[Tensor], **kwargs: Any) -> Tensor:  # type: ignore[override]
        """Return the inputs merged."""
        return reduce(self.merge_function, autocrop(inputs, self.cropping))


class ElemwiseSumLayer(ElemwiseMergeLayer):
    """Add inputs of the same shape, each times its coefficient.

    Parameters
    ----------
    incomings : list of Layer or tuple
        The layers feeding into this one, or the inputs' shapes.
    coeffs : float or list of float, default 1
        The coefficients; a single one is for all inputs.
    cropping : list of {None, 'lower', 'center', 'upper'} or None, default None
        How to crop the inputs before, see :func:`autocrop`.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    ValueError
        If there is no input, there are not as many coefficients as inputs, `cropping` is not as
        for :func:`autocrop`, or the shapes differ.
    """

    def __init__(
        self,
        incomings: Sequence[Incoming],
        coeffs: float | Sequence[float] = 1,
        cropping: Cropping | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(incomings, torch.add, cropping, **kwargs)
        count = len(self.input_shapes)
        self.coeffs = list(coeffs) if isinstance(coeffs, Sequence) else [coeffs] * count
        if len(self.coeffs) != count:
            raise ValueError(
                f"{self}: coeffs must be one number or one for each of the {count} inputs, "
                f"got {coeffs!r}"
            )

    def get_output_for(self, inputs: Sequence[Tensor], **kwargs: Any) -> Tensor:  # type: ignore[override]
        """Return the weighted sum."""
        cropped = autocrop(inputs, self.cropping)
        output = cropped[0] if self.coeffs[0] == 1 else cropped[0] * self.coeffs[0]
        for input, coeff in zip(cropped[1:], self.coeffs[1:], strict=True):
            output = torch.add(output, input, alpha=coeff)
        return output


def _smallest(sizes: Sequence[int | None]) -> int | None:
    """Return the smallest size, None if one is unknown."""
    known = [size for size in sizes if size is not None]
    return min(known) if len(known) == len(sizes) else None


def _crop(input: Tensor, shape: Shape, cropping: Cropping) -> Tensor:
    """Return the part of `input` that has the given shape."""
    for axis, mode in enumerate(cropping):
        size = shape[axis]
        if mode is None or size is None:
            continue
        surplus = input.shape[axis] - size
        start = {"lower": 0, "center": surplus // 2, "upper": surplus}[mode]
        input = input.narrow(axis, start, size)
    return input
