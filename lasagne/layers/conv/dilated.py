"""Convolutions whose filters have holes."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Nonlinearity, Shape
from lasagne.layers.conv.base import BaseConvLayer, Pad
from lasagne.utils import ParamSpec, check_int_tuple

__all__ = ["DilatedConv2DLayer"]


class DilatedConv2DLayer(BaseConvLayer):
    """Correlation over two axes with filters spread out, to see more with as many weights.

    Parameters
    ----------
    incoming, num_filters, filter_size, untie_biases, b, nonlinearity
        As for :class:`BaseConvLayer`, with two spatial axes.
    dilation : int or tuple of int, default (1, 1)
        Steps between two of a filter's weights along each axis; 1 spreads nothing out.
    pad : int, tuple of int or 'valid', default 0
        Must be 0 or 'valid'; a :class:`lasagne.layers.PadLayer` can pad before.
    W : initialiser, array or Tensor, default GlorotUniform()
        Weights, of shape (channels, num_filters, *filter_size): the first two axes are swapped
        against those of :class:`Conv2DLayer`.
    flip_filters : bool, default False
        Must be False.
    **kwargs
        `name`, for :class:`Layer`; `num_groups`, which has no effect.

    Raises
    ------
    NotImplementedError
        If `pad` is not 0, or `flip_filters` is set.
    TypeError, ValueError
        As :class:`BaseConvLayer`.

    References
    ----------
    Fisher Yu and Vladlen Koltun (2016): Multi-scale context aggregation by dilated convolutions.
    ICLR.

    Examples
    --------
    >>> from lasagne.layers import DilatedConv2DLayer, InputLayer
    >>> DilatedConv2DLayer(InputLayer((None, 3, 32, 32)), 16, 3, dilation=(2, 4)).output_shape
    (None, 16, 28, 24)
    """

    def __init__(
        self,
        incoming: Incoming,
        num_filters: int,
        filter_size: int | Iterable[int],
        dilation: int | Iterable[int] = (1, 1),
        pad: Pad = 0,
        untie_biases: bool = False,
        W: ParamSpec = init.GlorotUniform(),
        b: ParamSpec | None = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        flip_filters: bool = False,
        **kwargs: Any,
    ) -> None:
        self.dilation: Any = dilation
        super().__init__(
            incoming,
            num_filters,
            filter_size,
            1,
            pad,
            untie_biases,
            W,
            b,
            nonlinearity,
            flip_filters,
            n=2,
            **kwargs,
        )

    def get_W_shape(self) -> tuple[int, ...]:  # noqa: N802
        """Return the shape of the weights."""
        return (self.num_channels, self.num_filters, *self.filter_size)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return (batch, num_filters, and the output's sizes)."""
        spans = [(f - 1) * d + 1 for f, d in zip(self.filter_size, self.dilation, strict=True)]
        return (input_shape[0], self.num_filters, *self._lengths(input_shape, spans))

    def _convolve(self, input: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        """Return the convolution of `input`, plus one bias for each filter if there are any."""
        return torch.nn.functional.conv2d(
            input, weights.transpose(0, 1), biases, dilation=self.dilation
        )

    def _check_more(self) -> None:
        """Check `dilation`, `pad` and `flip_filters`."""
        self.dilation = check_int_tuple(self.dilation, self.n, f"{self}: dilation")
        if self.pad != (0, 0):
            raise NotImplementedError(
                f"{self}: pad must be 0 or 'valid', got {self.pad!r}; a PadLayer can pad before"
            )
        if self.flip_filters:
            raise NotImplementedError(f"{self}: flip_filters must be False, got True")
