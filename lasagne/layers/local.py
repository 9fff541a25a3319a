"""Locally connected layers: convolutions whose weights differ from position to position."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Nonlinearity
from lasagne.layers.conv import Conv2DLayer
from lasagne.layers.conv.base import Pad
from lasagne.utils import ParamSpec

__all__ = ["LocallyConnected2DLayer"]


class LocallyConnected2DLayer(Conv2DLayer):
    """Like a convolution, with its own weights for every position of the output.

    Parameters
    ----------
    incoming, num_filters, filter_size, untie_biases, b, nonlinearity, flip_filters
        As for :class:`Conv2DLayer`; all sizes of the input but the batch's must be known.
    stride : int or tuple of int, default (1, 1)
        Must be 1.
    pad : {'same'}, default 'same'
        Must be 'same', which needs odd filters.
    W : initialiser, array or Tensor, default GlorotUniform()
        Weights, of shape (num_filters, channels, *filter_size, height, width), or with
        `channelwise` (num_filters, *filter_size, height, width).
    channelwise : bool, default False
        Whether each filter sees only the channel of its own index, in place of all channels.
    **kwargs
        `name`, for :class:`Layer`; `num_groups` and `convolution`, which have no effect.

    Raises
    ------
    NotImplementedError
        If `stride` is not 1, or `pad` not 'same'.
    TypeError
        If an argument is of the wrong type.
    ValueError
        As :class:`Conv2DLayer`, and if a size is not known, or if with `channelwise` there are
        not as many filters as channels.

    Examples
    --------
    >>> from lasagne.layers import InputLayer, LocallyConnected2DLayer
    >>> layer = LocallyConnected2DLayer(InputLayer((None, 3, 10, 8)), 16, filter_size=5)
    >>> layer.output_shape, tuple(layer.W.shape)
    ((None, 16, 10, 8), (16, 3, 5, 5, 10, 8))
    """

    def __init__(
        self,
        incoming: Incoming,
        num_filters: int,
        filter_size: int | Iterable[int],
        stride: int | Iterable[int] = (1, 1),
        pad: Pad = "same",
        untie_biases: bool = False,
        W: ParamSpec = init.GlorotUniform(),
        b: ParamSpec | None = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        flip_filters: bool = True,
        channelwise: bool = False,
        **kwargs: Any,
    ) -> None:
        self.channelwise = channelwise
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
            **kwargs,
        )

    def get_W_shape(self) -> tuple[int, ...]:  # noqa: N802
        """Return the shape of the weights."""
        sizes = [size for size in self.input_shape[2:] if size is not None]
        channels = [] if self.channelwise else [self.num_channels]
        return (self.num_filters, *channels, *self.filter_size, *sizes)

    def convolve(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return every filter's sum over what it sees of `input`, without biases."""
        batch, channels, height, width = input.shape
        seen = torch.nn.functional.unfold(input, self.filter_size, padding=self._padding())
        weights = self.W.flip(-4, -3) if self.flip_filters else self.W
        if self.channelwise:
            seen = seen.view(batch, channels, -1, height, width)
            return (seen * weights.flatten(1, 2)).sum(2)
        seen = seen.view(batch, -1, height, width)
        return torch.einsum("bkyx,fkyx->bfyx", seen, weights.flatten(1, 3))

    def _check_more(self) -> None:
        """Check that stride, padding and sizes are those that can be had."""
        if self.stride != (1, 1):
            raise NotImplementedError(f"{self}: stride must be 1, got {self.stride}")
        if self.pad != "same":
            raise NotImplementedError(f"{self}: pad must be 'same', got {self.pad!r}")
        if None in self.input_shape[1:]:
            raise ValueError(
                f"{self} needs an input whose sizes are known but for the batch's, got "
                f"{self.input_shape}"
            )
        if self.channelwise and self.num_filters != self.num_channels:
            raise ValueError(
                f"{self}: num_filters must be the number of channels, {self.num_channels}, for "
                f"channelwise=True, got {self.num_filters}"
            )
