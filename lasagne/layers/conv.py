"""Convolutional layers."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Layer, Nonlinearity, Shape, check_nonlinearity
from lasagne.utils import ParamSpec, check_int, check_int_tuple

__all__ = ["BaseConvLayer", "Conv1DLayer", "Conv2DLayer", "conv_output_length"]

Pad = int | Iterable[int] | Literal["full", "same", "valid"]

_AXES = {1: "(batch, channels, length)", 2: "(batch, channels, height, width)"}


def conv_output_length(
    input_length: int | None, filter_size: int, stride: int, pad: int | str = 0
) -> int | None:
    """Return the length of a convolution's output along one axis.

    Parameters
    ----------
    input_length : int or None
        The input's length; None if it is not known.
    filter_size : int
        The filter's length.
    stride : int
        Steps between two outputs.
    pad : int, 'full', 'same' or 'valid', default 0
        Zeros added at both ends: 'full' is ``filter_size - 1``, 'same' ``filter_size // 2``,
        'valid' none.

    Returns
    -------
    int or None
        None if the input's length is not known.

    Raises
    ------
    ValueError
        If the filter is longer than the padded input, or `pad` is none of the above.
    """
    if input_length is None:
        return None
    pad = _zeros(pad, filter_size)
    if input_length + 2 * pad < filter_size:
        raise ValueError(
            f"the output would be empty: an input of size {input_length} with {pad} zeros on "
            f"either side is smaller than a filter of size {filter_size}"
        )
    return (input_length + 2 * pad - filter_size) // stride + 1


class BaseConvLayer(Layer):
    """Base class of convolutions over `n` spatial axes; subclasses implement :meth:`convolve`.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, channels, and `n` sizes).
    num_filters : int
        Number of filters.
    filter_size : int or tuple of int
        The filters' size along each spatial axis; an int stands for all.
    stride : int or tuple of int, default 1
        Steps between two outputs along each spatial axis.
    pad : int, tuple of int, 'full', 'same' or 'valid', default 0
        Zeros added on either side of each spatial axis: 'full' is ``filter_size - 1``, 'same'
        ``filter_size // 2`` (which keeps the size if the stride is 1, and needs odd filters),
        'valid' none.
    untie_biases : bool, default False
        Whether every position has its own bias in place of one for each filter.
    W : initialiser, array or Tensor, default GlorotUniform()
        Weights, of shape (num_filters, channels // num_groups, *filter_size).
    b : initialiser, array, Tensor or None, default Constant(0)
        Biases, of shape (num_filters,), or with `untie_biases` (num_filters, *output sizes); None
        for no biases.
    nonlinearity : callable or None, default rectify
        Applied to the result; None is linear.
    flip_filters : bool, default True
        Whether filters slide mirrored, which makes it a convolution; False is a correlation, what
        PyTorch calls a convolution.
    num_groups : int, default 1
        Into how many groups channels and filters are divided; every group sees its own only.
    n : int, optional
        Number of spatial axes, by default what the input has.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument is out of range, the input has another number of axes, or the output would
        be empty.
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
        num_groups: int = 1,
        n: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        self.n = len(self.input_shape) - 2 if n is None else n
        self.num_channels = _check_channels(self, self.n)
        self.nonlinearity = check_nonlinearity(nonlinearity, self)
        self.num_filters = check_int(num_filters, f"{self}: num_filters")
        self.filter_size = check_int_tuple(filter_size, self.n, f"{self}: filter_size")
        self.stride = check_int_tuple(stride, self.n, f"{self}: stride")
        self.pad = self._check_pad(pad)
        self.num_groups = check_int(num_groups, f"{self}: num_groups")
        if self.num_filters % num_groups or self.num_channels % num_groups:
            raise ValueError(
                f"{self}: num_groups must divide the {self.num_channels} input channels and the "
                f"{self.num_filters} filters, got {num_groups}"
            )
        self.untie_biases = untie_biases
        self.flip_filters = flip_filters
        output_shape = self.output_shape
        self.W = self.add_param(W, self.get_W_shape(), name="W")
        self.b = None if b is None else self._add_biases(b, output_shape)

    def get_W_shape(self) -> tuple[int, ...]:  # noqa: N802
        """Return the shape of the weights."""
        return (self.num_filters, self.num_channels // self.num_groups, *self.filter_size)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return (batch, num_filters, and the output's sizes)."""
        sizes = zip(input_shape[2:], self.filter_size, self.stride, self._padding(), strict=True)
        try:
            lengths = [conv_output_length(*size) for size in sizes]
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from None
        return (input_shape[0], self.num_filters, *lengths)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        convolved = self.convolve(input, **kwargs)
        if self.b is not None and self.untie_biases:
            convolved = convolved + self.b
        return self.nonlinearity(convolved)

    def convolve(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the convolution of `input`, with tied biases added (PyTorch does both in one)."""
        raise NotImplementedError

    def _convolve_with(self, convolution: Callable[..., Tensor], input: Tensor) -> Tensor:
        """Return the convolution that `convolution`, a function like ``conv2d``, computes."""
        weights = self.W
        if self.flip_filters and any(size > 1 for size in self.filter_size):
            weights = weights.flip(tuple(range(2, weights.ndim)))
        return convolution(
            input,
            weights,
            None if self.untie_biases else self.b,
            stride=self.stride,
            padding=self._padding(),
            groups=self.num_groups,
        )

    def _padding(self) -> tuple[int, ...]:
        """Return how many zeros are added on either side of each spatial axis."""
        if isinstance(self.pad, tuple):
            return self.pad
        return tuple(_zeros(self.pad, size) for size in self.filter_size)

    def _check_pad(self, pad: Pad) -> str | tuple[int, ...]:
        """Return `pad` as 'full', 'same' or a tuple."""
        if pad == "valid":
            return (0,) * self.n
        if pad == "same" and any(size % 2 == 0 for size in self.filter_size):
            raise ValueError(
                f"{self}: pad='same' needs a filter_size that is odd, got {self.filter_size}"
            )
        if isinstance(pad, str):
            if pad not in ("full", "same"):
                raise ValueError(
                    f"{self}: pad must be 'full', 'same', 'valid', an integer or a tuple of "
                    f"{self.n}, got {pad!r}"
                )
            return pad
        return check_int_tuple(pad, self.n, f"{self}: pad", minimum=0)

    def _add_biases(self, b: ParamSpec, output_shape: Shape) -> Tensor:
        """Create the biases."""
        shape = [self.num_filters]
        if self.untie_biases:
            shape += [size for size in output_shape[2:] if size is not None]
            if len(shape) <= self.n:
                raise ValueError(
                    f"{self}: untie_biases=True needs an input whose sizes are known, "
                    f"got {self.input_shape}"
                )
        return self.add_param(b, shape, name="b", regularizable=False)


class Conv1DLayer(BaseConvLayer):
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

    def convolve(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the convolution of `input`, with tied biases added."""
        return self._convolve_with(self.convolution, input)


class Conv2DLayer(BaseConvLayer):
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

    def convolve(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the convolution of `input`, with tied biases added."""
        return self._convolve_with(self.convolution, input)


def _zeros(pad: int | str, filter_size: int) -> int:
    """Return how many zeros `pad` means on either side."""
    named = {"full": filter_size - 1, "same": filter_size // 2, "valid": 0}
    if isinstance(pad, str):
        if pad not in named:
            raise ValueError(f"pad must be 'full', 'same', 'valid' or an integer, got {pad!r}")
        return named[pad]
    return pad


def _check_channels(layer: Layer, n: int) -> int:
    """Return the input's number of channels, if it has that and `n` spatial axes."""
    shape = layer.input_shape
    axes = _AXES.get(n, f"(batch, channels, and {n} sizes)")
    if n < 1 or len(shape) != n + 2:
        raise ValueError(f"{layer} needs an input of shape {axes}, got {shape}")
    if shape[1] is None:
        raise ValueError(f"{layer} needs an input {axes} with known channels, got {shape}")
    return shape[1]
