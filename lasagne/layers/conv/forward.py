"""Convolutions over one, two and three axes."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Nonlinearity
from lasagne.layers.conv.base import BaseConvLayer, Pad
from lasagne.utils import ParamSpec

__all__ = ["Conv1DLayer", "Conv2DLayer", "Conv3DLayer"]


class _ConvLayer(BaseConvLayer):
    """A convolution that a function like :func:`torch.nn.functional.conv2d` computes."""

    convolution: Callable[..., Tensor]

    def _convolve(self, input: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        """Return the convolution of `input`, plus one bias for each filter if there are any."""
        return self.convolution(
            input,
            self._flipped(weights) if self.flip_filters else weights,
            biases,
            stride=self.stride,
            padding=self._padding(),
            groups=self.num_groups,
        )


class Conv1DLayer(_ConvLayer):
    """Convolution over one axis, of an input of shape (batch, channels, length).

    Parameters
    ----------
    incoming, num_filters, filter_size, stride, pad, untie_biases, W, b, nonlinearity, flip_filters
        As for :class:`BaseConvLayer`, with one spatial axis.
    convolution : callable, default torch.nn.functional.conv1d
        What computes the correlation; it is called as that is.
    **kwargs
        `num_groups`, for :class:`BaseConvLayer`, and `name`, for :class:`Layer`.

    Raises
    ------
    TypeError, ValueError
        As :class:`BaseConvLayer`.

    Examples
    --------
    >>> from lasagne.layers import Conv1DLayer, InputLayer
    >>> Conv1DLayer(InputLayer((None, 3, 100)), num_filters=8, filter_size=5).output_shape
    (None, 8, 96)
    """

    def __init__(
        self,
        incoming: Incoming,
        num_filters: int,
        filter_size: int | Iterable[int],
        stride: int | Iterable[int] = 1,
        pad: Pad = 0,
        untie_biases: bool = False,
        W: ParamSpec = init.GlorotUniform(),
        b: ParamSpec | None = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        flip_filters: bool = True,
        convolution: Callable[..., Tensor] = torch.nn.functional.conv1d,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            incoming,
            num_filters,
            filter_size,
            stride,
            pad,
            untie_biases,
            W,
            b,
            nonlinearity,
            flip_filters,
            n=1,
            **kwargs,
        )
        self.convolution = convolution


class Conv2DLayer(_ConvLayer):
    """Convolution over two axes, of an input of shape (batch, channels, height, width).

    Parameters
    ----------
    incoming, num_filters, filter_size, stride, pad, untie_biases, W, b, nonlinearity, flip_filters
        As for :class:`BaseConvLayer`, with two spatial axes.
    convolution : callable, default torch.nn.functional.conv2d
        What computes the correlation; it is called as that is.
    **kwargs
        `num_groups`, for :class:`BaseConvLayer`, and `name`, for :class:`Layer`.

    Raises
    ------
    TypeError, ValueError
        As :class:`BaseConvLayer`.

    Examples
    --------
    >>> from lasagne.layers import Conv2DLayer, InputLayer
    >>> Conv2DLayer(InputLayer((None, 3, 32, 32)), 16, (3, 5), pad="same", stride=2).output_shape
    (None, 16, 16, 16)
    """

    def __init__(
        self,
        incoming: Incoming,
        num_filters: int,
        filter_size: int | Iterable[int],
        stride: int | Iterable[int] = (1, 1),
        pad: Pad = 0,
        untie_biases: bool = False,
        W: ParamSpec = init.GlorotUniform(),
        b: ParamSpec | None = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        flip_filters: bool = True,
        convolution: Callable[..., Tensor] = torch.nn.functional.conv2d,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            incoming,
            num_filters,
            filter_size,
            stride,
            pad,
            untie_biases,
            W,
            b,
            nonlinearity,
            flip_filters,
            n=2,
            **kwargs,
        )
        self.convolution = convolution


class Conv3DLayer(_ConvLayer):
    """Convolution over three axes, of an input of shape (batch, channels, depth, height,
    width).

    Parameters
    ----------
    incoming, num_filters, filter_size, stride, pad, untie_biases, W, b, nonlinearity, flip_filters
        As for :class:`BaseConvLayer`, with three spatial axes.
    convolution : callable, optional
        What computes the correlation; by default, and called as, torch.nn.functional.conv3d.
    **kwargs
        `num_groups`, for :class:`BaseConvLayer`, and `name`, for :class:`Layer`.

    Raises
    ------
    TypeError, ValueError
        As :class:`BaseConvLayer`.

    Examples
    --------
    >>> from lasagne.layers import Conv3DLayer, InputLayer
    >>> Conv3DLayer(InputLayer((None, 3, 8, 16, 16)), 4, 3, stride=(1, 2, 2)).output_shape
    (None, 4, 6, 7, 7)
    """

    def __init__(
        self,
        incoming: Incoming,
        num_filters: int,
        filter_size: int | Iterable[int],
        stride: int | Iterable[int] = (1, 1, 1),
        pad: Pad = 0,
        untie_biases: bool = False,
        W: ParamSpec = init.GlorotUniform(),
        b: ParamSpec | None = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        flip_filters: bool = True,
        convolution: Callable[..., Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            incoming,
            num_filters,
            filter_size,
            stride,
            pad,
            untie_biases,
            W,
            b,
            nonlinearity,
            flip_filters,
            n=3,
            **kwargs,
        )
        self.convolution = torch.nn.functional.conv3d if convolution is None else convolution
