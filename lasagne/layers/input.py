"""Where data enters a network."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lasagne.layers.base import Layer, Shape

__all__ = ["InputLayer"]


class InputLayer(Layer):
    """A network's input.

    Parameters
    ----------
    shape : tuple
        The input's shape, None for a size that is not known beforehand, like the batch's. Images
        are (batch, channels, height, width).
    input_var : Tensor, optional
        Data that :func:`lasagne.layers.get_output` uses when it is given no other.
    name : str, optional
        A name, used in messages and in the keys of state dicts.

    Raises
    ------
    TypeError
        If `shape` is not made of integers and None.
    ValueError
        If `shape` has a size that is not positive.
    """

    def __init__(
        self,
        shape: Sequence[int | None],
        input_var: Tensor | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tuple(shape), name=name, **kwargs)
        self.shape = self.input_shape
        self.input_var = input_var

    @property
    def output_shape(self) -> Shape:
        """The input's shape."""
        return self.shape

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return `input`.

        Raises
        ------
        ValueError
            If its shape is not the layer's.
        """
        if len(self.shape) != input.ndim or any(
            d != given for d, given in zip(self.shape, input.shape, strict=True) if d is not None
        ):
            axes = " (batch, channels, height, width)" if len(self.shape) == 4 else ""
            raise ValueError(
                f"{self} must be given an input of shape {self.shape}{axes}, "
                f"got {tuple(input.shape)}"
            )
        return input
