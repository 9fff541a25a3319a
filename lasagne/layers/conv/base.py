"""The base class of all convolutions."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Layer, Nonlinearity, Shape, check_nonlinearity
from lasagne.layers.checks import check_spatial_axes
from lasagne.layers.conv.lengths import conv_output_length, padding_of
from lasagne.utils import ParamSpec, check_int, check_int_tuple

__all__ = ["BaseConvLayer", "Pad"]

Pad = int | Iterable[int] | Literal["full", "same", "valid"]


class BaseConvLayer(Layer):
    """Base class of convolutions over `n` spatial axes.

    Subclasses implement :meth:`convolve`, which leaves the biases out.

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
        check_spatial_axes(self, self.n)
        self.num_channels = _check_channels(self)
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
        self._check_more()
        output_shape = self.output_shape
        self.W = self.add_param(W, self.get_W_shape(), name="W")
        self.b = None if b is None else self._add_biases(b, output_shape)

    def get_W_shape(self) -> tuple[int, ...]:  # noqa: N802
        """Return the shape of the weights."""
        return (self.num_filters, self.num_channels // self.num_groups, *self.filter_size)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return (batch, num_filters, and the output's sizes)."""
        return (input_shape[0], self.num_filters, *self._lengths(input_shape, self.filter_size))

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        if type(self).convolve is BaseConvLayer.convolve and not self.untie_biases:
            return self.nonlinearity(self._convolve(input, self.W, self.b))
        convolved = self.convolve(input, **kwargs)
        if self.b is not None:
            biases = self.b if self.untie_biases else self.b.view(-1, *[1] * self.n)
            convolved = convolved + biases
        return self.nonlinearity(convolved)

    def convolve(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the convolution of `input`, without biases; subclasses may override it."""
        return self._convolve(input, self.W, None)

    def _convolve(self, input: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        """Return the convolution of `input`, plus one bias for each filter if there are any.

        PyTorch does both in one, which :meth:`get_output_for` makes use of as long as
        :meth:`convolve` is not overridden.
        """
        raise NotImplementedError

    def _lengths(self, input_shape: Shape, filter_size: Sequence[int]) -> list[int | None]:
        """Return the output's sizes for filters that reach over `filter_size`."""
        sizes = zip(input_shape[2:], filter_size, self.stride, self._padding(), strict=True)
        try:
            return [conv_output_length(*size) for size in sizes]
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from None

    def _flipped(self, weights: Tensor) -> Tensor:
        """Return `weights` mirrored along their spatial axes, the last `n`."""
        if all(size == 1 for size in self.filter_size):
            return weights
        return weights.flip(tuple(range(-self.n, 0)))

    def _check_more(self) -> None:
        """Check arguments that subclasses set before they call this class's constructor."""

    def _padding(self) -> tuple[int, ...]:
        """Return how many zeros are added on either side of each spatial axis."""
        if isinstance(self.pad, tuple):
            return self.pad
        return tuple(padding_of(self.pad, size) for size in self.filter_size)

    def _check_pad(self, pad: Pad, name: str = "pad") -> str | tuple[int, ...]:
        """Return `pad`, an argument called `name`, as 'full', 'same' or a tuple."""
        if pad == "valid":
            return (0,) * self.n
        if pad == "same" and any(size % 2 == 0 for size in self.filter_size):
            raise ValueError(
                f"{self}: {name}='same' needs a filter_size that is odd, got {self.filter_size}"
            )
        if isinstance(pad, str):
            if pad not in ("full", "same"):
                raise ValueError(
                    f"{self}: {name} must be 'full', 'same', 'valid', an integer or a tuple of "
                    f"{self.n}, got {pad!r}"
                )
            return pad
        return check_int_tuple(pad, self.n, f"{self}: {name}", minimum=0)

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


def _check_channels(layer: Layer) -> int:
    """Return the input's number of channels."""
    channels = layer.input_shape[1]
    if channels is None:
        raise ValueError(f"{layer} needs an input with known channels, got {layer.input_shape}")
    return channels
