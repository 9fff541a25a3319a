"""What all layers share: parameters and tags, arguments, copies."""

import copy
import pickle

import pytest
import torch
from torch import nn

from lasagne import init
from lasagne.layers import DenseLayer, InputLayer, Layer, MergeLayer, get_all_layers, get_output


class SumLayer(MergeLayer):
    def get_output_shape_for(self, input_shapes):
        return input_shapes[0]

    def get_output_for(self, inputs, **kwargs):
        return sum(inputs)


class ScaleAndShift(Layer):
    """Parameters of all kinds, in the order scale, offset, shift."""

    def __init__(self, incoming, **kwargs):
        super().__init__(incoming, **kwargs)
        size = self.input_shape[1:]
        self.scale = self.add_param(init.Constant(2), size, name="scale")
        self.offset = self.add_param(init.Constant(5), size, name="offset", trainable=False)
        self.shift = self.add_param(init.Constant(1), size, name="shift", regularizable=False)

    def get_output_for(self, input, **kwargs):
        return (input - self.offset) * self.scale + self.shift


def test_parameters_and_buffers_in_lasagnes_order():
    layer = ScaleAndShift((None, 3))
    assert layer.get_params() == [layer.scale, layer.offset, layer.shift]
    assert layer.get_params(trainable=True) == [layer.scale, layer.shift]
    assert layer.get_params(trainable=True, regularizable=False) == [layer.shift]
    assert list(dict(layer.named_parameters())) == ["scale", "shift"]
    assert list(dict(layer.named_buffers())) == ["offset"]
    assert layer(torch.full((1, 3), 6.0)).tolist() == [[3, 3, 3]]


@pytest.mark.parametrize("change", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_tags_survive_a_copy(change):
    layer = ScaleAndShift((None, 3))
    layer.params[layer.scale].remove("trainable")
    twin = change(layer).double()
    assert twin.get_params(trainable=True) == [twin.shift]
    assert layer.get_params(trainable=False) == [layer.scale, layer.offset]
    assert twin.get_params(regularizable=True) == [twin.scale, twin.offset]
    assert twin.offset.dtype == torch.float64
    assert layer.offset.dtype == torch.float32


@pytest.mark.parametrize("change", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copy_of_a_deep_graph(change):
    """Deeper than Python's recursion limit; with a branch, and the layers' identity preserved."""
    bottom = layer = InputLayer((None, 2))
    for i in range(700):
        layer = SumLayer([layer, layer]) if i % 100 == 0 else ScaleAndShift(layer)
    top, also_bottom = change((layer, bottom))
    assert get_all_layers(top)[0] is also_bottom
    assert also_bottom is not bottom
    assert len(get_all_layers(top)) == 701


def test_layers_do_not_own_what_feeds_them():
    hidden = DenseLayer(InputLayer((None, 4)), 3)
    output = DenseLayer(hidden, 2)
    output.friend = hidden
    assert list(output.state_dict()) == ["W", "b"]
    assert list(output.modules()) == [output]
    assert output.friend is output.input_layer is hidden


def test_a_shared_parameter():
    first = DenseLayer(InputLayer((None, 4)), 4)
    second = DenseLayer(first, 4, W=first.W, b=first.b)
    assert second.W is first.W
    x = torch.randn(2, 4)
    assert torch.equal(get_output(second, x), second(first(x)))


def test_forward_hooks_run():
    layer = DenseLayer(InputLayer((None, 4)), 3)
    seen = []
    layer.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    get_output(layer, torch.zeros(2, 4))
    assert seen == [(2, 3)]


def test_unknown_argument_is_named():
    with pytest.raises(TypeError, match="'num_unit'"):
        DenseLayer((None, 4), 3, num_unit=3)
    with pytest.raises(TypeError, match="'foo'"):
        InputLayer((None, 4), foo=1)


def test_errors_name_the_layer():
    with pytest.raises(TypeError, match="DenseLayer 'd': incoming must be a layer or a tuple"):
        DenseLayer([None, 4], 3, name="d")
    with pytest.raises(ValueError, match=r"sizes must be positive or None, got \(None, 0\)"):
        InputLayer((None, 0))
    with pytest.raises(ValueError, match=r"DenseLayer 'd': .*'W' must have shape \(4, 3\), got"):
        DenseLayer((None, 4), 3, W=torch.zeros(3, 4), name="d")


def test_str_and_repr():
    layer = DenseLayer(InputLayer((None, 4)), 3, name="d")
    assert str(layer) == "DenseLayer 'd'"
    assert repr(layer) == "DenseLayer(name='d', output_shape=(None, 3))"


def test_an_existing_parameter_stays_one_when_not_trainable():
    weight = nn.Parameter(torch.ones(3))
    layer = Layer((None, 3))
    assert layer.add_param(weight, (3,), "w", trainable=False) is weight
    assert layer.get_params(trainable=True) == []


def test_remove_param_takes_all_names_of_it():
    layer = Layer((None, 3))
    layer.bias = layer.add_param(init.Constant(1), (3,), name="b")
    layer.mean = layer.add_param(init.Constant(2), (3,), name="average", trainable=False)
    layer.remove_param(layer.bias)
    assert layer.bias is None
    assert layer.get_params() == [layer.mean]
    layer.remove_param(layer.mean)
    assert layer.get_params() == list(layer.state_dict()) == []
    layer.b = layer.add_param(init.Constant(3), (2,), name="b")
    assert layer.get_params() == [layer.b]
