"""Rectifiers whose slope for negative values is learned or random."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from typing import Any

import torch
from torch import Tensor

from lasagne import init
from lasagne.layers.axes import Axes, broadcast, kept_sizes, named_axes, resolve_axes
from lasagne.layers.base import Incoming, Layer
from lasagne.layers.special.simple import take_nonlinearity
from lasagne.utils import ParamSpec

__all__ = ["ParametricRectifierLayer", "RandomizedRectifierLayer", "prelu", "rrelu"]


class ParametricRectifierLayer(Layer):
    """Rectifier that learns its slope for negative values, ``max(x, 0) + alpha * min(x, 0)``.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    alpha : initialiser, array or Tensor, default Constant(0.25)
        Slopes, of the input's shape without `shared_axes`.
    shared_axes : 'auto', 'all', int or tuple of int, default 'auto'
        The axes along which a slope is shared; 'auto' is all but the second.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    ValueError
        If an axis does not exist, or the size of one that is not shared is not known.

    References
    ----------
    Kaiming He et al. (2015): Delving deep into rectifiers: Surpassing human-level performance on
    ImageNet classification. https://arxiv.org/abs/1502.01852
    """

    def __init__(
        self,
        incoming: Incoming,
        alpha: ParamSpec = init.Constant(0.25),
        shared_axes: Axes = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        named = named_axes(self, "auto", "all")
        self.shared_axes = resolve_axes(self, shared_axes, "shared_axes", named)
        shape = kept_sizes(self, self.shared_axes, "shared_axes")
        self.alpha = self.add_param(alpha, shape, name="alpha", regularizable=False)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return `input` with its negative values multiplied by `alpha`."""
        return _leaky(input, broadcast(self.alpha, self.shared_axes))


def prelu(layer: Incoming, **kwargs: Any) -> ParametricRectifierLayer:
    """Put a :class:`ParametricRectifierLayer` in the place of the nonlinearity of `layer`.

    Parameters
    ----------
    layer : Layer or tuple
        The layer, which is made linear.
    **kwargs
        For :class:`ParametricRectifierLayer`.
    """
    take_nonlinearity(layer)
    return ParametricRectifierLayer(layer, **kwargs)


class RandomizedRectifierLayer(Layer):
    """Rectifier that draws its slope for negative values from a range.

    Draws come from PyTorch's generator, which :func:`torch.manual_seed` seeds. With
    ``deterministic=True`` the slope is the range's middle.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    lower : float, default 0.3
        The smallest slope.
    upper : float, default 0.8
        The largest slope.
    shared_axes : 'auto', 'all', int or tuple of int, default 'auto'
        The axes along which a draw is shared; 'auto' is all but the second, so that each channel
        has one slope for the whole batch. () draws for every value.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    ValueError
        If `lower` is larger than `upper`, or an axis does not exist.

    References
    ----------
    Bing Xu et al. (2015): Empirical evaluation of rectified activations in convolutional network.
    https://arxiv.org/abs/1505.00853
    """

    def __init__(
        self,
        incoming: Incoming,
        lower: float | Tensor = 0.3,
        upper: float | Tensor = 0.8,
        shared_axes: Axes = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        if lower > upper:
            raise ValueError(
                f"{self}: lower must not be larger than upper, got {lower!r} and {upper!r}"
            )
        self.lower = lower
        self.upper = upper
        named = named_axes(self, "auto", "all")
        self.shared_axes = resolve_axes(self, shared_axes, "shared_axes", named)

    def get_output_for(self, input: Tensor, deterministic: bool = False, **kwargs: Any) -> Tensor:
        """Return `input` with its negative values multiplied by random slopes.

        Parameters
        ----------
        input : Tensor
            A tensor of the input's shape.
        deterministic : bool, default False
            Whether the slope is ``(lower + upper) / 2``.
        **kwargs
            Ignored.
        """
        if deterministic or self.lower == self.upper:
            slope = (self.lower + self.upper) / 2
            return torch.nn.functional.leaky_relu(input, float(slope))
        shape = [1 if i in self.shared_axes else size for i, size in enumerate(input.shape)]
        slopes = torch.rand(shape, dtype=input.dtype, device=input.device)
        return _leaky(input, slopes * (self.upper - self.lower) + self.lower)


def rrelu(layer: Incoming, **kwargs: Any) -> RandomizedRectifierLayer:
    """Put a :class:`RandomizedRectifierLayer` in the place of the nonlinearity of `layer`.

    Parameters
    ----------
    layer : Layer or tuple
        The layer, which is made linear.
    **kwargs
        For :class:`RandomizedRectifierLayer`.
    """
    take_nonlinearity(layer)
    return RandomizedRectifierLayer(layer, **kwargs)


def _leaky(input: Tensor, slope: Tensor) -> Tensor:
    """Return `input` with its negative values multiplied by `slope`, which broadcasts.

    PyTorch's kernel for a slope for each channel needs a third of the memory of arithmetic.
    """
    slope = slope.to(input.dtype)
    channels = input.shape[1] if input.ndim > 1 else 1
    if slope.numel() == 1 or slope.numel() == channels == slope.shape[1]:
        return torch.nn.functional.prelu(input, slope.flatten())
    return torch.where(input > 0, input, input * slope)
