"""Layers that add noise while training."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lasagne.layers.axes import resolve_axes
from lasagne.layers.base import Incoming, Layer

__all__ = [
    "DropoutLayer",
    "GaussianNoiseLayer",
    "dropout",
    "dropout_channels",
    "dropout_locations",
    "spatial_dropout",
]


class DropoutLayer(Layer):
    """Set values to zero with probability `p`.

    Draws come from PyTorch's generator, which :func:`torch.manual_seed` seeds. Give
    ``deterministic=True`` to :func:`lasagne.layers.get_output` or to a
    :class:`lasagne.layers.Network` for the input unchanged; :meth:`torch.nn.Module.eval` has no
    effect.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    p : float, default 0.5
        The probability of a zero, in [0, 1).
    rescale : bool, default True
        Whether what is left is divided by ``1 - p``, so that the mean does not change.
    shared_axes : int or iterable of int, default ()
        Axes along which values are kept or dropped together; (2, 3) drops whole feature maps.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1), or an axis does not exist.

    References
    ----------
    Nitish Srivastava et al. (2014): Dropout: A simple way to prevent neural networks from
    overfitting. JMLR 15.
    """

    def __init__(
        self,
        incoming: Incoming,
        p: float = 0.5,
        rescale: bool = True,
        shared_axes: int | Iterable[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        if not 0 <= p < 1:
            raise ValueError(f"{self}: p must be a probability in [0, 1), got {p!r}")
        self.p = p
        self.rescale = rescale
        self.shared_axes = resolve_axes(self, shared_axes, "shared_axes")

    def get_output_for(self, input: Tensor, deterministic: bool = False, **kwargs: Any) -> Tensor:
        """Return `input` with values dropped.

        Parameters
        ----------
        input : Tensor
            A tensor of the input's shape.
        deterministic : bool, default False
            Whether to return `input` unchanged.
        **kwargs
            Ignored.
        """
        if deterministic or self.p == 0:
            return input
        if self.rescale and not self.shared_axes:
            return torch.nn.functional.dropout(input, self.p)
        shape = [1 if i in self.shared_axes else size for i, size in enumerate(input.shape)]
        mask = input.new_empty(shape).bernoulli_(1 - self.p)
        return input * (mask.div_(1 - self.p) if self.rescale else mask)


dropout = DropoutLayer


def dropout_channels(incoming: Incoming, *args: Any, **kwargs: Any) -> DropoutLayer:
    """Drop whole channels: a :class:`DropoutLayer` with all axes from the third on shared.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    *args, **kwargs
        For :class:`DropoutLayer`.

    References
    ----------
    Jonathan Tompson et al. (2014): Efficient object localization using convolutional networks.
    https://arxiv.org/abs/1411.4280
    """
    ndim = len(incoming.output_shape if isinstance(incoming, Layer) else incoming)
    return DropoutLayer(incoming, *args, **kwargs | {"shared_axes": tuple(range(2, ndim))})


spatial_dropout = dropout_channels


def dropout_locations(incoming: Incoming, *args: Any, **kwargs: Any) -> DropoutLayer:
    """Drop all channels of a location: a :class:`DropoutLayer` with the second axis shared.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    *args, **kwargs
        For :class:`DropoutLayer`.
    """
    return DropoutLayer(incoming, *args, **kwargs | {"shared_axes": (1,)})


class GaussianNoiseLayer(Layer):
    """Add normally distributed noise of mean 0.

    Draws come from PyTorch's generator, which :func:`torch.manual_seed` seeds. Give
    ``deterministic=True`` for the input unchanged.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    sigma : float or Tensor, default 0.1
        The noise's standard deviation.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    ValueError
        If `sigma` is negative.

    References
    ----------
    Kam-Chuen Jim et al. (1996): An analysis of noise in recurrent neural networks: convergence and
    generalization. IEEE Transactions on Neural Networks 7(6).
    """

    def __init__(self, incoming: Incoming, sigma: float | Tensor = 0.1, **kwargs: Any) -> None:
        super().__init__(incoming, **kwargs)
        if not sigma >= 0:
            raise ValueError(f"{self}: sigma must not be negative, got {sigma!r}")
        self.sigma = sigma

    def get_output_for(self, input: Tensor, deterministic: bool = False, **kwargs: Any) -> Tensor:
        """Return `input` with noise added.

        Parameters
        ----------
        input : Tensor
            A tensor of the input's shape.
        deterministic : bool, default False
            Whether to return `input` unchanged.
        **kwargs
            Ignored.
        """
        if deterministic or self.sigma == 0:
            return input
        return torch.randn_like(input).mul_(self.sigma) + input
