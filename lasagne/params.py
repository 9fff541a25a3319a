"""How parameters come to be; :mod:`lasagne.utils` has the names too."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

__all__ = ["ParamSpec", "create_param", "is_dense"]

#: What a parameter may be given as: an initialiser, its value, or an existing parameter to share.
ParamSpec = Callable[[tuple[int, ...]], ArrayLike] | ArrayLike | Tensor


def create_param(spec: ParamSpec, shape: Sequence[int], name: str | None = None) -> nn.Parameter:
    """Create a parameter, or check one that is to be shared.

    Parameters
    ----------
    spec : callable, array, number or Tensor
        * a callable (an initialiser) is called with `shape` and returns one of the following;
        * an array or a number is the value, converted to float32;
        * a :class:`torch.nn.Parameter` is used as it is: give that of another layer to share it;
        * another tensor is made a parameter, the same one whenever it is given, which has the
          tensor's memory (a copy, if that has gaps).
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
        If `spec` is none of the above, or a tensor of integers or computed from others.
    """
    shape = tuple(shape)
    label = "parameter" if name is None else f"parameter {name!r}"
    if any(d <= 0 for d in shape):
        raise ValueError(f"{label} cannot be created with the non-positive dimension in {shape}")
    if isinstance(spec, type):
        raise TypeError(f"{label} must be given an instance, {spec.__name__}(), got the class")
    value = spec(shape) if callable(spec) and not isinstance(spec, Tensor) else spec
    if isinstance(value, Tensor):
        param = _as_parameter(value, label)
    else:
        param = nn.Parameter(torch.from_numpy(_as_array(value, label)))
    if tuple(param.shape) != shape:
        source = "got" if value is spec else "the initialiser returned"
        raise ValueError(f"{label} must have shape {shape}, {source} {tuple(param.shape)}")
    return param


def _as_parameter(tensor: Tensor, label: str) -> nn.Parameter:
    """Return the one parameter that stands for a tensor, whoever asks for it."""
    if isinstance(tensor, nn.Parameter):
        return tensor
    if not tensor.is_floating_point() or tensor.requires_grad:
        raise TypeError(
            f"{label} must be a tensor of floating-point numbers that was not computed from "
            f"others, or a torch.nn.Parameter, got dtype {tensor.dtype} with "
            f"requires_grad={tensor.requires_grad}"
        )
    if not hasattr(tensor, "_lasagne_parameter"):
        own = tensor if is_dense(tensor) else tensor.contiguous()
        tensor._lasagne_parameter = nn.Parameter(own)  # type: ignore[attr-defined]
    parameter: nn.Parameter = tensor._lasagne_parameter  # type: ignore[attr-defined]
    return parameter


def is_dense(tensor: Tensor) -> bool:
    """Tell whether a tensor fills a block of memory, without gaps and without sharing any."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _as_array(value: Any, label: str) -> NDArray[np.float32]:
    """Return the value of a parameter, in memory of its own."""
    try:
        if value is None:
            raise TypeError
        return np.array(value, dtype=np.float32, order="C")
    except (TypeError, ValueError):
        raise TypeError(
            f"{label} must be given as an initialiser, an array or a parameter, got {value!r}"
        ) from None
