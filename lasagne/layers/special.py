"""Layers that fit nowhere else."""

from typing import Any

from torch import Tensor

from lasagne import nonlinearities
from lasagne.layers.base import Incoming, Layer, Nonlinearity, check_nonlinearity

__all__ = ["NonlinearityLayer"]


class NonlinearityLayer(Layer):
    """Apply a nonlinearity.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    nonlinearity : callable or None, default rectify
        A function that keeps the shape; None is the identity.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `nonlinearity` cannot be called.
    """

    def __init__(
        self,
        incoming: Incoming,
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        self.nonlinearity = check_nonlinearity(nonlinearity, self)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return ``nonlinearity(input)``."""
        return self.nonlinearity(input)
