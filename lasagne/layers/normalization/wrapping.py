"""What all functions share that put a normalisation below a layer's nonlinearity."""

from torch import Tensor

from lasagne.layers.base import Incoming, Layer, Nonlinearity
from lasagne.layers.special.simple import NonlinearityLayer, take_nonlinearity

__all__ = ["extended_name", "stack_nonlinearity", "strip"]


def strip(layer: Incoming) -> Nonlinearity | None:
    """Remove the nonlinearity and the biases of `layer`; return the nonlinearity, if any.

    Raises
    ------
    ValueError
        If the biases are another layer's, as a recurrent layer's are.
    """
    bias = getattr(layer, "b", None)
    if isinstance(layer, Layer) and isinstance(bias, Tensor):
        if "b" not in layer._tags:
            raise ValueError(f"the biases of {layer} are not its own: give it b=None")
        layer.remove_param(bias)
    return take_nonlinearity(layer)


def extended_name(layer: Incoming, suffix: str) -> str | None:
    """Return the name of `layer` and `suffix`, or None if it has none."""
    name = getattr(layer, "name", None)
    return name and name + suffix


def stack_nonlinearity(layer: Layer, nonlinearity: Nonlinearity | None, name: str | None) -> Layer:
    """Return `layer` with `nonlinearity` on top, if there is one."""
    if nonlinearity is None:
        return layer
    return NonlinearityLayer(layer, nonlinearity, name=name and f"{name}_nonlin")
