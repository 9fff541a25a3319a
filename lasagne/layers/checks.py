"""Checks of arguments that several layers share."""

from lasagne.layers.base import Layer, Shape
from lasagne.utils import check_int

__all__ = ["check_axis", "check_spatial_axes"]

_AXES = {
    1: "(batch, channels, length)",
    2: "(batch, channels, height, width)",
    3: "(batch, channels, depth, height, width)",
}


def check_spatial_axes(layer: Layer, n: int) -> None:
    """Raise ValueError unless the input has a batch axis, channels and `n` spatial axes."""
    axes = _AXES.get(n, f"(batch, channels, and {n} sizes)")
    if n < 1 or len(layer.input_shape) != n + 2:
        raise ValueError(f"{layer} needs an input of shape {axes}, got {layer.input_shape}")


def check_axis(layer: Layer, axis: int, shape: Shape) -> int:
    """Return `axis`, an argument of that name, as a number that is not negative.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If `shape` has no such axis.
    """
    ndim = len(shape)
    if check_int(axis, f"{layer}: axis", -ndim) >= ndim:
        raise ValueError(f"{layer}: axis must be one of the input's shape {shape}, got {axis}")
    return axis % ndim
