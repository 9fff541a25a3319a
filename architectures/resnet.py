"""torchvision's residual networks, for the weights that are published for them.

A layer with weights is called as torchvision's module, with _ for a dot: layer1_0_conv1. Filters
are not flipped, and start values are torchvision's. Pictures may have any size.

Source: He et al., Deep residual learning for image recognition (2015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from architectures.layers import conv, max_pool, require_pictures, softmax_output
from architectures.torchvision import fan_out_start, torch_start
from lasagne.layers import (
    BatchNormLayer,
    ElemwiseSumLayer,
    GlobalPoolLayer,
    Layer,
    NonlinearityLayer,
)

Branch = Callable[[Layer, str, int, int], Layer]
"""Makes the residual branch of a block of its input, the block's name, width and stride."""


def torchvision_res_net18(incoming: Layer, num_classes: int) -> Layer:
    """Torchvision's ResNet-18: eight blocks of two 3×3 convolutions, batch normalisation."""
    return _res_net("TorchvisionResNet18", incoming, num_classes, _basic, (2, 2, 2, 2))


def torchvision_res_net50(incoming: Layer, num_classes: int) -> Layer:
    """Torchvision's ResNet-50: sixteen blocks of 1×1, 3×3 and 1×1 convolutions.

    Of version 1.5, as it is called, with the stride in the 3×3 convolution.
    """
    return _res_net("TorchvisionResNet50", incoming, num_classes, _bottleneck, (3, 4, 6, 3))


def _res_net(
    architecture: str, incoming: Layer, num_classes: int, branch: Branch, counts: Sequence[int]
) -> Layer:
    require_pictures(incoming, architecture)
    layer = _rectified(_conv(incoming, "conv1", "bn1", 64, 7, stride=2), "relu")
    layer = max_pool(layer, "maxpool", pool_size=3, stride=2, pad=1)
    for stage, count in enumerate(counts):
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            layer = _block(layer, f"layer{stage + 1}_{i}", 64 * 2**stage, stride, branch)
    layer = GlobalPoolLayer(layer, name="avgpool")
    return softmax_output(layer, num_classes, "fc", **torch_start(layer))


def _block(incoming: Layer, name: str, width: int, stride: int, branch: Branch) -> Layer:
    """Adds a branch to its input, or to a projection of it where the shapes differ."""
    layer = branch(incoming, name, width, stride)
    shortcut, channels = incoming, layer.output_shape[1] or 0
    if stride > 1 or channels != incoming.output_shape[1]:
        names = f"{name}_downsample_0", f"{name}_downsample_1"
        shortcut = _conv(incoming, *names, channels, 1, stride)
    return _rectified(ElemwiseSumLayer([layer, shortcut], name=f"{name}_sum"), f"{name}_relu")


def _basic(incoming: Layer, name: str, width: int, stride: int) -> Layer:
    layer = _conv(incoming, f"{name}_conv1", f"{name}_bn1", width, 3, stride)
    layer = _rectified(layer, f"{name}_relu1")
    return _conv(layer, f"{name}_conv2", f"{name}_bn2", width, 3)


def _bottleneck(incoming: Layer, name: str, width: int, stride: int) -> Layer:
    layer = _conv(incoming, f"{name}_conv1", f"{name}_bn1", width, 1)
    layer = _rectified(layer, f"{name}_relu1")
    layer = _conv(layer, f"{name}_conv2", f"{name}_bn2", width, 3, stride)
    layer = _rectified(layer, f"{name}_relu2")
    return _conv(layer, f"{name}_conv3", f"{name}_bn3", 4 * width, 1)


def _conv(
    incoming: Layer, name: str, norm: str, num_filters: int, filter_size: int, stride: int = 1
) -> Layer:
    """A convolution without biases and nonlinearity, and the batch normalisation `norm` on it."""
    layer = conv(
        incoming,
        name,
        num_filters=num_filters,
        filter_size=filter_size,
        stride=stride,
        W=fan_out_start(num_filters, filter_size),
        b=None,
        nonlinearity=None,
        flip_filters=False,
    )
    return BatchNormLayer(layer, epsilon=1e-5, alpha=0.1, name=norm)


def _rectified(incoming: Layer, name: str) -> Layer:
    return NonlinearityLayer(incoming, name=name)
