"""Layers that normalise, and functions that put them below a layer's nonlinearity."""

from lasagne.layers.normalization.batch import BatchNormLayer, batch_norm
from lasagne.layers.normalization.response import LocalResponseNormalization2DLayer
from lasagne.layers.normalization.standardization import (
    StandardizationLayer,
    instance_norm,
    layer_norm,
)

__all__ = [
    "BatchNormLayer",
    "LocalResponseNormalization2DLayer",
    "StandardizationLayer",
    "batch_norm",
    "instance_norm",
    "layer_norm",
]
