"""Layers made of a function, or of another layer's derivative."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from lasagne.layers.base import Incoming, Layer, MergeLayer, Shape
from lasagne.layers.input import InputLayer

__all__ = ["ExpressionLayer", "InverseLayer"]

#: What stands for sizes that are not known when a function is tried out; both can be divided by
#: many numbers.
_TRIAL_SIZES = (24, 48)


class ExpressionLayer(Layer):
    """Apply a function that has no parameters.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    function : callable
        Takes and returns a tensor.
    output_shape : None, tuple, callable or 'auto', default None
        What the function does to the shape: None that it keeps it; a tuple is the output's shape
        whatever the input's; a callable returns it for the input's shape; 'auto' finds out by
        trying the function on zeros, once with 24 and once with 48 for every size that is not
        known: sizes that differ then are None.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `function` cannot be called, or `output_shape` is none of the above.
    ValueError
        If the function fails on zeros.

    Examples
    --------
    >>> from lasagne.layers import ExpressionLayer, InputLayer
    >>> layer = InputLayer((None, 100, 20))
    >>> ExpressionLayer(layer, lambda x: x.mean(-1), output_shape="auto").output_shape
    (None, 100)
    """

    def __init__(
        self,
        incoming: Incoming,
        function: Callable[[Tensor], Tensor],
        output_shape: Shape | Callable[[Shape], Shape] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        if not callable(function):
            raise TypeError(f"{self}: function must be callable, got {function!r}")
        self.function = function
        self._shapes: dict[Shape, Shape] = {}
        self._output_shape = self._check_output_shape(output_shape)

    def get_output_shape_for(self, input_shape: Shape) -> Shape:
        """Return what `output_shape` says of the input's shape."""
        if self._output_shape is None:
            return input_shape
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        if isinstance(self._output_shape, tuple):
            return self._output_shape
        if input_shape not in self._shapes:
            self._shapes[input_shape] = self._try_out(input_shape)
        return self._shapes[input_shape]

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return ``function(input)``."""
        return self.function(input)

    def _check_output_shape(self, output_shape: Any) -> Any:
        """Return `output_shape`, an iterable as a tuple."""
        if output_shape is None or callable(output_shape):
            return output_shape
        if isinstance(output_shape, str) and output_shape == "auto":
            return output_shape
        if isinstance(output_shape, Iterable) and not isinstance(output_shape, str):
            return tuple(output_shape)
        raise TypeError(
            f"{self}: output_shape must be None, 'auto', a tuple or a callable, "
            f"got {output_shape!r}"
        )

    def _try_out(self, input_shape: Shape) -> Shape:
        """Return the output's shape, as far as it does not depend on unknown sizes."""
        shapes = []
        for size in _TRIAL_SIZES:
            trial = [size if known is None else known for known in input_shape]
            try:
                with torch.no_grad():
                    shapes.append(tuple(self.function(torch.zeros(trial)).shape))
            except Exception as error:
                raise ValueError(
                    f"{self}: output_shape='auto' needs a function that accepts zeros of shape "
                    f"{tuple(trial)}, got {type(error).__name__}: {error}"
                ) from error
        first, second = shapes
        if len(first) != len(second):
            raise ValueError(
                f"{self}: output_shape='auto' needs a function whose output always has the same "
                f"number of axes, got shapes {first} and {second}"
            )
        return tuple(a if a == b else None for a, b in zip(first, second, strict=True))


class InverseLayer(MergeLayer):
    """Go back through another layer, by its derivative.

    The input is multiplied by the transposed Jacobian of `layer` at the input that `layer` got:
    by the transposed weights of a :class:`DenseLayer`, with a transposed convolution for a
    :class:`Conv2DLayer`; for a :class:`MaxPool2DLayer` values go back to where the maxima were. A
    nonlinearity's derivative is part of it.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: that of the output of `layer`.
    layer : Layer
        The layer to invert, of which the parameters are used.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `layer` is not a layer with one input.
    ValueError
        If the input's shape cannot be that of the output of `layer`.

    Notes
    -----
    `layer` is computed once more. Where it is random, as :class:`DropoutLayer` is, it draws
    again; statistics of a :class:`BatchNormLayer` are not updated twice.

    Examples
    --------
    >>> from lasagne.layers import Conv2DLayer, DenseLayer, InputLayer, InverseLayer
    >>> conv = Conv2DLayer(InputLayer((100, 3, 28, 28)), num_filters=16, filter_size=5)
    >>> dense = DenseLayer(conv, num_units=20)
    >>> back = InverseLayer(InverseLayer(dense, dense), conv)
    >>> back.output_shape
    (100, 3, 28, 28)
    """

    layer: Layer

    def __init__(self, incoming: Incoming, layer: Layer, **kwargs: Any) -> None:
        if not isinstance(layer, Layer) or isinstance(layer, MergeLayer | InputLayer):
            raise TypeError(f"InverseLayer: layer must be a layer with one input, got {layer!r}")
        super().__init__([incoming, layer, layer.input_layer or layer.input_shape], **kwargs)
        self.layer = layer
        shape, expected, _ = self.input_shapes
        if len(shape) != len(expected) or any(
            a != b for a, b in zip(shape, expected, strict=True) if None not in (a, b)
        ):
            raise ValueError(
                f"{self} needs an input of the shape that {layer} returns, {expected}, got {shape}"
            )

    def get_output_shape_for(self, input_shapes: Any) -> Shape:
        """Return the shape of the input of `layer`."""
        shape: Shape = input_shapes[2]
        return shape

    def get_output_for(self, inputs: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """Return the product with the transposed Jacobian.

        Parameters
        ----------
        inputs : sequence of three Tensor
            The input, the output of `layer`, which is not used, and the input of `layer`.
        **kwargs
            For `layer`.
        """
        input, _, layer_input = inputs
        kwargs = kwargs | {"batch_norm_update_averages": False}
        computed = torch.func.vjp(lambda x: self.layer.get_output_for(x, **kwargs), layer_input)
        output, transposed_jacobian = computed[:2]
        result: Tensor = transposed_jacobian(input.to(output.dtype))[0]
        return result
