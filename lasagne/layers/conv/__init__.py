"""Convolutional layers."""

from lasagne.layers.conv.base import BaseConvLayer
from lasagne.layers.conv.dilated import DilatedConv2DLayer
from lasagne.layers.conv.forward import Conv1DLayer, Conv2DLayer, Conv3DLayer
from lasagne.layers.conv.lengths import conv_input_length, conv_output_length
from lasagne.layers.conv.transposed import (
    Deconv2DLayer,
    Deconv3DLayer,
    TransposedConv2DLayer,
    TransposedConv3DLayer,
)

__all__ = [
    "BaseConvLayer",
    "Conv1DLayer",
    "Conv2DLayer",
    "Conv3DLayer",
    "Deconv2DLayer",
    "Deconv3DLayer",
    "DilatedConv2DLayer",
    "TransposedConv2DLayer",
    "TransposedConv3DLayer",
    "conv_input_length",
    "conv_output_length",
]
