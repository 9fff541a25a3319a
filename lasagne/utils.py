"""Helpers shared by the other modules."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray
from torch import Tensor, nn

from lasagne.params import ParamSpec, create_param, is_dense

__all__ = [
    "ParamSpec",
    "as_theano_expression",
    "as_tuple",
    "check_int",
    "check_int_tuple",
    "collect_shared_vars",
    "compute_norms",
    "create_param",
    "default_norm_axes",
    "floatX",
    "inspect_kwargs",
    "is_dense",
    "one_hot",
    "shared_empty",
    "unique",
    "unroll_scan",
]

T = TypeVar("T")


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


def unique(l: Iterable[T]) -> list[T]:  # noqa: E741
    """Return the items of `l` without repetitions, in the order of their first occurrence."""
    return list(dict.fromkeys(l))


def shared_empty(dim: int = 2, dtype: DTypeLike | None = None) -> Tensor:
    """Return a tensor of one zero, with `dim` axes, to be given its data later.

    Parameters
    ----------
    dim : int, default 2
        Number of axes.
    dtype : dtype, optional
        A NumPy dtype or its name, by default float32.
    """
    return torch.from_numpy(np.zeros((1,) * dim, np.float32 if dtype is None else dtype))


def as_theano_expression(input: Tensor | ArrayLike) -> Tensor:
    """Return `input` as a tensor, which has taken the place of Theano's expressions.

    Raises
    ------
    TypeError
        If it cannot be made one.
    """
    try:
        return torch.as_tensor(input)
    except (RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"expected a tensor or what can be made one, got {type(input).__name__} ({error})"
        ) from None


def collect_shared_vars(expressions: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """Return the parameters that tensors were computed from.

    Parameters
    ----------
    expressions : Tensor or iterable of Tensor
        Results of computations that autograd has recorded.

    Returns
    -------
    list of Tensor
        The leaves that get a gradient, each once, in the order in which they entered.
    """
    tensors = [expressions] if isinstance(expressions, Tensor) else list(expressions)
    leaves = [tensor for tensor in tensors if tensor.is_leaf and tensor.requires_grad]
    stack = [tensor.grad_fn for tensor in reversed(tensors) if tensor.grad_fn is not None]
    seen: set[Any] = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        stack.extend(below for below, _ in reversed(node.next_functions) if below is not None)
    return unique(leaves)


def compute_norms(
    array: Tensor | NDArray[Any], norm_axes: Iterable[int] | None = None
) -> Tensor | NDArray[Any]:
    """Return the Euclidean norms of a parameter's units.

    Parameters
    ----------
    array : Tensor or numpy.ndarray
        Weights or biases.
    norm_axes : iterable of int, optional
        The axes to sum over; by default the first of a matrix, none of a vector, and all but the
        first of filters (3 to 5 axes).

    Returns
    -------
    Tensor or numpy.ndarray
        Of the input's type, without the axes summed over; the absolute values if there are none.

    Raises
    ------
    RuntimeError
        If `array` is neither a tensor nor a NumPy array.
    ValueError
        If it has more than 5 axes, or none, and `norm_axes` is not given.
    """
    if not isinstance(array, Tensor | np.ndarray):
        raise RuntimeError(f"array must be a tensor or a NumPy array, got {type(array).__name__}")
    axes = () if array.ndim == 1 and norm_axes is None else default_norm_axes(array, norm_axes)
    if isinstance(array, Tensor):
        return torch.linalg.vector_norm(array, dim=axes) if axes else array.abs()
    squares: NDArray[Any] = (array**2).sum(axis=axes)
    return np.sqrt(squares)


def default_norm_axes(
    array: Tensor | NDArray[Any], norm_axes: Iterable[int] | None
) -> tuple[int, ...]:
    """Return `norm_axes`, by default the axes along which one unit's weights lie.

    Raises
    ------
    ValueError
        If they are not given and `array` does not have 2 to 5 axes.
    """
    if norm_axes is not None:
        return tuple(norm_axes)
    if array.ndim == 2:
        return (0,)
    if array.ndim in (3, 4, 5):
        return tuple(range(1, array.ndim))
    raise ValueError(f"norm_axes must be given for {array.ndim} axes, only 2 to 5 have a default")


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


def unroll_scan(
    fn: Callable[..., Any],
    sequences: Any,
    outputs_info: Sequence[Any],
    non_sequences: Sequence[Any],
    n_steps: int,
    go_backwards: bool = False,
) -> list[Tensor]:
    """Call a function once for each time step, with what it returned at the step before.

    Parameters
    ----------
    fn : callable
        Called with each sequence's entry, the previous outputs and `non_sequences`; returns a
        tensor, or a list or tuple of them.
    sequences : Tensor or sequence of Tensor
        Tensors with the time steps along their first axis.
    outputs_info : sequence of Tensor
        What stands for the previous outputs at the first step.
    non_sequences : sequence
        What is the same at every step.
    n_steps : int
        The number of steps.
    go_backwards : bool, default False
        Whether to begin with the entry ``n_steps - 1`` and end with the first.

    Returns
    -------
    list of Tensor, shape (n_steps, ...)
        One for each of the function's outputs, in the order in which they were computed.

    Raises
    ------
    ValueError
        If `n_steps` is not positive.
    TypeError
        If `n_steps` is not an integer.

    Examples
    --------
    >>> import torch
    >>> unroll_scan(torch.add, torch.tensor([1, 2, 3]), [torch.tensor(0)], [], 3)
    [tensor([1, 3, 6])]
    """
    sequences = sequences if isinstance(sequences, list | tuple) else [sequences]
    steps = range(check_int(n_steps, "n_steps"))
    previous = list(outputs_info)
    outputs = []
    for i in reversed(steps) if go_backwards else steps:
        output = fn(*(sequence[i] for sequence in sequences), *previous, *non_sequences)
        previous = list(output) if isinstance(output, list | tuple) else [output]
        outputs.append(previous)
    return [torch.stack(values) for values in zip(*outputs, strict=True)]
