"""Where data enters a network."""

from collections.abc import Iterable, Sequence
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
        If `shape` is not made of integers and None, or `input_var` is no tensor.
    ValueError
        If `shape` has a size that is not positive, or another number of axes than `input_var`.
    """

    def __init__(
        self,
        shape: Sequence[int | None],
        input_var: Tensor | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(shape, Iterable):
            raise TypeError(f"InputLayer: shape must be a tuple of sizes and None, got {shape!r}")
        super().__init__(tuple(shape), name=name, **kwargs)
        self.shape = self.input_shape
        if input_var is not None and not isinstance(input_var, Tensor):
            raise TypeError(
                f"{self}: input_var must be a tensor that get_output is to use, or None, "
                f"got {type(input_var).__name__}"
            )
        if input_var is not None and input_var.ndim != len(self.shape):
            raise ValueError(
                f"{self}: input_var must have the {len(self.shape)} axes of {self.shape}, "
                f"got {tuple(input_var.shape)}"
            )
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
