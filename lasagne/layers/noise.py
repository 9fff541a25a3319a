"""Layers that add noise while training."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lasagne.layers.base import Incoming, Layer

__all__ = ["DropoutLayer", "dropout"]


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
        axes = tuple(shared_axes) if isinstance(shared_axes, Iterable) else (shared_axes,)
        ndim = len(self.input_shape)
        if not all(-ndim <= axis < ndim for axis in axes):
            raise ValueError(
                f"{self}: shared_axes must be axes of an input of shape {self.input_shape}, "
                f"got {shared_axes!r}"
            )
        self.shared_axes = tuple(axis % ndim for axis in axes)

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
