"""Helpers shared by the other modules."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

__all__ = [
    "ParamSpec",
    "as_tuple",
    "check_int",
    "check_int_tuple",
    "create_param",
    "floatX",
    "inspect_kwargs",
    "one_hot",
    "unique",
]

T = TypeVar("T")

#: What a parameter may be given as: an initialiser, its value, or an existing parameter to share.
ParamSpec = Callable[[tuple[int, ...]], ArrayLike] | ArrayLike | Tensor


def floatX(arr: ArrayLike) -> NDArray[np.float32]:  # noqa: N802
    """Convert `arr` to a NumPy array of float32, the type parameters are created in."""
    return np.asarray(arr, dtype=np.float32)


def one_hot(x: Tensor, m: int | None = None) -> Tensor:
    """Turn integer labels into one-hot rows.

    Parameters
    ----------
    x : Tensor of int, any shape
        Labels in [0, m).
    m : int, optional
        Number of classes, by default the largest label plus one.

    Returns
    -------
    Tensor of float32, shape ``x.shape + (m,)``
    """
    return nn.functional.one_hot(x.long(), -1 if m is None else m).float()


def unique(items: Iterable[T]) -> list[T]:
    """Return `items` without repetitions, in the order of their first occurrence."""
    return list(dict.fromkeys(items))


def as_tuple(x: Any, N: int, t: type | tuple[type, ...] | None = None) -> tuple[Any, ...]:
    """Make a tuple of length `N` of a single value or an iterable.

    Parameters
    ----------
    x : value or iterable
        A single value is repeated `N` times.
    N : int
        The length wanted.
    t : type or tuple of types, optional
        The type required of every item.

    Raises
    ------
    TypeError
        If an item is not a `t`.
    ValueError
        If `x` is an iterable of another length than `N`.
    """
    items = tuple(x) if isinstance(x, Iterable) else (x,) * N
    if t is not None and not all(isinstance(item, t) for item in items):
        expected = getattr(t, "__name__", t)
        raise TypeError(f"expected a single value or an iterable of {expected}, got {x!r} instead")
    if len(items) != N:
        raise ValueError(
            f"expected a single value or an iterable with length {N}, got {x!r} instead"
        )
    return items


def check_int(value: Any, name: str, minimum: int = 1) -> int:
    """Return `value` as an int, or raise an error that names the argument.

    Parameters
    ----------
    value : int
        The argument's value; NumPy's integers are accepted, booleans are not.
    name : str
        How to call the argument in the message.
    minimum : int, default 1
        The smallest value accepted.

    Raises
    ------
    TypeError
        If `value` is not an integer.
    ValueError
        If `value` is smaller than `minimum`.
    """
    expected = f"{name} must be an integer of at least {minimum}, got {value!r}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(expected)
    if value < minimum:
        raise ValueError(expected)
    return int(value)


def check_int_tuple(value: Any, n: int, name: str, minimum: int = 1) -> tuple[int, ...]:
    """Return `value` as a tuple of `n` ints, or raise an error that names the argument.

    Parameters
    ----------
    value : int or iterable of int
        A single int stands for all `n`.
    n : int
        The length wanted.
    name : str
        How to call the argument in the message.
    minimum : int, default 1
        The smallest value accepted.

    Raises
    ------
    TypeError
        If `value` is not made of integers.
    ValueError
        If an integer is smaller than `minimum`, or their number is not `n`.
    """
    items = tuple(value) if isinstance(value, Iterable) else (value,) * n
    expected = f"{name} must be an integer of at least {minimum} or a tuple of {n}, got {value!r}"
    if any(isinstance(item, bool) or not isinstance(item, Integral) for item in items):
        raise TypeError(expected)
    if len(items) != n or any(item < minimum for item in items):
        raise ValueError(expected)
    return tuple(int(item) for item in items)


def inspect_kwargs(func: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments of `func` that have a default."""
    parameters = inspect.signature(func).parameters.values()
    return [p.name for p in parameters if p.default is not p.empty]


def create_param(spec: ParamSpec, shape: Sequence[int], name: str | None = None) -> nn.Parameter:
    """Create a parameter, or check one that is to be shared.

    Parameters
    ----------
    spec : callable, array, number or Tensor
        * a callable (an initialiser) is called with `shape` and returns the value;
        * an array or a number is the value, converted to float32;
        * a tensor is used as it is, without a copy: give the parameter of another layer to share.
    shape : sequence of int
        The shape required.
    name : str, optional
        How to call the parameter in messages.

    Returns
    -------
    torch.nn.Parameter

    Raises
    ------
    ValueError
        If a dimension of `shape` is not positive, or the value has another shape.
    TypeError
        If `spec` is none of the above, or a tensor computed from others.
    """
    shape = tuple(shape)
    label = "parameter" if name is None else f"parameter {name!r}"
    if any(d <= 0 for d in shape):
        raise ValueError(f"{label} cannot be created with the non-positive dimension in {shape}")
    if isinstance(spec, Tensor):
        if not spec.is_leaf:
            raise TypeError(f"{label} cannot be a computed tensor: its value would never change")
        param = spec if isinstance(spec, nn.Parameter) else nn.Parameter(spec)
    else:
        param = nn.Parameter(torch.from_numpy(_sample(spec, shape, label)))
    if tuple(param.shape) != shape:
        source = "the initialiser returned" if callable(spec) else "got"
        raise ValueError(f"{label} must have shape {shape}, {source} {tuple(param.shape)}")
    return param


def _sample(spec: Any, shape: tuple[int, ...], label: str) -> NDArray[np.float32]:
    """Return the value that `spec` stands for, in memory of its own."""
    value = spec(shape) if callable(spec) else spec
    try:
        return np.array(value, dtype=np.float32, order="C")
    except (TypeError, ValueError):
        raise TypeError(
            f"{label} must be given as an initialiser, an array or a parameter, got {spec!r}"
        ) from None
