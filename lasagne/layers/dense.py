"""Fully connected layers."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

import math
from typing import Any

import torch
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Layer, Nonlinearity, Shape, check_nonlinearity
from lasagne.utils import ParamSpec, check_int

__all__ = ["DenseLayer"]


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
        if self.b is not None and input.ndim == 2:
            activation = torch.addmm(self.b, input, self.W)
        else:
            activation = torch.nn.functional.linear(input, self.W.t(), self.b)
        return self.nonlinearity(activation)
