"""Functions on whole networks, given by their output layer or layers."""

import math
import warnings
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lasagne.layers.base import Layer, MergeLayer, Shape
from lasagne.layers.input import InputLayer
from lasagne.utils import inspect_kwargs, unique

__all__ = [
    "accepted_kwargs",
    "count_params",
    "describe_unused",
    "get_all_layers",
    "get_all_param_values",
    "get_all_params",
    "get_output",
    "get_output_shape",
    "set_all_param_values",
]

Layers = Layer | Iterable[Layer]


def get_all_layers(layer: Layers, treat_as_input: Collection[Layer] | None = None) -> list[Layer]:
    """Return all layers below and including the given ones, every layer after those it needs.

    Parameters
    ----------
    layer : Layer, iterable of Layer or Network
        The output layer or layers; all functions here take a network in their place.
    treat_as_input : collection of Layer, optional
        Layers not to look below of.

    Returns
    -------
    list of Layer
        In topological order, starting from the first input.
    """
    layer = getattr(layer, "output_layer", layer)
    queue: deque[Layer | None] = deque([layer] if isinstance(layer, Layer) else layer)
    seen: set[Layer] = set(treat_as_input or ())
    result: dict[Layer, None] = {}
    while queue:
        current = queue[0]
        if current is not None and current not in seen:
            seen.add(current)
            queue.extendleft(reversed(_incoming(current)))
        else:
            queue.popleft()
            if current is not None:
                result.setdefault(current)
    return list(result)


def get_output(
    layer_or_layers: Layers,
    inputs: Tensor | ArrayLike | Mapping[Layer, Tensor | ArrayLike] | None = None,
    **kwargs: Any,
) -> Any:
    """Compute the output of one or several layers.

    Parameters
    ----------
    layer_or_layers : Layer or iterable of Layer
        The layers whose output is wanted.
    inputs : Tensor, array or dict, optional
        What all input layers return, or a dict from layers (not only input layers) to what they
        are to return; by default the input layers' `input_var`.
    **kwargs
        Arguments for all layers, like ``deterministic=True``.

    Returns
    -------
    Tensor or list of Tensor
        One for each layer given.

    Raises
    ------
    ValueError
        If an input is missing, or does not have its layer's shape.

    Warns
    -----
    UserWarning
        If an argument is not known to any layer.
    """
    layer_or_layers = getattr(layer_or_layers, "output_layer", layer_or_layers)
    by_layer = isinstance(inputs, Mapping)
    given = inputs if isinstance(inputs, Mapping) else {}
    layers = get_all_layers(layer_or_layers, given)
    outputs: dict[Layer | None, Any] = {
        layer: torch.as_tensor(value) for layer, value in given.items()
    }
    for layer in layers:
        if layer not in outputs:
            if isinstance(layer, InputLayer):
                value = layer.input_var if inputs is None or by_layer else inputs
                if value is None:
                    raise ValueError(f"get_output() was called without an input for {layer}")
                outputs[layer] = layer(torch.as_tensor(value))
            else:
                outputs[layer] = layer(_inputs_of(layer, outputs, "get_output"), **kwargs)
    unused = describe_unused(kwargs, accepted_kwargs(layers)) if kwargs else ""
    if unused:
        warnings.warn(f"get_output() was called with unused kwargs: {unused}", stacklevel=2)
    if isinstance(layer_or_layers, Layer):
        return outputs[layer_or_layers]
    return [outputs[layer] for layer in layer_or_layers]


def get_output_shape(
    layer_or_layers: Layers,
    input_shapes: Shape | Mapping[Layer, Shape] | None = None,
) -> Any:
    """Return the output shape of one or several layers.

    Parameters
    ----------
    layer_or_layers : Layer or iterable of Layer
        The layers whose output shape is wanted.
    input_shapes : tuple or dict, optional
        The shape of all input layers, or a dict from layers to shapes, in place of those known.

    Returns
    -------
    tuple or list of tuple
        One for each layer given; None for sizes that are not known.

    Raises
    ------
    ValueError
        If the shape of an input is missing.
    """
    layer_or_layers = getattr(layer_or_layers, "output_layer", layer_or_layers)
    given = input_shapes if isinstance(input_shapes, Mapping) else {}
    shapes: dict[Layer | None, Shape] = {layer: given[layer] for layer in given}
    for layer in get_all_layers(layer_or_layers, given):
        if layer not in shapes:
            if isinstance(layer, InputLayer):
                shapes[layer] = input_shapes if isinstance(input_shapes, tuple) else layer.shape
            elif not input_shapes:
                shapes[layer] = layer.output_shape
            else:
                known = _inputs_of(layer, shapes, "get_output_shape")
                shapes[layer] = layer.get_output_shape_for(known)
    if isinstance(layer_or_layers, Layer):
        return shapes[layer_or_layers]
    return [shapes[layer] for layer in layer_or_layers]


def get_all_params(layer: Layers, unwrap_shared: bool = True, **tags: bool) -> list[Tensor]:
    """Return the parameters of all layers below and including the given ones.

    Parameters
    ----------
    layer : Layer or iterable of Layer
        The output layer or layers.
    unwrap_shared : bool, default True
        Without effect, as in :meth:`Layer.get_params`.
    **tags : bool
        ``tag=True`` selects parameters with the tag, ``tag=False`` those without.

    Returns
    -------
    list of Tensor
        In the order of :func:`get_all_layers`, shared parameters once.
    """
    params = (one.get_params(unwrap_shared, **tags) for one in get_all_layers(layer))
    return unique(chain.from_iterable(params))


def count_params(layer: Layers, **tags: bool) -> int:
    """Return how many numbers :func:`get_all_params` has in all, shared ones counted once."""
    return sum(math.prod(param.shape) for param in get_all_params(layer, **tags))


def get_all_param_values(layer: Layers, **tags: bool) -> list[NDArray[Any]]:
    """Return copies of the values of :func:`get_all_params`, as NumPy arrays.

    NumPy has no bfloat16: such values come as float32.
    """
    params = (param.detach().cpu() for param in get_all_params(layer, **tags))
    return [(p.float() if p.dtype == torch.bfloat16 else p).numpy().copy() for p in params]


def set_all_param_values(layer: Layers, values: Sequence[ArrayLike | Tensor], **tags: bool) -> None:
    """Set the parameters of :func:`get_all_params`, in place.

    Parameters
    ----------
    layer : Layer or iterable of Layer
        The output layer or layers.
    values : sequence of array or Tensor
        One value for each parameter, as :func:`get_all_param_values` returns them.
    **tags : bool
        As for :func:`get_all_params`.

    Raises
    ------
    ValueError
        If there are too many or too few values, or one does not have its parameter's shape.
        No parameter has been changed then.
    TypeError
        If `values` is not a list.
    """
    if not isinstance(values, list | tuple):
        raise TypeError(
            "values must be a list of arrays, as get_all_param_values() and "
            f"lasagne.weights.load_param_values(path) return it, got {type(values).__name__}"
        )
    params = get_all_params(layer, **tags)
    if len(values) != len(params):
        raise ValueError(f"mismatch: got {len(values)} values to set {len(params)} parameters")
    tensors = [torch.from_numpy(np.array(v)) if not isinstance(v, Tensor) else v for v in values]
    for param, value in zip(params, tensors, strict=True):
        if param.shape != value.shape:
            raise ValueError(
                f"mismatch: {_label(layer, param)} has shape {tuple(param.shape)}, "
                f"but the value to set has shape {tuple(value.shape)}"
            )
    with torch.no_grad():
        for param, value in zip(params, tensors, strict=True):
            param.copy_(value)


def accepted_kwargs(layers: Iterable[Layer]) -> set[str]:
    """Return the names of the keyword arguments that a layer's `get_output_for` knows.

    Layers that a layer computes by itself, like those of a recurrent layer's step, count too.
    """
    known = (one for layer in layers for one in layer.modules() if isinstance(one, Layer))
    names = (inspect_kwargs(one.get_output_for) + one.get_output_kwargs for one in known)
    return {"deterministic"}.union(*names)


def describe_unused(kwargs: Iterable[str], accepted: Collection[str]) -> str:
    """Return the names that are not accepted, with suggestions; an empty string if all are."""
    unused = []
    for name in kwargs:
        if name not in accepted:
            close = get_close_matches(name, accepted, n=1)
            unused.append(f"{name} (did you mean {close[0]}?)" if close else name)
    return ", ".join(unused)


def _incoming(layer: Layer) -> Sequence[Layer | None]:
    """Return the layers feeding into `layer`."""
    return layer.input_layers if isinstance(layer, MergeLayer) else [layer.input_layer]


def _inputs_of(layer: Layer, known: Mapping[Layer | None, Any], caller: str) -> Any:
    """Return what `known` has for the layers feeding into `layer`."""
    try:
        inputs = [known[incoming] for incoming in _incoming(layer)]
    except KeyError:
        raise ValueError(
            f"{caller}() was called without an input for the free-floating layer {layer}: "
            "call it with a dict that maps this layer to one"
        ) from None
    return inputs if isinstance(layer, MergeLayer) else inputs[0]


def _label(layer: Layers, param: Tensor) -> str:
    """Return how to call `param` in a message."""
    for index, owner in enumerate(get_all_layers(layer)):
        for name, own in chain(owner.named_parameters(), owner.named_buffers()):
            if own is param:
                return f"parameter {name!r} of {owner} (layer {index})"
    return "a parameter"
