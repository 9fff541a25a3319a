"""The layers that Lasagne computed with cuDNN, for definitions that ask for them by name.

PyTorch chooses how to compute by itself, so they are the plain layers, but for one default: these
convolutions do not flip their filters.
"""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from collections.abc import Iterable
from typing import Any

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Nonlinearity
from lasagne.layers.conv import Conv2DLayer, Conv3DLayer
from lasagne.layers.conv.base import Pad
from lasagne.layers.pool import MaxPool2DLayer, MaxPool3DLayer, Pool2DLayer, Pool3DLayer
from lasagne.utils import ParamSpec

__all__ = [
    "Conv2DDNNLayer",
    "Conv3DDNNLayer",
    "MaxPool2DDNNLayer",
    "MaxPool3DDNNLayer",
    "Pool2DDNNLayer",
    "Pool3DDNNLayer",
]


class Conv2DDNNLayer(Conv2DLayer):
    """:class:`lasagne.layers.Conv2DLayer` with ``flip_filters=False`` by default."""

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
        flip_filters: bool = False,
        **kwargs: Any,
    ) -> None:
        arguments = (stride, pad, untie_biases, W, b, nonlinearity, flip_filters)
        super().__init__(incoming, num_filters, filter_size, *arguments, **kwargs)


class Conv3DDNNLayer(Conv3DLayer):
    """:class:`lasagne.layers.Conv3DLayer` with ``flip_filters=False`` by default."""

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
        flip_filters: bool = False,
        **kwargs: Any,
    ) -> None:
        arguments = (stride, pad, untie_biases, W, b, nonlinearity, flip_filters)
        super().__init__(incoming, num_filters, filter_size, *arguments, **kwargs)


Pool2DDNNLayer = Pool2DLayer
MaxPool2DDNNLayer = MaxPool2DLayer
Pool3DDNNLayer = Pool3DLayer
MaxPool3DDNNLayer = MaxPool3DLayer
