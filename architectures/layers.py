"""The hidden layers that the architectures share, with the originals' start and nonlinearity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from common.errors import CommandError
from lasagne.init import HeUniform
from lasagne.layers import (
    Conv2DLayer,
    DenseLayer,
    DropoutLayer,
    Layer,
    LocalResponseNormalization2DLayer,
    MaxPool2DLayer,
)
from lasagne.nonlinearities import softmax


def conv(incoming: Layer, name: str, **kwargs: Any) -> Layer:
    """A convolution: HeUniform(gain='relu'), rectify, pad 'same' unless given."""
    defaults = {"W": HeUniform(gain="relu"), "pad": "same"}
    return _build(Conv2DLayer, incoming, name, defaults | kwargs)


def max_pool(incoming: Layer, name: str, **kwargs: Any) -> Layer:
    """A max pool of 2×2 unless given."""
    return _build(MaxPool2DLayer, incoming, name, {"pool_size": 2} | kwargs)


def response_norm(incoming: Layer, name: str, **kwargs: Any) -> Layer:
    """A local response normalisation, with Lasagne's numbers unless given."""
    return _build(LocalResponseNormalization2DLayer, incoming, name, kwargs)


def dense(incoming: Layer, name: str, dropout: float = 0.0, **kwargs: Any) -> Layer:
    """A dense layer: HeUniform(gain='relu'), rectify; followed by dropout where that is above 0."""
    layer = _build(DenseLayer, incoming, name, {"W": HeUniform(gain="relu")} | kwargs)
    return DropoutLayer(layer, p=dropout, name=f"{name}_dropout") if dropout else layer


def softmax_output(incoming: Layer, num_classes: int, name: str = "output", **kwargs: Any) -> Layer:
    """The output layer: a dense softmax of one unit per label."""
    return DenseLayer(incoming, num_classes, nonlinearity=softmax, name=name, **kwargs)


def require_pictures(incoming: Layer, architecture: str) -> None:
    """Raises CommandError where the instances are not pictures (channels, height, width)."""
    shape = [size or 0 for size in incoming.output_shape[1:]]
    if len(shape) == 3:
        return
    sizes = " × ".join(map(str, shape))
    features = math.prod(shape)
    likely = [
        (channels, side, side)
        for channels in (1, 3)
        if (side := math.isqrt(features // channels)) ** 2 * channels == features
    ]
    advice = f"--reshape-to '{likely[0]}'" if likely else "--reshape-to '(channels, height, width)'"
    raise CommandError(
        f"{architecture} needs pictures (channels, height, width), but the instances are flat "
        f"({sizes} numbers each); give {advice}, or the dataset's .rgb.pkl.zip."
    )


def _build(kind: Callable[..., Layer], incoming: Layer, name: str, kwargs: dict[str, Any]) -> Layer:
    try:
        return kind(incoming, name=name, **kwargs)
    except (TypeError, ValueError) as error:
        came = " × ".join(str(size) for size in incoming.output_shape[1:])
        reason = str(error).removeprefix(f"{kind.__name__} {name!r}: ")
        small = "; larger pictures or fewer layers would do" if "would be empty" in reason else ""
        raise CommandError(
            f"The layer {name} ({kind.__name__}) does not fit what it gets, {came}: "
            f"{reason}{small}."
        ) from error
