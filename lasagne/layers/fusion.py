"""Computing several layers of a network at once, with the same numbers.

Theano's optimiser rewrote graphs; :class:`lasagne.layers.Network` does so in two cases:

* convolutions of the same input with filters of the same size are computed as one, with all their
  filters. MIRdl's networks have hundreds of such layers with few filters each, which alone do not
  keep a processor busy;
* a max pooling comes before the rectifier, on the smaller array, wherever a convolution feeds into
  nothing else. The largest value stays the largest through a rectifier. Where the filters reach
  along one row of one channel, and the pooling over whole rows, nothing but the largest values is
  ever kept (:mod:`lasagne.layers.pooled_conv`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lasagne.layers.base import Layer
from lasagne.layers.conv import Conv1DLayer, Conv2DLayer, Conv3DLayer
from lasagne.layers.dnn import Conv2DDNNLayer, Conv3DDNNLayer
from lasagne.layers.pool import (
    MaxPool1DLayer,
    MaxPool2DLayer,
    MaxPool3DLayer,
    Pool1DLayer,
    Pool2DLayer,
    Pool3DLayer,
)
from lasagne.layers.pooled_conv import is_plain_call, max_correlation
from lasagne.nonlinearities import (
    SELU,
    LeakyRectify,
    ScaledTanH,
    elu,
    linear,
    rectify,
    sigmoid,
    softplus,
    tanh,
)

__all__ = ["Block", "Sources", "find_blocks", "is_watched"]

#: Where a layer finds its input: one index, several, or None for a network's input.
Sources = Sequence[int | tuple[int, ...] | None]

_CONVOLUTIONS = (Conv1DLayer, Conv2DLayer, Conv3DLayer, Conv2DDNNLayer, Conv3DDNNLayer)
_MAX_POOLS = (MaxPool1DLayer, MaxPool2DLayer, MaxPool3DLayer)
_POOLS = (*_MAX_POOLS, Pool1DLayer, Pool2DLayer, Pool3DLayer)
_CONVOLVE = (functional.conv1d, functional.conv2d, functional.conv3d)
_ELEMENTWISE = (elu, linear, rectify, sigmoid, softplus, tanh)
_ELEMENTWISE_TYPES = (LeakyRectify, SELU, ScaledTanH)


@dataclass(frozen=True)
class Block:
    """Convolutions that are computed at once, and what follows each of them.

    Attributes
    ----------
    convolutions : tuple of Conv1DLayer, Conv2DLayer or Conv3DLayer
        Layers with the same arguments but for their parameters and number of filters.
    pools : tuple of Layer
        Equal pooling layers, one on each convolution, or none.
    source : int
        The index of their input.
    results : tuple of int
        Indices of the layers whose values the block yields.
    indices : tuple of int
        Indices of all its layers, the first convolution's first.
    arguments, pool_arguments : tuple
        What the convolutions have in common, and the pooling layers (None without).
    """

    convolutions: tuple[Any, ...]
    pools: tuple[Any, ...]
    source: int
    results: tuple[int, ...]
    indices: tuple[int, ...]
    arguments: tuple[Any, ...]
    pool_arguments: tuple[Any, ...] | None

    def __call__(self, input: Tensor, **kwargs: Any) -> Sequence[Tensor]:
        """Return the value of every convolution, or of the pooling layer on it."""
        if not self._is_as_planned():
            values = [layer(input, **kwargs) for layer in self.convolutions]
            pairs = zip(self.pools, values, strict=False)
            return [pool(value, **kwargs) for pool, value in pairs] or values
        if self._pools_all_frames(input) and is_plain_call(input.device):
            value = self._largest(input)
        else:
            value = self._pooled_and_activated(_convolve(self.convolutions, input))
        if len(self.convolutions) == 1:
            return (value,)
        starts = accumulate((layer.num_filters for layer in self.convolutions), initial=0)
        pairs = zip(self.convolutions, starts, strict=False)
        return [value.narrow(1, start, layer.num_filters) for layer, start in pairs]

    def _is_as_planned(self) -> bool:
        """Tell whether no layer was changed since, and none has hooks, which want its own value."""
        first = self.convolutions[0]
        return (
            _can_be_fused(first)
            and all(_arguments(layer) == self.arguments for layer in self.convolutions)
            and all(_arguments(pool) == self.pool_arguments for pool in self.pools)
            and not any(is_watched(layer) for layer in (*self.convolutions, *self.pools))
        )

    def pays(self) -> bool:
        """Tell whether the block differs from its layers one after another."""
        return len(self.convolutions) > 1 or self._pools_first()

    def _pools_first(self) -> bool:
        """Tell whether pooling can come before the nonlinearity."""
        nonlinearity = self.convolutions[0].nonlinearity
        return any(pool.mode == "max" for pool in self.pools) and _keeps_order(nonlinearity)

    def _pools_all_frames(self, input: Tensor) -> bool:
        """Tell whether :func:`max_correlation` can compute the convolutions and their pools."""
        conv = self.convolutions[0]
        if not self._pools_first() or conv.n != 2:
            return False
        pool = self.pools[0]
        (rows, length), (bands, positions) = conv.filter_size, pool.pool_size
        return (
            (rows, conv.stride, conv._padding()) == (1, (1, 1), (0, 0))
            and (pool.stride[0], pool.pad, pool.ignore_border) == (bands, (0, 0), True)
            and conv.num_channels == 1
            and input.ndim == 4
            and input.shape[1] == 1
            and input.shape[2] >= bands
            and input.shape[3] == length + positions - 1
        )

    def _largest(self, input: Tensor) -> Tensor:
        conv = self.convolutions[0]
        weights, biases = _filters(self.convolutions)
        weights = conv._flipped(weights) if conv.flip_filters else weights
        value = max_correlation(input, weights, self.pools[0].pool_size[0])
        if biases is not None:
            value = (value + biases.view(-1, 1, 1)).to(value.dtype)
        activated: Tensor = conv.nonlinearity(value)
        return activated

    def _pooled_and_activated(self, value: Tensor) -> Tensor:
        nonlinearity: Callable[[Tensor], Tensor] = self.convolutions[0].nonlinearity
        if not self.pools:
            return nonlinearity(value)
        pool: Callable[[Tensor], Tensor] = self.pools[0].get_output_for
        return nonlinearity(pool(value)) if self._pools_first() else pool(nonlinearity(value))


def find_blocks(
    layers: Sequence[Layer], sources: Sources, outputs: Collection[int]
) -> dict[int, Block]:
    """Find what can be computed at once.

    Parameters
    ----------
    layers : sequence of Layer
        In topological order.
    sources : sequence
        Where each layer finds its input.
    outputs : collection of int
        Indices of the layers whose values are wanted.

    Returns
    -------
    dict of int to Block
        The index of the first layer of every block, and the block.
    """
    pool_of = _pools_of_their_own(layers, sources, outputs)
    groups: dict[Any, list[int]] = {}
    for i, layer in enumerate(layers):
        if type(layer) in _CONVOLUTIONS and _can_be_fused(layer):
            pool = layers[pool_of[i]] if i in pool_of else None
            key = (sources[i], _arguments(layer), None if pool is None else _arguments(pool))
            groups.setdefault(key, []).append(i)
    blocks = [_block(key, members, layers, pool_of) for key, members in groups.items()]
    return {block.indices[0]: block for block in blocks if block.pays()}


def is_watched(layer: nn.Module) -> bool:
    """Tell whether a layer has hooks."""
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
    )


def _block(
    key: tuple[Any, ...],
    members: Sequence[int],
    layers: Sequence[Layer],
    pool_of: Mapping[int, int],
) -> Block:
    source, arguments, pool_arguments = key
    pools = [pool_of[i] for i in members if i in pool_of]
    return Block(
        convolutions=tuple(layers[i] for i in members),
        pools=tuple(layers[i] for i in pools),
        source=source,
        results=tuple(pools or members),
        indices=(*members, *pools),
        arguments=arguments,
        pool_arguments=pool_arguments,
    )


def _pools_of_their_own(
    layers: Sequence[Layer], sources: Sources, outputs: Collection[int]
) -> Mapping[int, int]:
    """Return the pooling layer that alone takes a layer's value, for every layer that has one."""
    users: dict[int, list[int]] = {}
    for user, source in enumerate(sources):
        for i in (source,) if isinstance(source, int) else source or ():
            users.setdefault(i, []).append(user)
    return {
        i: own[0]
        for i, own in users.items()
        if len(own) == 1 and type(layers[own[0]]) in _POOLS and i not in outputs
    }


def _arguments(layer: Any) -> tuple[Any, ...]:
    """Return what layers that are computed as one have in common."""
    if type(layer) in _POOLS:
        return (layer.n, layer.pool_size, layer.stride, layer.pad, layer.ignore_border, layer.mode)
    own = layer if layer.num_groups > 1 else None
    arguments = (layer.filter_size, layer.stride, layer.pad, layer.flip_filters, layer.b is None)
    return (*arguments, layer.nonlinearity, layer.convolution, own)


def _convolve(layers: Sequence[Any], input: Tensor) -> Tensor:
    """Return the convolution of `input` with the filters of all layers."""
    convolved: Tensor = layers[0]._convolve(input, *_filters(layers))
    return convolved


def _filters(layers: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
    """Return the weights and biases of all layers, each as one tensor."""
    weights, biases = layers[0].W, layers[0].b
    if len(layers) > 1:
        weights = torch.cat([layer.W for layer in layers])
        biases = None if biases is None else torch.cat([layer.b for layer in layers])
    return weights, biases


def _can_be_fused(layer: Any) -> bool:
    """Tell whether filters and values do not depend on each other in any of its functions."""
    nonlinearity = layer.nonlinearity
    elementwise = type(nonlinearity) in _ELEMENTWISE_TYPES or nonlinearity in _ELEMENTWISE
    return elementwise and not layer.untie_biases and layer.convolution in _CONVOLVE


def _keeps_order(nonlinearity: Callable[[Tensor], Tensor]) -> bool:
    """Tell whether the largest value stays the largest, exactly."""
    if type(nonlinearity) is LeakyRectify:
        return nonlinearity.leakiness >= 0
    return nonlinearity in (rectify, linear)
