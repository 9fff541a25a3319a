"""torchvision's AlexNet and VGGs, for the weights that are published for them.

A layer with weights is called as torchvision's module, with _ for a dot: features_0. Filters are
not flipped, and start values are torchvision's. Pictures may have any size: the features are
averaged to the grid that the dense layers expect.
"""

from __future__ import annotations

import math
from typing import Any

from architectures.layers import conv, dense, max_pool, require_pictures, softmax_output
from architectures.vgg import CONFIGURATION_D
from lasagne.init import HeUniform, Normal, Uniform
from lasagne.layers import DropoutLayer, Layer, SpatialPyramidPoolingLayer

ALEX_NET = (
    (0, 64, 11, 4, 2, True),
    (3, 192, 5, 1, 2, True),
    (6, 384, 3, 1, 1, False),
    (8, 256, 3, 1, 1, False),
    (10, 256, 3, 1, 1, True),
)
"""Of each convolution: index, filters, their size, stride, padding, whether a max pool follows."""
CONFIGURATION_E = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)


def torchvision_alex_net(incoming: Layer, num_classes: int, num_units: int = 4096) -> Layer:
    """Torchvision's AlexNet: one tower of five convolutions, without normalisation.

    `num_units` of its two dense layers; torchvision's weights have 4096.

    Source: Krizhevsky, One weird trick for parallelizing convolutional neural networks (2014).
    """
    require_pictures(incoming, "TorchvisionAlexNet")
    layer = incoming
    for index, num_filters, size, stride, pad, is_pooled in ALEX_NET:
        arguments = {"filter_size": size, "stride": stride, "pad": pad, "flip_filters": False}
        arguments |= torch_start(layer, size)
        layer = conv(layer, f"features_{index}", num_filters=num_filters, **arguments)
        if is_pooled:
            layer = max_pool(layer, f"features_{index + 2}", pool_size=3, stride=2)
    layer = _averaged(layer, 6)
    for index in (1, 4):
        layer = DropoutLayer(layer, p=0.5, name=f"classifier_{index - 1}")
        name = f"classifier_{index}"
        layer = dense(layer, name, num_units=num_units, **torch_start(layer))
    return softmax_output(layer, num_classes, "classifier_6", **torch_start(layer))


def torchvision_vgg16(incoming: Layer, num_classes: int, num_units: int = 4096) -> Layer:
    """Torchvision's VGG-16 (configuration D), with `num_units` as TorchvisionAlexNet.

    Source: Simonyan and Zisserman, Very deep convolutional networks for large-scale image
    recognition (2014).
    """
    return _vgg("TorchvisionVgg16", incoming, num_classes, CONFIGURATION_D, num_units)


def torchvision_vgg19(incoming: Layer, num_classes: int, num_units: int = 4096) -> Layer:
    """Torchvision's VGG-19 (configuration E), with `num_units` as TorchvisionAlexNet.

    Source: as TorchvisionVgg16.
    """
    return _vgg("TorchvisionVgg19", incoming, num_classes, CONFIGURATION_E, num_units)


def torch_start(incoming: Layer, filter_size: int | None = None) -> dict[str, Any]:
    """Returns PyTorch's own start values, uniform up to 1 / sqrt(inputs of a unit).

    Of a dense layer on `incoming`, or of a convolution with square filters.
    """
    sizes = incoming.output_shape[1:]
    inputs = (sizes[0], filter_size, filter_size) if filter_size else sizes
    bound = 1 / math.sqrt(math.prod(size or 1 for size in inputs))
    return {"W": HeUniform(gain=1 / math.sqrt(3)), "b": Uniform(bound)}


def fan_out_start(num_filters: int, filter_size: int) -> Normal:
    """Returns He's normal start values by a filter's outputs in place of its inputs."""
    return Normal(math.sqrt(2 / (num_filters * filter_size**2)))


def _vgg(
    architecture: str,
    incoming: Layer,
    num_classes: int,
    configuration: tuple[tuple[int, ...], ...],
    num_units: int,
) -> Layer:
    require_pictures(incoming, architecture)
    layer, index = incoming, 0
    for counts in configuration:
        for num_filters in counts:
            start = fan_out_start(num_filters, 3)
            name = f"features_{index}"
            layer = conv(
                layer, name, num_filters=num_filters, filter_size=3, W=start, flip_filters=False
            )
            index += 2  # a rectifier is a module of its own there
        layer = max_pool(layer, f"features_{index}")
        index += 1
    layer = _averaged(layer, 7)
    for index in (0, 3):
        name = f"classifier_{index}"
        layer = dense(layer, name, dropout=0.5, num_units=num_units, W=Normal(0.01))
    return softmax_output(layer, num_classes, "classifier_6", W=Normal(0.01))


def _averaged(incoming: Layer, side: int) -> Layer:
    """Averages maps to side × side, by cells as equal as can be, where they have another size."""
    if incoming.output_shape[2:] == (side, side):
        return incoming
    return SpatialPyramidPoolingLayer(
        incoming, [side], mode="average_exc_pad", implementation="kaiming", name="avgpool"
    )
