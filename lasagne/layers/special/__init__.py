"""Layers that fit nowhere else."""

from lasagne.layers.special.expression import ExpressionLayer, InverseLayer
from lasagne.layers.special.rectify import (
    ParametricRectifierLayer,
    RandomizedRectifierLayer,
    prelu,
    rrelu,
)
from lasagne.layers.special.simple import BiasLayer, NonlinearityLayer, ScaleLayer, standardize
from lasagne.layers.special.transformer import TPSTransformerLayer, TransformerLayer

__all__ = [
    "BiasLayer",
    "ExpressionLayer",
    "InverseLayer",
    "NonlinearityLayer",
    "ParametricRectifierLayer",
    "RandomizedRectifierLayer",
    "ScaleLayer",
    "TPSTransformerLayer",
    "TransformerLayer",
    "prelu",
    "rrelu",
    "standardize",
]
