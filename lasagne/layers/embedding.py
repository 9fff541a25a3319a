"""Embeddings of labels."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from typing import Any

import torch
from torch import Tensor

from lasagne import init
from lasagne.layers.base import Incoming, Layer, Shape
from lasagne.utils import ParamSpec, check_int

__all__ = ["EmbeddingLayer"]


class EmbeddingLayer(Layer):
    """Replace each label by a row of a matrix.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape, which may be any.
    input_size : int
        The number of labels.
    output_size : int
        The number of columns.
    W : initialiser, array or Tensor, default Normal()
        The matrix, of shape (input_size, output_size).
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If a size is not an integer.
    ValueError
        If a size is not positive.

    Examples
    --------
    >>> import torch
    >>> from lasagne.layers import EmbeddingLayer
    >>> layer = EmbeddingLayer((None, 3), input_size=10, output_size=4)
    >>> layer(torch.tensor([[1, 2, 9]])).shape
    torch.Size([1, 3, 4])
    """

    def __init__(
        self,
        incoming: Incoming,
        input_size: int,
        output_size: int,
        W: ParamSpec = init.Normal(),
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        self.input_size = check_int(input_size, f"{self}: input_size")
        self.output_size = check_int(output_size, f"{self}: output_size")
        self.W = self.add_param(W, (self.input_size, self.output_size), name="W")

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return the input's shape followed by `output_size`."""
        return (*input_shape, self.output_size)

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return each label's row.

        Parameters
        ----------
        input : Tensor of integers
            Labels in [0, input_size); negative ones count from the end.
        **kwargs
            Ignored.

        Raises
        ------
        TypeError
            If `input` is not of integers.
        IndexError
            If a label is out of range. On a GPU the error comes from CUDA, without this message.
        """
        if input.is_floating_point() or input.is_complex() or input.dtype == torch.bool:
            raise TypeError(f"{self} must be given labels of an integer type, got {input.dtype}")
        labels = input.long()
        labels = torch.where(labels < 0, labels + self.input_size, labels)
        try:
            return torch.nn.functional.embedding(labels, self.W)
        except IndexError as error:
            raise IndexError(
                f"{self}: labels must be less than input_size={self.input_size}, and negative ones "
                f"at least {-self.input_size}, got {int(input.min())} to {int(input.max())}"
            ) from error
