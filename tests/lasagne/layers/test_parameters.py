"""How layers own parameters: keys, aliases, tags, sharing."""

import copy

import pytest
import torch
from torch import nn

from lasagne import init
from lasagne.layers import (
    DenseLayer,
    InputLayer,
    Layer,
    Network,
    count_params,
    get_all_params,
    get_output,
)


def test_names_are_labels_of_which_two_may_be_the_same():
    layer = Layer((None, 3))
    params = [layer.add_param(init.Normal(), (2, 2), name="W") for _ in range(2)]
    assert [id(p) for p in layer.get_params()] == [id(p) for p in params]
    assert list(layer.state_dict()) == ["W", "W_1"]


def test_an_attribute_gives_the_key():
    class Own(Layer):
        def __init__(self, incoming):
            super().__init__(incoming)
            self.b = None
            self.W = self.add_param(init.Constant(1), (3,), name="own.weights")
            self.b = self.add_param(init.Constant(2), (3,), name="b")
            self.average = self.add_param(init.Constant(3), (3,), trainable=False)
            self.kernel = self.W

    layer = Own((None, 3))
    assert list(layer.state_dict()) == ["W", "b", "average"]
    assert layer.kernel is layer.W
    twin = copy.deepcopy(layer).double()
    assert twin.kernel is twin.W
    assert [p.dtype for p in twin.get_params()] == [torch.float64] * 3


@pytest.mark.parametrize("name", ["forward", "name", "input_shape", "training"])
def test_names_of_what_a_layer_has_already(name):
    layer = Layer((None, 3))
    param = layer.add_param(init.Constant(1), (3,), name=name)
    assert layer.get_params() == [param]
    assert list(layer.state_dict()) == [f"{name}_1"]
    assert layer.input_shape == (None, 3)


def test_lasagnes_way_to_remove_biases():
    layer = DenseLayer(InputLayer((None, 4)), 3)
    del layer.params[layer.b]
    layer.b = None
    assert get_all_params(layer) == [layer.W]
    assert get_output(layer, torch.ones(2, 4)).shape == (2, 3)


def test_tags_are_live():
    layer = DenseLayer(InputLayer((None, 4)), 3)
    layer.params[layer.W].remove("trainable")
    assert layer.get_params(trainable=True) == [layer.b]
    layer.params[layer.W] = {"trainable", "mine"}
    assert layer.get_params(mine=True) == [layer.W]
    assert layer.get_params(regularizable=True) == []
    assert layer.params.pop(layer.b) == {"trainable"}
    assert len(layer.params) == count_params(layer) / 12 == 1
    with pytest.raises(KeyError):
        layer.params[torch.ones(3)] = {"trainable"}


def test_a_tensor_given_twice_is_one_parameter():
    shared = torch.zeros(2, 2)
    first = DenseLayer(InputLayer((None, 2)), 2, W=shared)
    second = DenseLayer(first, 2, W=shared)
    assert first.W is second.W
    assert count_params(second) == 8
    shared.fill_(3)
    assert (first.W == 3).all()


def test_a_slice_becomes_memory_of_its_own():
    filters = torch.ones(4, 8)
    layer = DenseLayer(InputLayer((None, 4)), 4, W=filters[:, :4])
    layer.W.data.zero_()
    assert (filters == 1).all()


def test_an_initialiser_may_return_a_parameter():
    weight = nn.Parameter(torch.ones(3, 2))
    assert DenseLayer(InputLayer((None, 3)), 2, W=lambda shape: weight).W is weight


def test_tensors_that_cannot_be_parameters():
    incoming = InputLayer((None, 2))
    for tensor in (torch.ones(2, 2, dtype=torch.int64), torch.ones(2, 2, requires_grad=True)):
        with pytest.raises(TypeError, match=r"DenseLayer: parameter 'W' must be a tensor of float"):
            DenseLayer(incoming, 2, W=tensor)


def test_one_parameter_in_two_places_counts_once():
    weight = nn.Parameter(torch.ones(3))
    layer = Layer((None, 3))
    layer.left = layer.add_param(weight, (3,), name="left")
    layer.right = layer.add_param(weight, (3,), name="right")
    assert layer.get_params() == [weight]
    assert layer.right is layer.left is weight


def test_names_of_layers_never_hide_each_other():
    first = DenseLayer(InputLayer((None, 2)), 3, name="DenseLayer2")
    network = Network(DenseLayer(first, 4))
    assert sum(value.numel() for value in network.state_dict().values()) == 9 + 16
    assert len(network.state_dict()) == 4
    for name in ("input_layers", "output_layer", "_steps", "forward"):
        named = Network(DenseLayer(InputLayer((None, 2)), 3, name=name))
        assert list(named.state_dict()) == ["DenseLayer1.W", "DenseLayer1.b"]
