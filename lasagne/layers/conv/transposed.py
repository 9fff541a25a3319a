"""Convolutions transposed: from a convolution's output to the shape of its input."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Nonlinearity, Shape
from lasagne.layers.conv.base import BaseConvLayer, Pad
from lasagne.layers.conv.lengths import conv_input_length
from lasagne.utils import ParamSpec, check_int_tuple

__all__ = ["Deconv2DLayer", "Deconv3DLayer", "TransposedConv2DLayer", "TransposedConv3DLayer"]


class _TransposedConvLayer(BaseConvLayer):
    """Transposed convolution, with the arguments of :class:`TransposedConv2DLayer`."""

    _transposed: Callable[..., Tensor]

    def __init__(
        self,
        incoming: Incoming,
        *args: Any,
        output_size: int | Iterable[int] | None,
        **kwargs: Any,
    ) -> None:
        self.output_size: Any = output_size
        super().__init__(incoming, *args, **kwargs)
        self.crop = self.pad

    def get_W_shape(self) -> tuple[int, ...]:  # noqa: N802
        """Return the shape of the weights."""
        return (self.num_channels, self.num_filters, *self.filter_size)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return (batch, num_filters, and the output's sizes)."""
        smallest = self._smallest(input_shape)
        if self.output_size is not None:
            self._added(smallest)
        sizes = smallest if self.output_size is None else self.output_size
        if any(size is not None and size < 1 for size in sizes):
            raise ValueError(
                f"{self}: the output would be empty: an input of shape {input_shape} gives the "
                f"sizes {tuple(sizes)}"
            )
        return (input_shape[0], self.num_filters, *sizes)

    def _convolve(self, input: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        """Return the convolution of `input`, plus one bias for each filter if there are any."""
        return type(self)._transposed(
            input,
            weights if self.flip_filters else self._flipped(weights),
            biases,
            stride=self.stride,
            padding=self._padding(),
            output_padding=self._added(self._smallest(input.shape)),
        )

    def _smallest(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the smallest sizes that a convolution would make the input's of."""
        sizes = zip(input_shape[2:], self.filter_size, self.stride, self._padding(), strict=True)
        return tuple(conv_input_length(*size) for size in sizes)

    def _added(self, smallest: Sequence[int | None]) -> tuple[int, ...]:
        """Return by how much the output is larger than `smallest`, where that is known."""
        if self.output_size is None:
            return (0,) * self.n
        pairs = zip(self.output_size, smallest, strict=True)
        added = tuple(0 if least is None else size - least for size, least in pairs)
        if not all(0 <= more < step for more, step in zip(added, self.stride, strict=True)):
            raise ValueError(
                f"{self}: output_size must be at least {tuple(smallest)}, and larger by less than "
                f"the stride {self.stride}, got {self.output_size}"
            )
        return added

    def _check_pad(self, pad: Pad, name: str = "crop") -> str | tuple[int, ...]:
        """Return the crop as 'full', 'same' or a tuple."""
        return super()._check_pad(pad, name)

    def _check_more(self) -> None:
        """Check `output_size`."""
        if self.output_size is not None:
            name = f"{self}: output_size"
            self.output_size = check_int_tuple(self.output_size, self.n, name)


class TransposedConv2DLayer(_TransposedConvLayer):
    """Transposed convolution over two axes, of an input of shape (batch, channels, height, width).

    It does to its input what the gradient of a convolution with the same arguments does to that
    convolution's output, and so can undo the change of shape. Also called deconvolution or
    fractionally strided convolution.

    Parameters
    ----------
    incoming, num_filters, filter_size, untie_biases, b, nonlinearity
        As for :class:`BaseConvLayer`, with two spatial axes.
    stride : int or tuple of int, default (1, 1)
        Steps between two inputs along each spatial axis of the output.
    crop : int, tuple of int, 'full', 'same' or 'valid', default 0
        How much is cut off either side of each spatial axis of the output: the `pad` of the
        convolution transposed.
    W : initialiser, array or Tensor, default GlorotUniform()
        Weights, of shape (channels, num_filters, *filter_size): the first two axes are swapped
        against those of :class:`Conv2DLayer`.
    flip_filters : bool, default False
        Whether to transpose the layer that does not flip its filters, as PyTorch does: that puts
        the weights down as they are. By default a convolution is transposed, and they are put
        down mirrored.
    output_size : int or tuple of int, optional
        The output's sizes, if they are not the smallest that the convolution transposed can have
        had; they are larger by less than `stride`.
    **kwargs
        `name`, for :class:`Layer`; `num_groups`, which has no effect.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument is out of range, the input has another number of axes, the output would be
        empty, or no convolution would make an input's size of `output_size`.

    Examples
    --------
    >>> from lasagne.layers import InputLayer, TransposedConv2DLayer
    >>> TransposedConv2DLayer(InputLayer((None, 8, 5, 5)), 3, 3, stride=2, crop=1).output_shape
    (None, 3, 9, 9)
    """

    _transposed = torch.nn.functional.conv_transpose2d

    def __init__(
        self,
        incoming: Incoming,
        num_filters: int,
        filter_size: int | Iterable[int],
        stride: int | Iterable[int] = (1, 1),
        crop: Pad = 0,
        untie_biases: bool = False,
        W: ParamSpec = init.GlorotUniform(),
        b: ParamSpec | None = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        flip_filters: bool = False,
        output_size: int | Iterable[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            incoming,
            num_filters,
            filter_size,
            stride,
            crop,
            untie_biases,
            W,
            b,
            nonlinearity,
            flip_filters,
            output_size=output_size,
            n=2,
            **kwargs,
        )


class TransposedConv3DLayer(_TransposedConvLayer):
    """Transposed convolution over three axes: (batch, channels, depth, height, width).

    Parameters
    ----------
    incoming, num_filters, filter_size, stride, crop, untie_biases, W, b, nonlinearity
        As for :class:`TransposedConv2DLayer`, with three spatial axes.
    flip_filters, output_size
        As for :class:`TransposedConv2DLayer`, with three spatial axes.
    **kwargs
        `name`, for :class:`Layer`; `num_groups`, which has no effect.

    Raises
    ------
    TypeError, ValueError
        As :class:`TransposedConv2DLayer`.
    """

    _transposed = torch.nn.functional.conv_transpose3d

    def __init__(
        self,
        incoming: Incoming,
        num_filters: int,
        filter_size: int | Iterable[int],
        stride: int | Iterable[int] = (1, 1, 1),
        crop: Pad = 0,
        untie_biases: bool = False,
        W: ParamSpec = init.GlorotUniform(),
        b: ParamSpec | None = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        flip_filters: bool = False,
        output_size: int | Iterable[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            incoming,
            num_filters,
            filter_size,
            stride,
            crop,
            untie_biases,
            W,
            b,
            nonlinearity,
            flip_filters,
            output_size=output_size,
            n=3,
            **kwargs,
        )


Deconv2DLayer = TransposedConv2DLayer

Deconv3DLayer = TransposedConv3DLayer
