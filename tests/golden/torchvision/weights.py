"""Weights, inputs and parts of outputs that the golden files and their tests have in common."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

LONGEST = 1_000_003  # a prime, so that no row of an array equals another
SIZES = {"square": (1, 3, 224, 224), "oblong": (1, 3, 160, 96)}
"""The inputs' shapes: what torchvision's weights were trained on, and another one."""
WATCHED = {
    "alexnet": {
        "features.2": "features_2",
        "features.11": "features_10",
        "classifier.2": "classifier_1",
    },
    "vgg16": {
        "features.9": "features_9",
        "features.29": "features_28",
        "classifier.1": "classifier_0",
    },
    "vgg19": {
        "features.9": "features_9",
        "features.35": "features_34",
        "classifier.1": "classifier_0",
    },
    "resnet18": {
        "bn1": "bn1",
        "layer1.0": "layer1_0_relu",
        "layer2.0.downsample.1": "layer2_0_downsample_1",
        "layer4.1": "layer4_1_relu",
    },
    "resnet50": {
        "bn1": "bn1",
        "layer1.0": "layer1_0_relu",
        "layer2.0.downsample.1": "layer2_0_downsample_1",
        "layer4.2": "layer4_2_relu",
    },
}
"""By network, modules whose outputs are stored in part, and the layers that they are here."""


def weights(shapes: Mapping[str, Iterable[int]]) -> dict[str, NDArray[np.float32]]:
    """Returns values of about the size of a trained network's for a state dict's shapes.

    They are drawn in the state dict's order, from one seed; a large array repeats its first part.
    """
    draw = np.random.Generator(np.random.PCG64(8)).standard_normal
    drawn = {}
    for key, shape in shapes.items():
        shape = tuple(shape)
        if key.endswith("num_batches_tracked"):
            continue
        value = draw(min(LONGEST, math.prod(shape)), dtype=np.float32)
        value = np.resize(value, shape)
        if len(shape) > 1:
            value *= np.float32(math.sqrt(2 / math.prod(shape[1:])))
        elif key.endswith("running_var"):
            value = 0.5 + abs(value)
        elif key.endswith("weight"):
            value = 0.7 + value / 10
        else:
            value /= 10
        drawn[key] = value
    return drawn


def pictures(shape: Iterable[int]) -> NDArray[np.float32]:
    """Returns an input."""
    draw = np.random.Generator(np.random.PCG64(80)).standard_normal
    return draw(tuple(shape), dtype=np.float32)


def parts(values: NDArray) -> NDArray[np.float64]:
    """Returns the mean, the mean square, and 14 values from all over an array."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    picked = flat[np.linspace(0, flat.size - 1, 14).astype(int)]
    return np.concatenate([[flat.mean(), np.square(flat).mean()], picked])
