"""Which axes an argument names, and parameters that are shared along them."""

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from torch import Tensor

from lasagne.layers.base import Layer

__all__ = ["Axes", "broadcast", "kept_sizes", "named_axes", "resolve_axes"]

#: One axis, several, or a name that stands for some.
Axes = int | Iterable[int] | str


def named_axes(layer: Layer, *names: str) -> dict[str, tuple[int, ...]]:
    """Return the axes of the layer's input that each of `names` stands for.

    'auto' is all but the second axis, 'all' all of them, 'spatial' all from the third on,
    'features' all but the first.
    """
    axes = tuple(range(len(layer.input_shape)))
    known = {"auto": axes[:1] + axes[2:], "all": axes, "spatial": axes[2:], "features": axes[1:]}
    return {name: known[name] for name in names}


def resolve_axes(
    layer: Layer, axes: Axes, argument: str, named: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[int, ...]:
    """Return `axes` as a tuple of numbers that are not negative.

    Parameters
    ----------
    layer : Layer
        The layer whose input has the axes.
    axes : int, iterable of int or str
        Negative numbers count from the end.
    argument : str
        How to call `axes` in the message.
    named : dict from str to tuple of int, optional
        The names accepted, and what they stand for.

    Raises
    ------
    ValueError
        If an axis does not exist, or the name is none of those.
    """
    named = named or {}
    if isinstance(axes, str) and axes in named:
        return named[axes]
    numbers: tuple[Any, ...] = tuple(axes) if isinstance(axes, Iterable) else (axes,)
    ndim = len(layer.input_shape)
    if not all(isinstance(axis, Integral) and -ndim <= int(axis) < ndim for axis in numbers):
        names = "".join(f"{name!r}, " for name in named)
        raise ValueError(
            f"{layer}: {argument} must be {names and names[:-2] + ' or '}axes of an input of "
            f"shape {layer.input_shape}, got {axes!r}"
        )
    return tuple(dict.fromkeys(int(axis) % ndim for axis in numbers))


def kept_sizes(layer: Layer, axes: Iterable[int], argument: str) -> list[int]:
    """Return the sizes of the input's axes that are not in `axes`.

    Raises
    ------
    ValueError
        If one of them is not known.
    """
    axes = set(axes)
    sizes = [size for axis, size in enumerate(layer.input_shape) if axis not in axes]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        raise ValueError(
            f"{layer} needs an input whose sizes are known along all axes but "
            f"{argument}={tuple(sorted(axes))}, got {layer.input_shape}"
        )
    return known


def broadcast(param: Tensor, axes: Iterable[int]) -> Tensor:
    """Return `param` with axes of size 1 put in at `axes`, for arithmetic with the input."""
    for axis in sorted(axes):
        param = param.unsqueeze(axis)
    return param
