"""Functions on whole networks."""

import warnings

import numpy as np
import pytest
import torch

from lasagne import layers
from lasagne.layers import DenseLayer, DropoutLayer, InputLayer, MergeLayer, NonlinearityLayer


class ConcatenateAll(MergeLayer):
    def get_output_shape_for(self, input_shapes):
        return (input_shapes[0][0], sum(shape[1] for shape in input_shapes))

    def get_output_for(self, inputs, **kwargs):
        return torch.cat(inputs, dim=1)


@pytest.fixture
def diamond():
    """A graph with two inputs: (left, right, shared, top)."""
    left, right = InputLayer((None, 2), name="left"), InputLayer((None, 3))
    shared = NonlinearityLayer(left)
    top = ConcatenateAll([shared, right, shared])
    return left, right, shared, top


def test_get_all_layers(diamond):
    left, right, shared, top = diamond
    assert layers.get_all_layers(top) == [left, shared, right, top]
    assert layers.get_all_layers([right, top]) == [right, left, shared, top]
    assert layers.get_all_layers(top, treat_as_input=[shared]) == [shared, right, top]


def test_get_output(diamond):
    left, right, shared, top = diamond
    a, b = torch.tensor([[-1.0, 2.0]]), torch.tensor([[3.0, 4.0, 5.0]])
    expected = [[0, 2, 3, 4, 5, 0, 2]]
    assert layers.get_output(top, {left: a, right: b}).tolist() == expected
    assert layers.get_output(top, {left: a.numpy(), right: b.tolist()}).tolist() == expected
    first, second = layers.get_output([shared, top], {left: a, right: b})
    assert (first.tolist(), second.tolist()) == ([[0, 2]], expected)
    instead = layers.get_output(top, {shared: a, right: b})
    assert instead.tolist() == [[-1, 2, 3, 4, 5, -1, 2]]


def test_get_output_of_input_var():
    layer = NonlinearityLayer(InputLayer((None, 1), input_var=torch.tensor([[-2.0]])))
    assert layers.get_output(layer).tolist() == [[0]]
    with pytest.raises(ValueError, match="without an input for InputLayer 'left'"):
        layers.get_output(InputLayer((None, 1), name="left"))


def test_get_output_of_a_floating_layer():
    floating = NonlinearityLayer((None, 2), name="n")
    with pytest.raises(ValueError, match="free-floating layer NonlinearityLayer 'n'"):
        layers.get_output(floating, torch.ones(1, 2))
    assert layers.get_output(floating, {floating: torch.ones(1, 2)}).tolist() == [[1, 1]]


def test_get_output_warns_of_a_misspelt_argument():
    layer = DropoutLayer(InputLayer((None, 2)))
    with pytest.warns(UserWarning, match=r"determinstic \(did you mean deterministic\?\)"):
        layers.get_output(layer, torch.ones(1, 2), determinstic=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layers.get_output(layer, torch.ones(1, 2), deterministic=True)


def test_input_of_the_wrong_shape():
    layer = NonlinearityLayer(InputLayer((None, 3, 8, 8), name="pictures"))
    message = r"InputLayer 'pictures' must be given .*height, width\), got \(2, 8, 8, 3\)"
    with pytest.raises(ValueError, match=message):
        layers.get_output(layer, torch.ones(2, 8, 8, 3))


def test_get_output_shape(diamond):
    left, right, shared, top = diamond
    assert layers.get_output_shape(top) == (None, 7)
    assert layers.get_output_shape([shared, top]) == [(None, 2), (None, 7)]
    assert layers.get_output_shape(top, {left: (8, 5), right: (8, 1)}) == (8, 11)
    assert layers.get_output_shape(top, (4, 6)) == (4, 18)


def test_parameters_of_a_network():
    hidden = DenseLayer(InputLayer((None, 4)), 3)
    shared = DenseLayer(hidden, 3, W=np.eye(3))
    top = DenseLayer(shared, 3, W=shared.W, b=None)
    params = [hidden.W, hidden.b, shared.W, shared.b]
    assert [id(p) for p in layers.get_all_params(top)] == [id(p) for p in params]
    assert layers.count_params(top) == 12 + 3 + 9 + 3
    assert layers.count_params(top, regularizable=True) == 12 + 9
    values = [np.full(p.shape, i, np.float32) for i, p in enumerate(params)]
    layers.set_all_param_values(top, values)
    result = layers.get_all_param_values(top)
    assert all(np.array_equal(a, b) for a, b in zip(values, result, strict=True))
    result[0][:] = 7
    assert hidden.W.sum() == 0


def test_set_all_param_values_errors_change_nothing():
    layer = DenseLayer(InputLayer((None, 4)), 3, W=np.zeros((4, 3)), name="d")
    with pytest.raises(ValueError, match="got 1 values to set 2 parameters"):
        layers.set_all_param_values(layer, [np.ones((4, 3))])
    message = r"parameter 'b' of DenseLayer 'd' .*has shape \(3,\), .* has shape \(4,\)"
    with pytest.raises(ValueError, match=message):
        layers.set_all_param_values(layer, [np.ones((4, 3)), np.ones(4)])
    assert not layer.W.any()


def test_values_must_be_a_list():
    layer = DenseLayer(InputLayer((None, 2)), 2)
    for wrong in ("model.npz", {"arr_0": 1}, np.ones((2, 2))):
        with pytest.raises(TypeError, match=r"values must be a list .*load_param_values\(path\)"):
            layers.set_all_param_values(layer, wrong)


def test_values_of_half_precision():
    layer = DenseLayer(InputLayer((None, 2)), 2).bfloat16()
    values = layers.get_all_param_values(layer)
    assert [value.dtype for value in values] == [np.float32, np.float32]
    layers.set_all_param_values(layer, values)


def test_an_empty_dictionary_of_inputs():
    layer = InputLayer((None, 2), input_var=torch.ones(1, 2))
    assert layers.get_output(layer, {}).tolist() == [[1, 1]]


def test_arguments_that_a_layer_announces():
    layer = DenseLayer(InputLayer((None, 2)), 2)
    layer.get_output_kwargs.append("temperature")
    layers.get_output(layer, torch.ones(1, 2), temperature=2)
    layers.Network(layer)(torch.ones(1, 2), temperature=2)
