"""Plain convolutional networks: convolutions with or without max pools, then dense layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from architectures.keywords import CONV, DENSE, MAX_POOL, PROBABILITY, SWITCH, Rule, convert_all
from architectures.layers import conv, dense, max_pool, require_pictures, softmax_output
from common.errors import CommandError, unknown_name
from lasagne.layers import Layer

LAYER_RULES: Mapping[str, Mapping[str, Rule]] = {
    "lc": {**CONV, "mp": SWITCH},
    "lm": MAX_POOL,
    "ld": {**DENSE, "dropout": PROBABILITY},
}
"""The keywords of a convolution, a max pool and a dense layer by the prefix of their parameters."""

LAYER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "lc": {"num_filters": 32, "filter_size": 3, "pad": "same", "W": "HeUniform", "mp": False},
    "lm": {"pool_size": 2},
    "ld": {"num_units": 256, "W": "HeUniform", "dropout": 0.5},
}
"""What they are unless given; a keyword that is not here has Lasagne's default."""

ALEX_NET: Mapping[str, Any] = {
    **{"lc0_num_filters": 48, "lc0_filter_size": 11, "lc0_stride": 4, "lc0_mp": True},
    **{"lm0_pool_size": 3, "lm0_stride": 2},
    **{"lc1_num_filters": 128, "lc1_filter_size": 5, "lc1_mp": True},
    **{"lm1_pool_size": 3, "lm1_stride": 2},
    **{"lc2_num_filters": 192, "lc2_filter_size": 3},
    **{"lc3_num_filters": 192, "lc3_filter_size": 3},
    **{"lc4_num_filters": 128, "lc4_filter_size": 3, "lc4_mp": True},
    **{"lm4_pool_size": 3, "lm4_stride": 2},
    **{"ld0_num_units": 2048, "ld1_num_units": 2048},
}


def conv_net(
    incoming: Layer,
    num_classes: int,
    num_conv_layers: int = 1,
    num_dense_layers: int = 1,
    **layer_params: Any,
) -> Layer:
    """Convolutions lc0, lc1, …, each with a max pool lm0, … where lc0_mp=True; dense ld0, ….

    Every keyword of a layer can be given: lc0_num_filters=48:lm0_pool_size=3:ld0_dropout=0.
    """
    return _conv_net(
        "ConvNet", incoming, num_classes, num_conv_layers, num_dense_layers, layer_params
    )


def alex_net(
    incoming: Layer,
    num_classes: int,
    num_conv_layers: int = 5,
    num_dense_layers: int = 2,
    **layer_params: Any,
) -> Layer:
    """Half of AlexNet (one tower): five convolutions, three max pools, two dense layers.

    A ConvNet with other defaults; each can be overridden, as in lc0_num_filters=64. Source:
    Krizhevsky et al., ImageNet classification with deep convolutional neural networks (2012).
    """
    counts = {"lc": num_conv_layers, "lm": num_conv_layers, "ld": num_dense_layers}
    defaults = {key: value for key, value in ALEX_NET.items() if int(key[2]) < counts[key[:2]]}
    params = {**defaults, **layer_params}
    return _conv_net("AlexNet", incoming, num_classes, num_conv_layers, num_dense_layers, params)


def lasagne_mnist_conv_example(incoming: Layer, num_classes: int, max_pools: bool = True) -> Layer:
    """Lasagne's MNIST convnet: twice a convolution 5×5×32 and max pool 2×2, dense 256, dropout 0.5.

    `max_pools=False` is what the original's code did.
    """
    require_pictures(incoming, "LasagneMnistConvExample")
    layer = incoming
    for i in range(2):
        layer = conv(layer, f"lc{i}", num_filters=32, filter_size=5)
        if max_pools:
            layer = max_pool(layer, f"lm{i}")
    return softmax_output(dense(layer, "ld0", dropout=0.5, num_units=256), num_classes)


def _conv_net(
    architecture: str,
    incoming: Layer,
    num_classes: int,
    num_conv_layers: int,
    num_dense_layers: int,
    layer_params: Mapping[str, Any],
) -> Layer:
    require_pictures(incoming, architecture)
    params = _by_layer(architecture, layer_params, num_conv_layers, num_dense_layers)
    layer = incoming
    for i in range(num_conv_layers):
        arguments = params[f"lc{i}"]
        pooled = arguments.pop("mp")
        layer = conv(layer, f"lc{i}", **arguments)
        if pooled:
            layer = max_pool(layer, f"lm{i}", **params[f"lm{i}"])
        elif any(name.startswith(f"lm{i}_") for name in layer_params):
            raise CommandError(
                f"{architecture} has parameters for the max pool lm{i}, which is not there; "
                f"give lc{i}_mp=True as well."
            )
    for i in range(num_dense_layers):
        layer = dense(layer, f"ld{i}", **params[f"ld{i}"])
    return softmax_output(layer, num_classes)


def _by_layer(
    architecture: str, layer_params: Mapping[str, Any], num_conv_layers: int, num_dense_layers: int
) -> dict[str, dict[str, Any]]:
    """Sorts `lc0_num_filters` and the like by layer, over the defaults, as layers' arguments."""
    counts = {"lc": num_conv_layers, "lm": num_conv_layers, "ld": num_dense_layers}
    grouped = {
        f"{kind}{i}": dict(LAYER_DEFAULTS[kind]) for kind in counts for i in range(counts[kind])
    }
    for name, value in layer_params.items():
        match = re.fullmatch(r"(lc|lm|ld)(\d+)_(\w+)", name)
        if not match:
            raise CommandError(f"{architecture}: {unknown_name('parameter', name, _examples())}")
        kind, index, keyword = match[1], int(match[2]), match[3]
        if index >= counts[kind]:
            layers = ", ".join(f"{kind}{i}" for i in range(counts[kind])) or "none"
            raise CommandError(
                f"{architecture} has no layer {kind}{index} for the parameter '{name}'; "
                f"its {kind} layers are: {layers} (see num_conv_layers and num_dense_layers)."
            )
        grouped[f"{kind}{index}"][keyword] = value
    return {
        layer: convert_all(f"{architecture}'s layer {layer}", LAYER_RULES[layer[:2]], params)
        for layer, params in grouped.items()
    }


def _examples() -> list[str]:
    layers = [f"{kind}<i>_{keyword}" for kind, rules in LAYER_RULES.items() for keyword in rules]
    return ["num_conv_layers", "num_dense_layers", *layers]
