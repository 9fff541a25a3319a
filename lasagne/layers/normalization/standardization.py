"""Standardisation of each instance by itself."""

from typing import Any

import torch
from torch import Tensor

from lasagne.layers.axes import Axes, named_axes, resolve_axes
from lasagne.layers.base import Incoming, Layer
from lasagne.layers.normalization.wrapping import extended_name, stack_nonlinearity, strip
from lasagne.layers.special.simple import BiasLayer, ScaleLayer

__all__ = ["StandardizationLayer", "instance_norm", "layer_norm"]


class StandardizationLayer(Layer):
    """Subtract the mean, and divide by ``sqrt(variance + epsilon)``, of each instance by itself.

    It has no parameters, and does the same in training and in use.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    axes : 'auto', 'spatial', 'features', int or tuple of int, default 'auto'
        The axes to take mean and variance over: 'spatial' is all from the third on, 'features'
        all but the first; 'auto' is 'features' for an input of two axes, else 'spatial'.
    epsilon : float, default 1e-4
        Added to the variance, which is the biased one.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    ValueError
        If there is no axis, or one does not exist.

    See Also
    --------
    instance_norm, layer_norm : Put the layer below the nonlinearity of another.

    References
    ----------
    Dmitry Ulyanov et al. (2016): Instance normalization: The missing ingredient for fast
    stylization. https://arxiv.org/abs/1607.08022

    Jimmy Lei Ba et al. (2016): Layer normalization. https://arxiv.org/abs/1607.06450
    """

    def __init__(
        self, incoming: Incoming, axes: Axes = "auto", epsilon: float = 1e-4, **kwargs: Any
    ) -> None:
        super().__init__(incoming, **kwargs)
        named = named_axes(self, "spatial", "features")
        named["auto"] = named["features" if len(self.input_shape) == 2 else "spatial"]
        self.axes = resolve_axes(self, axes, "axes", named)
        if not self.axes:
            raise ValueError(
                f"{self} needs at least one axis to take mean and variance over, got axes={axes!r} "
                f"for an input of shape {self.input_shape}"
            )
        self.epsilon = epsilon

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        last = tuple(range(-len(self.axes), 0))
        moved = input.movedim(self.axes, last)
        shape = moved.shape[last[0] :]
        output = torch.nn.functional.layer_norm(moved, shape, eps=self.epsilon)
        return output.movedim(last, self.axes)


def instance_norm(
    layer: Incoming, learn_scale: bool = True, learn_bias: bool = True, **kwargs: Any
) -> Layer:
    """Standardise each channel of each instance of what `layer` computes.

    Parameters
    ----------
    layer : Layer or tuple
        The layer, with spatial axes. It is changed: its nonlinearity goes to a layer on top, and
        its biases are removed.
    learn_scale : bool, default True
        Whether to put a :class:`ScaleLayer` on top of the :class:`StandardizationLayer`.
    learn_bias : bool, default True
        Whether to put a :class:`BiasLayer` on top of these.
    **kwargs
        `epsilon` and `name`, for :class:`StandardizationLayer`. The name is by default that of
        `layer` and '_in'.

    Returns
    -------
    Layer
        The last of the layers put on top, which are named like the first of them and '_scale',
        '_bias' and '_nonlin'.

    Raises
    ------
    ValueError
        If what `layer` computes has no spatial axes.
    """
    name = kwargs.pop("name", None) or extended_name(layer, "_in")
    return _standardized(layer, "spatial", name, learn_scale, learn_bias, **kwargs)


def layer_norm(layer: Incoming, **kwargs: Any) -> Layer:
    """Standardise each instance of what `layer` computes, over all units or channels and places.

    Parameters
    ----------
    layer : Layer or tuple
        The layer. It is changed: its nonlinearity goes to a layer on top, and its biases are
        removed.
    **kwargs
        `epsilon` and `name`, for :class:`StandardizationLayer`. The name is by default that of
        `layer` and '_ln'.

    Returns
    -------
    Layer
        The last of the layers put on top: :class:`StandardizationLayer`, :class:`ScaleLayer`,
        :class:`BiasLayer` and :class:`NonlinearityLayer`, which are named like the first of them
        and '_scale', '_bias' and '_nonlin'.
    """
    name = kwargs.pop("name", None) or extended_name(layer, "_ln")
    return _standardized(layer, "features", name, True, True, **kwargs)


def _standardized(
    layer: Incoming,
    axes: Axes,
    name: str | None,
    learn_scale: bool,
    learn_bias: bool,
    **kwargs: Any,
) -> Layer:
    """Put the standardisation, and scales and biases if wanted, below the nonlinearity."""
    nonlinearity = strip(layer)
    top: Layer = StandardizationLayer(layer, axes=axes, name=name, **kwargs)
    if learn_scale:
        top = ScaleLayer(top, name=name and f"{name}_scale")
    if learn_bias:
        top = BiasLayer(top, name=name and f"{name}_bias")
    return stack_nonlinearity(top, nonlinearity, name)
