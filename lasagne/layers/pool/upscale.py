"""Layers that make their input larger."""

from collections.abc import Iterable
from typing import Any, Literal, get_args

from torch import Tensor
from torch.nn import functional

from lasagne.layers.base import Incoming, Layer, Shape
from lasagne.layers.checks import check_spatial_axes
from lasagne.utils import check_int_tuple

__all__ = ["Upscale1DLayer", "Upscale2DLayer", "Upscale3DLayer"]

UpscaleMode = Literal["repeat", "dilate"]


class _UpscaleLayer(Layer):
    """Upscaling of the last `n` axes, with the arguments of :class:`Upscale2DLayer`."""

    n: int

    def __init__(
        self,
        incoming: Incoming,
        scale_factor: int | Iterable[int],
        mode: UpscaleMode = "repeat",
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        check_spatial_axes(self, self.n)
        self.scale_factor = check_int_tuple(scale_factor, self.n, f"{self}: scale_factor")
        if mode not in get_args(UpscaleMode):
            raise ValueError(f"{self}: mode must be one of {get_args(UpscaleMode)}, got {mode!r}")
        self.mode = mode

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return (batch, channels, and the sizes times the factors)."""
        pairs = zip(input_shape[2:], self.scale_factor, strict=True)
        return (*input_shape[:2], *(None if size is None else size * k for size, k in pairs))

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        sizes = [size * k for size, k in zip(input.shape[2:], self.scale_factor, strict=True)]
        if self.mode == "repeat":
            return functional.interpolate(input, sizes, mode="nearest-exact")
        output = input.new_zeros(*input.shape[:2], *sizes)
        every: list[slice] = [slice(None, None, k) for k in self.scale_factor]
        output[:, :, *every] = input
        return output


class Upscale1DLayer(_UpscaleLayer):
    """Upscaling of one axis, of an input of shape (batch, channels, length).

    Parameters
    ----------
    incoming, scale_factor, mode
        As for :class:`Upscale2DLayer`, with one axis.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError, ValueError
        As :class:`Upscale2DLayer`.
    """

    n = 1


class Upscale2DLayer(_UpscaleLayer):
    """Upscaling of two axes, of an input of shape (batch, channels, height, width).

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    scale_factor : int or tuple of int
        How many times larger each axis becomes; an int stands for all.
    mode : {'repeat', 'dilate'}, default 'repeat'
        Whether every value is repeated, or followed by zeros.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `scale_factor` is not made of integers.
    ValueError
        If `scale_factor` is smaller than 1, `mode` is neither of the two, or the input has
        another number of axes.

    Examples
    --------
    >>> from lasagne.layers import InputLayer, Upscale2DLayer
    >>> Upscale2DLayer(InputLayer((None, 3, 8, 6)), scale_factor=(2, 3)).output_shape
    (None, 3, 16, 18)
    """

    n = 2


class Upscale3DLayer(_UpscaleLayer):
    """Upscaling of three axes, of an input of shape (batch, channels, depth, height, width).

    Parameters
    ----------
    incoming, scale_factor, mode
        As for :class:`Upscale2DLayer`, with three axes.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError, ValueError
        As :class:`Upscale2DLayer`.
    """

    n = 3
