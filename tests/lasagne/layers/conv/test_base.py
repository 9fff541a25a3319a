"""Convolutions of one's own: the biases are added once, whoever computes the convolution."""

import pytest
import torch

from lasagne import init
from lasagne.layers import BaseConvLayer, Conv1DLayer, Conv2DLayer, TransposedConv2DLayer

SHAPE = (2, 3, 6, 5)


class OwnConv2DLayer(Conv2DLayer):
    def convolve(self, input, **kwargs):
        return torch.nn.functional.conv2d(input, self.W.flip(2, 3))


class DoubledConv2DLayer(Conv2DLayer):
    def convolve(self, input, **kwargs):
        return 2 * super().convolve(input, **kwargs)


class OwnBaseConvLayer(BaseConvLayer):
    def convolve(self, input, **kwargs):
        return torch.nn.functional.conv2d(input, self.W)


def make(cls, **kwargs):
    torch.manual_seed(0)
    return cls(SHAPE, 4, 3, W=init.Constant(0.1), b=init.Constant(3), **kwargs)


@pytest.mark.parametrize("untie_biases", [False, True])
@pytest.mark.parametrize("cls", [OwnConv2DLayer, OwnBaseConvLayer])
def test_an_overridden_convolve(cls, untie_biases):
    x = torch.randn(SHAPE)
    expected = make(Conv2DLayer, untie_biases=untie_biases)(x)
    torch.testing.assert_close(make(cls, untie_biases=untie_biases)(x), expected)


def test_convolve_leaves_the_biases_out():
    x = torch.randn(SHAPE)
    layer = make(Conv2DLayer, nonlinearity=None)
    torch.testing.assert_close(layer.convolve(x) + 3, layer(x))
    doubled = make(DoubledConv2DLayer, nonlinearity=None)
    torch.testing.assert_close(doubled(x), 2 * layer.convolve(x) + 3)
    transposed = make(TransposedConv2DLayer, nonlinearity=None)
    torch.testing.assert_close(transposed.convolve(x) + 3, transposed(x))


@pytest.mark.parametrize("cls", [Conv2DLayer, OwnConv2DLayer])
def test_no_biases(cls):
    layer = cls(SHAPE, 4, 3, b=None, nonlinearity=None)
    x = torch.randn(SHAPE)
    assert torch.equal(layer(x), layer.convolve(x))
    assert layer.get_params() == [layer.W]


def test_number_of_axes():
    assert OwnBaseConvLayer(SHAPE, 4, 3).n == 2
    with pytest.raises(ValueError, match=r"\(batch, channels, and 4 sizes\), got \(2, 3, 6, 5\)"):
        OwnBaseConvLayer(SHAPE, 4, 3, n=4)
    with pytest.raises(ValueError, match=r"\(batch, channels, length\), got"):
        Conv1DLayer(SHAPE, 4, 3)


def test_a_subclass_without_convolve():
    with pytest.raises(NotImplementedError):
        BaseConvLayer(SHAPE, 4, 3)(torch.zeros(SHAPE))
