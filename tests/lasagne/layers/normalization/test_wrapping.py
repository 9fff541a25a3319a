"""batch_norm, instance_norm and layer_norm: what goes below the nonlinearity, and names."""

import pytest
import torch

from lasagne import nonlinearities
from lasagne.layers import (
    BatchNormLayer,
    BiasLayer,
    Conv2DLayer,
    DenseLayer,
    InputLayer,
    Layer,
    NonlinearityLayer,
    batch_norm,
    get_all_layers,
    get_all_params,
    get_output,
    instance_norm,
    layer_norm,
)


@pytest.mark.parametrize("function", [batch_norm, instance_norm, layer_norm])
def test_bias_goes_and_nonlinearity_moves_up(function):
    conv = Conv2DLayer(InputLayer((None, 2, 5, 5)), 3, 3, nonlinearity=nonlinearities.tanh)
    top = function(conv)
    assert conv.b is None
    assert list(conv.state_dict()) == ["W"]
    assert conv.get_params() == [conv.W]
    assert conv.nonlinearity is nonlinearities.identity
    assert isinstance(top, NonlinearityLayer)
    assert top.nonlinearity is nonlinearities.tanh
    x = torch.randn(4, 2, 5, 5)
    y = get_output(top, x)
    assert top.output_shape == (None, 3, 3, 3)
    assert y.shape == (4, 3, 3, 3)
    torch.testing.assert_close(y, torch.tanh(get_output(top.input_layer, x)))
    y.sum().backward()
    assert all(p.grad is not None for p in get_all_params(top, trainable=True))


@pytest.mark.parametrize(
    ("function", "suffixes"),
    [
        (batch_norm, ["_bn", "_bn_nonlin"]),
        (instance_norm, ["_in", "_in_scale", "_in_bias", "_in_nonlin"]),
        (layer_norm, ["_ln", "_ln_scale", "_ln_bias", "_ln_nonlin"]),
    ],
)
def test_names(function, suffixes):
    incoming = InputLayer((None, 2, 5, 5))
    named = get_all_layers(function(Conv2DLayer(incoming, 3, 3, name="c")))[2:]
    assert [layer.name for layer in named] == ["c" + suffix for suffix in suffixes]
    renamed = get_all_layers(function(Conv2DLayer(incoming, 3, 3, name="c"), name="n"))[2:]
    own = "n" + suffixes[0]
    assert [layer.name for layer in renamed] == [
        ("n" + suffix).replace(own, "n", 1) for suffix in suffixes
    ]
    nameless = get_all_layers(function(Conv2DLayer(incoming, 3, 3)))
    assert {layer.name for layer in nameless} == {None}


def test_layer_without_nonlinearity_or_bias():
    incoming = InputLayer((None, 3, 4))
    assert isinstance(batch_norm(incoming), BatchNormLayer)
    top = batch_norm(BiasLayer(incoming), axes=0, alpha=0.5)
    assert isinstance(top, BatchNormLayer)
    assert (top.axes, top.alpha) == ((0,), 0.5)
    assert top.input_layer.b is None
    x = torch.randn(5, 3, 4)
    assert torch.equal(get_output(top.input_layer, x), x)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_instance_norm_learns_what_is_wanted(scale, bias):
    top = instance_norm(InputLayer((None, 3, 4)), learn_scale=scale, learn_bias=bias)
    names = [name for layer in get_all_layers(top) for name in layer._tags]
    assert names == ["scales"] * scale + ["b"] * bias


def test_instance_norm_needs_spatial_axes():
    with pytest.raises(ValueError, match="'d_in' needs at least one axis"):
        instance_norm(DenseLayer((None, 4), 3, name="d"))


def test_a_bias_that_is_not_the_layers_own():
    layer = Layer((None, 3), name="l")
    layer.b = torch.zeros(3)
    with pytest.raises(ValueError, match="the biases of Layer 'l' are not its own"):
        batch_norm(layer)
