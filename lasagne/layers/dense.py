"""Fully connected layers."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Layer, Nonlinearity, Shape, check_nonlinearity
from lasagne.utils import ParamSpec, check_int

__all__ = ["DenseLayer", "NINLayer"]


class DenseLayer(Layer):
    """A fully connected layer, ``nonlinearity(x W + b)``.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    num_units : int
        Number of units.
    W : initialiser, array or Tensor, default GlorotUniform()
        Weights, of shape (num_inputs, num_units).
    b : initialiser, array, Tensor or None, default Constant(0)
        Biases, of shape (num_units,); None for no biases.
    nonlinearity : callable or None, default rectify
        Applied to the result; None is linear.
    num_leading_axes : int, default 1
        How many of the input's axes are kept; those that follow are flattened into ``num_inputs``.
        Negative numbers count from the end: -1 applies the layer to the last axis.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `num_units` is not positive, `num_leading_axes` leaves no axis to multiply, or the
        number of inputs is not known.
    """

    def __init__(
        self,
        incoming: Incoming,
        num_units: int,
        W: ParamSpec = init.GlorotUniform(),
        b: ParamSpec | None = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        num_leading_axes: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        self.nonlinearity = check_nonlinearity(nonlinearity, self)
        self.num_units = check_int(num_units, f"{self}: num_units")
        ndim = len(self.input_shape)
        if check_int(num_leading_axes, f"{self}: num_leading_axes", -ndim) >= ndim:
            raise ValueError(
                f"{self}: num_leading_axes must leave an axis of the input to multiply, "
                f"got {num_leading_axes} for an input of shape {self.input_shape}"
            )
        self.num_leading_axes = num_leading_axes
        sizes = [size for size in self.input_shape[num_leading_axes:] if size is not None]
        if len(sizes) < len(self.input_shape[num_leading_axes:]):
            raise ValueError(
                f"{self} needs an input whose sizes are known but for the leading axes, got "
                f"{self.input_shape} for num_leading_axes={num_leading_axes}"
            )
        self.W = self.add_param(W, (math.prod(sizes), self.num_units), name="W")
        if not isinstance(W, Tensor):
            # One unit's weights lie side by side in memory, which products of few units need.
            self.W.data = self.W.data.t().contiguous().t()
        self.b = (
            None
            if b is None
            else self.add_param(b, (self.num_units,), name="b", regularizable=False)
        )

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return the leading axes' sizes and the number of units."""
        return (*input_shape[: self.num_leading_axes], self.num_units)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        leading = self.num_leading_axes % input.ndim
        if input.ndim > leading + 1:
            input = input.flatten(leading)
        activation = torch.nn.functional.linear(input, self.W.t(), self.b)
        return self.nonlinearity(activation)


class NINLayer(Layer):
    """A fully connected layer over the channels, the same at every position: network in network.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, channels, and any sizes).
    num_units : int
        Number of units, which become the channels.
    untie_biases : bool, default False
        Whether every position has its own bias in place of one for each unit.
    W : initialiser, array or Tensor, default GlorotUniform()
        Weights, of shape (channels, num_units).
    b : initialiser, array, Tensor or None, default Constant(0)
        Biases, of shape (num_units,), or with `untie_biases` (num_units, and the input's sizes);
        None for no biases.
    nonlinearity : callable or None, default rectify
        Applied to the result; None is linear.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `num_units` is not positive, or the number of channels, or with `untie_biases` any size
        but the batch's, is not known.

    References
    ----------
    Min Lin, Qiang Chen and Shuicheng Yan (2014): Network in network. ICLR.

    Examples
    --------
    >>> from lasagne.layers import InputLayer, NINLayer
    >>> NINLayer(InputLayer((None, 3, 32, 32)), 16).output_shape
    (None, 16, 32, 32)
    """

    def __init__(
        self,
        incoming: Incoming,
        num_units: int,
        untie_biases: bool = False,
        W: ParamSpec = init.GlorotUniform(),
        b: ParamSpec | None = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        self.nonlinearity = check_nonlinearity(nonlinearity, self)
        self.num_units = check_int(num_units, f"{self}: num_units")
        self.untie_biases = untie_biases
        channels, *sizes = self.input_shape[1:] or [None]
        if channels is None:
            raise ValueError(
                f"{self} needs an input (batch, channels, ...) with known channels, "
                f"got {self.input_shape}"
            )
        known = [size for size in sizes if size is not None] if untie_biases else []
        if untie_biases and len(known) < len(sizes):
            raise ValueError(
                f"{self}: untie_biases=True needs an input whose sizes are known, "
                f"got {self.input_shape}"
            )
        self.W = self.add_param(W, (channels, self.num_units), name="W")
        shape = (self.num_units, *known)
        self.b = None if b is None else self.add_param(b, shape, name="b", regularizable=False)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return the input's shape with the number of units for channels."""
        return (input_shape[0], self.num_units, *input_shape[2:])

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        folded = input.flatten(4) if input.ndim > 5 else input
        tied = None if self.untie_biases else self.b
        activation = _apply_to_channels(folded, self.W, tied).view(
            input.shape[0], self.num_units, *input.shape[2:]
        )
        if self.untie_biases and self.b is not None:
            activation = activation + self.b
        return self.nonlinearity(activation)


def _apply_to_channels(input: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
    """Return `input` of two to five axes with its second one, the channels, multiplied."""
    filters = weights.t().reshape(*weights.t().shape, *[1] * (input.ndim - 2))
    match input.ndim:
        case 2:
            return functional.linear(input, filters, biases)
        case 3:
            return functional.conv1d(input, filters, biases)
        case 4:
            return functional.conv2d(input, filters, biases)
        case _:
            return functional.conv3d(input, filters, biases)
