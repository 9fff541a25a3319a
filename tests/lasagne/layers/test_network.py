"""A graph of layers as one module."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch

from lasagne import layers, nonlinearities, objectives, updates
from lasagne.layers import (
    Conv2DLayer,
    DenseLayer,
    DropoutLayer,
    InputLayer,
    MaxPool2DLayer,
    MergeLayer,
    Network,
    NonlinearityLayer,
)


class Difference(MergeLayer):
    def get_output_shape_for(self, input_shapes):
        return input_shapes[0]

    def get_output_for(self, inputs, **kwargs):
        return inputs[0] - inputs[1]


@pytest.fixture
def convnet():
    layer = InputLayer((None, 1, 8, 8))
    layer = Conv2DLayer(layer, 4, 3, pad="same", name="conv")
    layer = MaxPool2DLayer(layer, 2)
    layer = DenseLayer(DropoutLayer(layer), 6, name="twice")
    return DenseLayer(layer, 3, nonlinearity=nonlinearities.softmax, name="twice")


def test_state_dict_keys(convnet):
    keys = ["conv.W", "conv.b", "DenseLayer4.W", "DenseLayer4.b", "DenseLayer5.W", "DenseLayer5.b"]
    assert list(Network(convnet).state_dict()) == keys
    params = list(Network(convnet).parameters())
    assert [id(p) for p in params] == [id(p) for p in layers.get_all_params(convnet)]


@pytest.mark.parametrize("name", ["forward", "a.b", "", "training"])
def test_names_that_cannot_be_keys(name):
    network = Network(DenseLayer(InputLayer((None, 2)), 1, name=name))
    assert list(network.state_dict()) == ["DenseLayer1.W", "DenseLayer1.b"]


def test_equals_get_output(convnet):
    network, x = Network(convnet), torch.randn(5, 1, 8, 8)
    expected = layers.get_output(convnet, x, deterministic=True)
    assert torch.equal(network(x, deterministic=True), expected)
    torch.manual_seed(3)
    expected = layers.get_output(convnet, x)
    torch.manual_seed(3)
    assert torch.equal(network(x), expected)


def test_several_inputs_and_outputs():
    left, right = InputLayer((None, 2)), InputLayer((None, 2))
    hidden = NonlinearityLayer(left)
    top = Difference([hidden, right])
    network = Network([top, hidden])
    assert network.input_layers == (left, right)
    assert network.output_layer == [top, hidden]
    a, b = torch.tensor([[-1.0, 2.0]]), torch.tensor([[3.0, 4.0]])
    assert [y.tolist() for y in network(a, b)] == [[[-3, -2]], [[0, 2]]]
    assert network(a)[0].tolist() == (torch.relu(a) - a).tolist()
    with pytest.raises(ValueError, match="the network has 2 input layers, got 3 inputs"):
        network(a, b, b)


def test_activations_are_freed_when_no_longer_needed():
    seen = []

    def watch(x):
        gc.collect()
        seen.append(sum(ref() is not None for ref in alive))
        y = x + 1
        alive.append(weakref.ref(y))
        return y

    alive = []
    layer = InputLayer((None, 2))
    for _ in range(5):
        layer = NonlinearityLayer(layer, watch)
    with torch.no_grad():
        Network(layer)(torch.zeros(1, 2))
    assert max(seen) == 1


@pytest.mark.parametrize("change", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(convnet, change):
    network, x = Network(convnet), torch.randn(2, 1, 8, 8)
    twin = change(network)
    assert torch.equal(twin(x, deterministic=True), network(x, deterministic=True))
    with torch.no_grad():
        for param in twin.parameters():
            param.zero_()
    assert network.conv.W.any()
    assert (twin(x, deterministic=True) == 1 / 3).all()


def test_state_dict_round_trip(convnet):
    network = Network(convnet)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for param in other.parameters():
            param.normal_()
    other.load_state_dict(network.state_dict())
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(other(x, deterministic=True), network(x, deterministic=True))


def test_misspelt_argument(convnet):
    with pytest.raises(TypeError, match=r"determinstic \(did you mean deterministic\?\)"):
        Network(convnet)(torch.zeros(1, 1, 8, 8), determinstic=True)


def test_wrong_input_shape(convnet):
    message = r"shape \(None, 1, 8, 8\) \(batch, channels, height, width\), got \(1, 3, 8, 8\)"
    with pytest.raises(ValueError, match=message):
        Network(convnet)(torch.zeros(1, 3, 8, 8))


def test_a_layer_made_from_a_shape():
    with pytest.raises(ValueError, match=r"DenseLayer was made from a shape: .* an InputLayer"):
        Network(DenseLayer((None, 2), 1))


def test_double_and_channels_last(convnet):
    network = Network(convnet).to(dtype=torch.float64, memory_format=torch.channels_last)
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    assert network(x, deterministic=True).dtype == torch.float64


@pytest.mark.parametrize("autocast", [False, True])
def test_learns_its_batch(convnet, autocast):
    """A few steps on one batch, with gradients that stay float32 under autocast."""
    network = Network(convnet)
    x, t = torch.randn(12, 1, 8, 8), torch.arange(12) % 3
    optimizer = updates.nesterov_momentum(None, network.parameters(), 0.1, 0.9)
    losses = []
    for _ in range(60):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = network(x, deterministic=True)
        loss = objectives.categorical_crossentropy(y, t).mean()
        optimizer.zero_grad()
        loss.backward()
        assert network.conv.W.grad.dtype == torch.float32
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_can_be_traced_as_one_graph(convnet):
    network, x = Network(convnet), torch.randn(2, 1, 8, 8)
    traced = torch.compile(network, backend="eager", fullgraph=True)
    expected = network(x, deterministic=True)
    torch.testing.assert_close(traced(x, deterministic=True), expected)


def test_arrays_and_precision(convnet):
    network, x = Network(convnet), np.zeros((2, 1, 8, 8))
    with pytest.raises(TypeError, match=r"an input is float64, .* torch\.float32: give x\.float"):
        network(x)
    assert network(x.astype(np.float32)).shape == (2, 3)
    assert network.double()(x).dtype == torch.float64


def test_what_is_no_layer():
    for wrong in (torch.ones(2), {"out": 1}, [1]):
        with pytest.raises(TypeError, match="a network is made of a layer or a list of layers"):
            Network(wrong)


def test_functions_of_layers_take_a_network(convnet):
    network, x = Network(convnet), torch.randn(2, 1, 8, 8)
    assert layers.get_all_params(network) == layers.get_all_params(convnet)
    assert layers.count_params(network) == layers.count_params(convnet)
    layers.set_all_param_values(network, layers.get_all_param_values(network))
    expected = layers.get_output(convnet, x, deterministic=True)
    assert torch.equal(layers.get_output(network, x, deterministic=True), expected)
    assert layers.get_output_shape(network, (5, 1, 8, 8)) == (5, 3)
