"""Nonlinearities, biases and scales as layers of their own."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.axes import Axes, broadcast, kept_sizes, named_axes, resolve_axes
from lasagne.layers.base import Incoming, Layer, Nonlinearity, check_nonlinearity
from lasagne.utils import ParamSpec

__all__ = ["BiasLayer", "NonlinearityLayer", "ScaleLayer", "standardize", "take_nonlinearity"]


class NonlinearityLayer(Layer):
    """Apply a nonlinearity.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    nonlinearity : callable or None, default rectify
        A function that keeps the shape; None is the identity.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `nonlinearity` cannot be called.
    """

    def __init__(
        self,
        incoming: Incoming,
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        self.nonlinearity = check_nonlinearity(nonlinearity, self)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return ``nonlinearity(input)``."""
        return self.nonlinearity(input)


class BiasLayer(Layer):
    """Add a learned bias.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    b : initialiser, array, Tensor or None, default Constant(0)
        Biases, of the input's shape without `shared_axes`; None for no biases.
    shared_axes : 'auto', int or tuple of int, default 'auto'
        The axes along which a bias is shared; 'auto' is all but the second.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    ValueError
        If an axis does not exist, or the size of one that is not shared is not known.

    Examples
    --------
    >>> from lasagne.layers import BiasLayer
    >>> BiasLayer((20, 30, 40, 50), shared_axes=(0, 2)).b.shape
    torch.Size([30, 50])
    """

    def __init__(
        self,
        incoming: Incoming,
        b: ParamSpec | None = init.Constant(0),
        shared_axes: Axes = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        named = named_axes(self, "auto")
        self.shared_axes = resolve_axes(self, shared_axes, "shared_axes", named)
        self.b = None if b is None else self._add_biases(b)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return ``input + b``."""
        return input if self.b is None else input + broadcast(self.b, self.shared_axes)

    def _add_biases(self, b: ParamSpec) -> Tensor:
        """Create the biases."""
        shape = kept_sizes(self, self.shared_axes, "shared_axes")
        return self.add_param(b, shape, name="b", regularizable=False)


class ScaleLayer(Layer):
    """Multiply by learned factors.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    scales : initialiser, array or Tensor, default Constant(1)
        Factors, of the input's shape without `shared_axes`.
    shared_axes : 'auto', int or tuple of int, default 'auto'
        The axes along which a factor is shared; 'auto' is all but the second.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    ValueError
        If an axis does not exist, or the size of one that is not shared is not known.
    """

    def __init__(
        self,
        incoming: Incoming,
        scales: ParamSpec = init.Constant(1),
        shared_axes: Axes = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        named = named_axes(self, "auto")
        self.shared_axes = resolve_axes(self, shared_axes, "shared_axes", named)
        shape = kept_sizes(self, self.shared_axes, "shared_axes")
        self.scales = self.add_param(scales, shape, name="scales", regularizable=False)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return ``input * scales``."""
        return input * broadcast(self.scales, self.shared_axes)


def standardize(
    layer: Incoming, offset: ArrayLike, scale: ArrayLike, shared_axes: Axes = "auto"
) -> ScaleLayer:
    """Subtract an offset and divide by a scale, neither of which is learned.

    Parameters
    ----------
    layer : Layer or tuple
        The layer to standardise the output of, or the input's shape.
    offset : array
        What is subtracted, for instance the training data's mean; of the input's shape without
        `shared_axes`.
    scale : array
        What is then divided by, for instance the training data's standard deviation.
    shared_axes : 'auto', int or tuple of int, default 'auto'
        The axes along which both are shared; 'auto' is all but the second.

    Returns
    -------
    ScaleLayer
        On top of a :class:`BiasLayer`; their parameters do not have the tag 'trainable'.

    Raises
    ------
    ValueError
        As :class:`BiasLayer` and :class:`ScaleLayer`.
    """
    shifted = BiasLayer(layer, -np.asarray(offset), shared_axes)
    scaled = ScaleLayer(shifted, 1 / np.asarray(scale), shared_axes)
    for one in (shifted, scaled):
        for param, tags in one.params.items():
            tags.remove("trainable")
            param.requires_grad_(False)
    return scaled


def take_nonlinearity(layer: Incoming) -> Nonlinearity | None:
    """Make `layer` linear, and return the nonlinearity that it had, if any."""
    nonlinearity: Nonlinearity | None = getattr(layer, "nonlinearity", None)
    if nonlinearity is not None:
        layer.nonlinearity = nonlinearities.identity  # type: ignore[union-attr]
    return nonlinearity
