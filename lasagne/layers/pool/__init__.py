"""Pooling layers."""

from lasagne.layers.pool.feature import FeaturePoolLayer, FeatureWTALayer, GlobalPoolLayer
from lasagne.layers.pool.pyramid import SpatialPyramidPoolingLayer
from lasagne.layers.pool.upscale import Upscale1DLayer, Upscale2DLayer, Upscale3DLayer
from lasagne.layers.pool.windows import (
    MaxPool1DLayer,
    MaxPool2DLayer,
    MaxPool3DLayer,
    Pool1DLayer,
    Pool2DLayer,
    Pool3DLayer,
    pool_output_length,
)

__all__ = [
    "FeaturePoolLayer",
    "FeatureWTALayer",
    "GlobalPoolLayer",
    "MaxPool1DLayer",
    "MaxPool2DLayer",
    "MaxPool3DLayer",
    "Pool1DLayer",
    "Pool2DLayer",
    "Pool3DLayer",
    "SpatialPyramidPoolingLayer",
    "Upscale1DLayer",
    "Upscale2DLayer",
    "Upscale3DLayer",
    "pool_output_length",
]
