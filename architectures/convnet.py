"""Plain convolutional networks: convolutions, max pools, normalisations, then dense layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from architectures.keywords import (
    CONV,
    DENSE,
    MAX_POOL,
    PROBABILITY,
    RESPONSE_NORM,
    SWITCH,
    Rule,
    convert_all,
)
from architectures.layers import (
    conv,
    dense,
    max_pool,
    require_pictures,
    response_norm,
    softmax_output,
)
from common.errors import CommandError, unknown_name
from lasagne.init import GlorotUniform, Initializer, Normal
from lasagne.layers import Layer

LAYER_RULES: Mapping[str, Mapping[str, Rule]] = {
    "lc": {**CONV, "mp": SWITCH, "lrn": SWITCH},
    "lm": MAX_POOL,
    "ln": RESPONSE_NORM,
    "ld": {**DENSE, "dropout": PROBABILITY},
}
"""The keywords of a convolution, a max pool, a local response normalisation and a dense layer.

By the prefix of their parameters; lc0_mp=True adds the max pool lm0, lc0_lrn=True the
normalisation ln0 after it.
"""

LAYER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "lc": {
        **{"num_filters": 32, "filter_size": 3, "pad": "same", "W": "HeUniform"},
        **{"mp": False, "lrn": False},
    },
    "lm": {"pool_size": 2},
    "ln": {},
    "ld": {"num_units": 256, "W": "HeUniform", "dropout": 0.5},
}
"""What they are unless given; a keyword that is not here has Lasagne's default."""

FOLLOWERS: Mapping[str, tuple[str, str, Callable[..., Layer]]] = {
    "mp": ("lm", "max pool", max_pool),
    "lrn": ("ln", "normalisation", response_norm),
}
"""What may follow a convolution, in this order, by its switch: prefix, words, function."""

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

CAFFE_ALEX_NET: dict[str, Any] = {
    **{"lc0_num_filters": 96, "lc0_filter_size": 11, "lc0_stride": 4, "lc0_pad": 0},
    **{"lc0_W": "Normal(0.01)", "lc0_mp": True, "lc0_lrn": True},
    **{"lm0_pool_size": 3, "lm0_stride": 2},
    **{"lc1_num_filters": 256, "lc1_filter_size": 5, "lc1_pad": 2},
    **{"lc1_W": "Normal(0.01)", "lc1_b": 0.1, "lc1_mp": True, "lc1_lrn": True},
    **{"lm1_pool_size": 3, "lm1_stride": 2},
    **{"lc2_num_filters": 384, "lc2_pad": 1, "lc2_W": "Normal(0.01)"},
    **{"lc3_num_filters": 384, "lc3_pad": 1, "lc3_W": "Normal(0.01)", "lc3_b": 0.1},
    **{"lc4_num_filters": 256, "lc4_pad": 1, "lc4_W": "Normal(0.01)", "lc4_mp": True},
    **{"lm4_pool_size": 3, "lm4_stride": 2},
    **{"ld0_num_units": 4096, "ld0_W": "Normal(0.005)", "ld0_b": 0.1},
    **{"ld1_num_units": 4096, "ld1_W": "Normal(0.005)", "ld1_b": 0.1},
}
GROUPED = ("lc1", "lc3", "lc4")
"""The convolutions of CaffeAlexNet that the two GPUs of 2012 divided between them."""


def conv_net(
    incoming: Layer,
    num_classes: int,
    num_conv_layers: int = 1,
    num_dense_layers: int = 1,
    **layer_params: Any,
) -> Layer:
    """Convolutions lc0, lc1, …, each with a max pool lm0, … where lc0_mp=True; dense ld0, ….

    With lc0_lrn=True a local response normalisation ln0 follows. Every keyword of a layer can be
    given: lc0_num_filters=48:lm0_pool_size=3:ld0_dropout=0.
    """
    counts = _counts(num_conv_layers, num_dense_layers)
    return _conv_net("ConvNet", incoming, num_classes, counts, {}, layer_params)


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
    counts = _counts(num_conv_layers, num_dense_layers)
    return _conv_net("AlexNet", incoming, num_classes, counts, ALEX_NET, layer_params)


def caffe_alex_net(
    incoming: Layer,
    num_classes: int,
    num_conv_layers: int = 5,
    num_dense_layers: int = 2,
    groups: int = 2,
    flip_filters: bool = True,
    **layer_params: Any,
) -> Layer:
    """All of AlexNet in CaffeNet's and theano_alexnet's order: convolution, pool, normalisation.

    A ConvNet with other defaults; each can be overridden, as in lc0_num_filters=64. `groups` is
    that of the convolutions lc1, lc3 and lc4; 1 connects all channels. `flip_filters=False` is for
    weights of Caffe's orientation. Dropout doubles what it keeps, as Caffe's; theano_alexnet
    halved everything in testing instead, so that its weights after a dropout are to be halved.

    Source: Ding et al., Theano-based large-scale visual recognition with multiple GPUs
    (arXiv:1412.2302, 2014), and theano_alexnet's code for the start values.
    """
    counts = _counts(num_conv_layers, num_dense_layers)
    defaults = CAFFE_ALEX_NET | {f"{layer}_num_groups": groups for layer in GROUPED}
    defaults |= {f"lc{i}_flip_filters": flip_filters for i in range(num_conv_layers)}
    start = Normal(0.01)
    return _conv_net("CaffeAlexNet", incoming, num_classes, counts, defaults, layer_params, start)


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
    counts: Mapping[str, int],
    defaults: Mapping[str, Any],
    layer_params: Mapping[str, Any],
    output_start: Initializer | None = None,
) -> Layer:
    require_pictures(incoming, architecture)
    there = {key: value for key, value in defaults.items() if int(key[2]) < counts[key[:2]]}
    params = _by_layer(architecture, {**there, **layer_params}, counts)
    layer = incoming
    for i in range(counts["lc"]):
        arguments = params[f"lc{i}"]
        wanted = {switch: arguments.pop(switch) for switch in FOLLOWERS}
        layer = conv(layer, f"lc{i}", **arguments)
        for switch, (kind, words, follower) in FOLLOWERS.items():
            if wanted[switch]:
                layer = follower(layer, f"{kind}{i}", **params[f"{kind}{i}"])
            elif any(name.startswith(f"{kind}{i}_") for name in layer_params):
                raise CommandError(
                    f"{architecture} has parameters for the {words} {kind}{i}, which is not "
                    f"there; give lc{i}_{switch}=True as well."
                )
    for i in range(counts["ld"]):
        layer = dense(layer, f"ld{i}", **params[f"ld{i}"])
    return softmax_output(layer, num_classes, W=output_start or GlorotUniform())


def _counts(num_conv_layers: int, num_dense_layers: int) -> dict[str, int]:
    """Returns how many layers of each prefix there may be."""
    return {kind: num_dense_layers if kind == "ld" else num_conv_layers for kind in LAYER_RULES}


def _by_layer(
    architecture: str, layer_params: Mapping[str, Any], counts: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """Sorts `lc0_num_filters` and the like by layer, over the defaults, as layers' arguments."""
    grouped = {
        f"{kind}{i}": dict(LAYER_DEFAULTS[kind]) for kind in counts for i in range(counts[kind])
    }
    for name, value in layer_params.items():
        match = re.fullmatch(r"(lc|lm|ln|ld)(\d+)_(\w+)", name)
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
