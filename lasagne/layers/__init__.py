"""Layers: the nodes of which a network's graph is made."""

from lasagne.layers.base import Layer, MergeLayer
from lasagne.layers.conv import BaseConvLayer, Conv1DLayer, Conv2DLayer
from lasagne.layers.dense import DenseLayer
from lasagne.layers.helper import (
    count_params,
    get_all_layers,
    get_all_param_values,
    get_all_params,
    get_output,
    get_output_shape,
    set_all_param_values,
)
from lasagne.layers.input import InputLayer
from lasagne.layers.network import Network
from lasagne.layers.noise import DropoutLayer, dropout
from lasagne.layers.pool import MaxPool1DLayer, MaxPool2DLayer, Pool1DLayer, Pool2DLayer
from lasagne.layers.shape import FlattenLayer, ReshapeLayer, flatten, reshape
from lasagne.layers.special import NonlinearityLayer

__all__ = [
    "BaseConvLayer",
    "Conv1DLayer",
    "Conv2DLayer",
    "DenseLayer",
    "DropoutLayer",
    "FlattenLayer",
    "InputLayer",
    "Layer",
    "MaxPool1DLayer",
    "MaxPool2DLayer",
    "MergeLayer",
    "Network",
    "NonlinearityLayer",
    "Pool1DLayer",
    "Pool2DLayer",
    "ReshapeLayer",
    "count_params",
    "dropout",
    "flatten",
    "get_all_layers",
    "get_all_param_values",
    "get_all_params",
    "get_output",
    "get_output_shape",
    "reshape",
    "set_all_param_values",
]
