"""Definitions that ask for cuDNN's layers by name."""

import numpy as np
import torch
from scipy.signal import correlate2d

from lasagne.layers import InputLayer, MaxPool2DLayer, get_output
from lasagne.layers.corrmm import Conv2DMMLayer
from lasagne.layers.dnn import Conv2DDNNLayer, Conv3DDNNLayer, MaxPool2DDNNLayer


def test_convolutions_do_not_flip_their_filters():
    x = np.random.RandomState(1).randn(5, 6)
    W = np.random.RandomState(2).randn(3, 2)
    for kind in (Conv2DDNNLayer, Conv2DMMLayer):
        layer = kind(InputLayer((1, 1, 5, 6)), 1, (3, 2), W=W[None, None], nonlinearity=None)
        y = get_output(layer.double(), torch.tensor(x)[None, None])
        expected = correlate2d(x, layer.W.detach().numpy()[0, 0], "valid")
        np.testing.assert_allclose(y.detach().numpy()[0, 0], expected)
    assert not Conv3DDNNLayer((1, 1, 4, 4, 4), 1, 2).flip_filters
    assert Conv2DDNNLayer((1, 1, 4, 4), 1, 2, flip_filters=True).flip_filters


def test_pooling_is_the_plain_layers():
    assert MaxPool2DDNNLayer is MaxPool2DLayer
