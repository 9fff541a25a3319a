"""Penalties on parameters, to be added to the loss.

>>> from lasagne.layers import DenseLayer, InputLayer
>>> from lasagne.regularization import l2, regularize_network_params
>>> network = DenseLayer(InputLayer((None, 2)), num_units=1, W=[[3.0], [4.0]])
>>> float(regularize_network_params(network, l2))
25.0
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from lasagne.layers import Layer, get_all_params

__all__ = [
    "apply_penalty",
    "l1",
    "l2",
    "regularize_layer_params",
    "regularize_layer_params_weighted",
    "regularize_network_params",
]

Penalty = Callable[..., Any]


def l1(x: Tensor) -> Tensor:
    """Return the sum of absolute values, a scalar."""
    return x.abs().sum()


def l2(x: Tensor) -> Tensor:
    """Return the sum of squares (not its root, nor half of it), a scalar."""
    return x.square().sum()


def apply_penalty(
    tensor_or_tensors: Tensor | Iterable[Tensor], penalty: Penalty, **kwargs: Any
) -> Any:
    """Return the penalty of one tensor, or the sum of several tensors' penalties.

    Parameters
    ----------
    tensor_or_tensors : Tensor or iterable of Tensor
        What to penalise.
    penalty : callable
        Maps a tensor to a scalar, like :func:`l2`.
    **kwargs
        Further arguments for `penalty`.
    """
    if isinstance(tensor_or_tensors, Tensor):
        return penalty(tensor_or_tensors, **kwargs)
    return sum(penalty(tensor, **kwargs) for tensor in tensor_or_tensors)


def regularize_layer_params(
    layer: Layer | Iterable[Layer],
    penalty: Penalty,
    tags: Mapping[str, bool] = {"regularizable": True},
    **kwargs: Any,
) -> Any:
    """Return the penalty of the parameters of one or several layers, but not of those below.

    Parameters
    ----------
    layer : Layer or iterable of Layer
        The layers.
    penalty : callable
        Maps a tensor to a scalar, like :func:`l2`.
    tags : dict, default {'regularizable': True}
        Which parameters to penalise, as for :func:`lasagne.layers.get_all_params`.
    **kwargs
        Further arguments for `penalty`.
    """
    layers = [layer] if isinstance(layer, Layer) else layer
    params = [param for one in layers for param in one.get_params(**tags)]
    return apply_penalty(params, penalty, **kwargs)


def regularize_layer_params_weighted(
    layers: Mapping[Layer, float],
    penalty: Penalty,
    tags: Mapping[str, bool] = {"regularizable": True},
    **kwargs: Any,
) -> Any:
    """Return the sum of several layers' penalties, each multiplied by its coefficient.

    Parameters
    ----------
    layers : dict of Layer to float
        The layers and their coefficients.
    penalty, tags, **kwargs
        As for :func:`regularize_layer_params`.
    """
    return sum(
        coefficient * regularize_layer_params(layer, penalty, tags, **kwargs)
        for layer, coefficient in layers.items()
    )


def regularize_network_params(
    layer: Layer | Iterable[Layer],
    penalty: Penalty,
    tags: Mapping[str, bool] = {"regularizable": True},
    **kwargs: Any,
) -> Any:
    """Return the penalty of the parameters of all layers below and including the given ones.

    Parameters
    ----------
    layer : Layer or iterable of Layer
        The output layer or layers.
    penalty, tags, **kwargs
        As for :func:`regularize_layer_params`.
    """
    return apply_penalty(get_all_params(layer, **tags), penalty, **kwargs)
