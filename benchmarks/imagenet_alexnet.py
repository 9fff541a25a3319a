"""theano_alexnet's network as one's own architecture: benchmarks/imagenet_alexnet.py:network."""

from lasagne.init import Constant
from lasagne.layers import (
    Conv2DLayer,
    DenseLayer,
    DropoutLayer,
    Layer,
    LocalResponseNormalization2DLayer,
    MaxPool2DLayer,
)
from lasagne.nonlinearities import softmax

#: filters, size, stride, padding, groups, bias; whether a pool, and a normalisation, follow
CONVOLUTIONS = (
    (96, 11, 4, 0, 1, 0.0, True, True),
    (256, 5, 1, 2, 2, 0.1, True, True),
    (384, 3, 1, 1, 1, 0.0, False, False),
    (384, 3, 1, 1, 2, 0.1, False, False),
    (256, 3, 1, 1, 2, 0.0, True, False),
)


def network(incoming: Layer, num_classes: int) -> Layer:
    """Five convolutions, three max pools, two dense layers (shared/originals.md, section 3)."""
    layer = incoming
    for filters, size, stride, pad, groups, bias, pooled, normalised in CONVOLUTIONS:
        layer = Conv2DLayer(layer, filters, size, stride, pad, b=Constant(bias), num_groups=groups)
        if pooled:
            layer = MaxPool2DLayer(layer, pool_size=3, stride=2)
        if normalised:
            layer = LocalResponseNormalization2DLayer(layer)
    for _ in range(2):
        layer = DropoutLayer(DenseLayer(layer, 4096), p=0.5)
    return DenseLayer(layer, num_classes, nonlinearity=softmax)
