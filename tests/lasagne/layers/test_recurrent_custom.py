"""Recurrent layers made of other layers."""

import copy
import pickle

import numpy as np
import pytest
import torch

from lasagne import init, nonlinearities
from lasagne.layers import (
    Conv2DLayer,
    CustomRecurrentLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    InputLayer,
    Layer,
    MergeLayer,
    Network,
    NonlinearityLayer,
    RecurrentLayer,
    get_all_layers,
    get_all_params,
    get_output,
)

PICTURES = (2, 4, 3, 5, 6)


def conv(channels, filters, batch=None, **kwargs):
    incoming = InputLayer((batch, channels, 5, 6))
    return Conv2DLayer(incoming, filters, 3, pad="same", nonlinearity=None, **kwargs)


def convolutional(incoming=(None, None, 3, 5, 6), **kwargs):
    to_hidden, hidden = conv(3, 2), conv(2, 2, b=None)
    return CustomRecurrentLayer(incoming, to_hidden, hidden, **kwargs)


def deep(incoming):
    """Two layers on either side, with dropout in one and a layer that both share."""
    shared = NonlinearityLayer(InputLayer((None, 4)), nonlinearities.tanh)
    to_hidden = DenseLayer(DropoutLayer(shared), 4, name="top", nonlinearity=None)
    hidden = DenseLayer(DenseLayer(shared, 3), 4, b=None, nonlinearity=None)
    return CustomRecurrentLayer(incoming, to_hidden, hidden, learn_init=True, name="c")


@pytest.mark.parametrize("precompute_input", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("only_return_final", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_convolutions_along_a_sequence(precompute_input, backwards, only_return_final, masked):
    layer = convolutional(
        mask_input=(None, None) if masked else None,
        nonlinearity=nonlinearities.tanh,
        hid_init=init.Normal(1),
        precompute_input=precompute_input,
        backwards=backwards,
        only_return_final=only_return_final,
    )
    shape = (2, 5, 6) if only_return_final else (None, 2, 5, 6)
    assert layer.output_shape == (None, *shape)
    x, mask = torch.randn(PICTURES), torch.tensor([[1, 1, 0, 1], [0, 1, 1, 0]])

    hid = layer.hid_init.expand(2, -1, -1, -1)
    expected = [hid] * 4
    for t in reversed(range(4)) if backwards else range(4):
        new = get_output(layer.input_to_hidden, x[:, t])
        new = torch.tanh(new + get_output(layer.hidden_to_hidden, hid))
        hid = torch.where(mask[:, t].view(2, 1, 1, 1) == 1, new, hid) if masked else new
        expected[t] = hid
    expected = hid if only_return_final else torch.stack(expected, 1)
    actual = layer([x, mask] if masked else [x])
    torch.testing.assert_close(actual, expected)
    assert all(d in (None, s) for d, s in zip(layer.output_shape, actual.shape, strict=True))


def test_equals_a_recurrent_layer():
    layer = RecurrentLayer(InputLayer((None, 5, 4)), 6, grad_clipping=0.1)
    custom = CustomRecurrentLayer(
        InputLayer((None, 5, 4)),
        copy.deepcopy(layer.input_to_hidden),
        copy.deepcopy(layer.hidden_to_hidden),
        grad_clipping=0.1,
    )
    x = torch.randn(3, 5, 4)
    torch.testing.assert_close(custom([x]), layer([x]))
    custom([x]).sum().backward()
    layer([x]).sum().backward()
    for one, other in zip(custom.parameters(), layer.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_labels_can_be_read():
    to_hidden = EmbeddingLayer(InputLayer((None,), name="labels"), 7, 4)
    hidden = DenseLayer(InputLayer((None, 4)), 4, b=None, nonlinearity=None)
    layer = CustomRecurrentLayer(InputLayer((None, None)), to_hidden, hidden)
    assert layer.output_shape == (None, None, 4)
    assert get_output(layer, torch.tensor([[1, 2, 6]])).shape == (1, 3, 4)


def test_parameters_belong_to_the_layer():
    layer = deep(InputLayer((None, None, 4)))
    to_hidden, hidden = layer.input_to_hidden, layer.hidden_to_hidden
    expected = [layer.hid_init, *get_all_params(to_hidden), *get_all_params(hidden)]
    assert [id(p) for p in layer.get_params()] == [id(p) for p in expected]
    assert [id(p) for p in layer.params] == [id(p) for p in expected]
    assert [id(p) for p in get_all_params(layer)] == [id(p) for p in expected]
    assert layer.get_params(regularizable=True) == [to_hidden.W, *get_all_params(hidden)[::2]]
    assert layer.params[to_hidden.W] is to_hidden.params[to_hidden.W]
    assert {id(p) for p in Network(layer).parameters()} == {id(p) for p in expected}
    assert list(Network(layer).state_dict()) == [
        "c.hid_init",
        "c.input_to_hidden.W",
        "c.input_to_hidden.b",
        "c.hidden_to_hidden_2.W",
        "c.hidden_to_hidden_2.b",
        "c.hidden_to_hidden.W",
    ]


def test_inner_layers_stay_out_of_the_graph():
    incoming = InputLayer((None, None, 4))
    assert get_all_layers(deep(incoming))[0] is incoming
    assert len(get_all_layers(deep(incoming))) == 2
    assert Network(deep(incoming)).input_layers == (incoming,)


def test_arguments_reach_the_layers_that_know_them():
    class Factor(Layer):
        def get_output_for(self, input, factor=1, **kwargs):
            return input * factor

    to_hidden = Factor(DropoutLayer(InputLayer((None, 4))))
    hidden = DenseLayer(InputLayer((None, 4)), 4, b=None, nonlinearity=None)
    layer = CustomRecurrentLayer(InputLayer((None, None, 4)), to_hidden, hidden)
    x = torch.rand(3, 2, 4)
    first = layer([x], deterministic=True)[:, 0]
    assert torch.equal(first, x[:, 0])
    assert torch.equal(layer([x], deterministic=True, factor=3)[:, 0], 3 * x[:, 0])
    assert not torch.equal(layer([x])[:, 0], x[:, 0])


@pytest.mark.parametrize("change", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(change):
    network, x = Network(deep(InputLayer((None, None, 4)))), torch.randn(3, 5, 4)
    expected = network(x, deterministic=True)
    twin = change(network)
    assert torch.equal(twin(x, deterministic=True), expected)
    with torch.no_grad():
        for param in twin.output_layer.get_params():
            param.zero_()
    assert not twin(x, deterministic=True).any()
    assert torch.equal(network(x, deterministic=True), expected)


def test_copy_of_a_deep_inner_network():
    """Deeper than Python's recursion limit."""
    inner = InputLayer((None, 4))
    for _ in range(700):
        inner = NonlinearityLayer(inner)
    hidden = DenseLayer(InputLayer((None, 4)), 4)
    layer = CustomRecurrentLayer(InputLayer((None, None, 4)), inner, hidden)
    twin = copy.deepcopy(layer)
    assert len(get_all_layers(twin.input_to_hidden)) == 701
    assert len(get_all_layers(pickle.loads(pickle.dumps(layer)).input_to_hidden)) == 701


def test_recurrent_layers_inside_one_another():
    """Over sequences of sequences: the inner layer makes one vector of each."""
    words = RecurrentLayer(InputLayer((None, 5, 3)), 4, only_return_final=True)
    hidden = DenseLayer(InputLayer((None, 4)), 4)
    layer = CustomRecurrentLayer(InputLayer((None, None, 5, 3)), words, hidden)
    assert Network(layer)(torch.randn(2, 6, 5, 3)).shape == (2, 6, 4)
    assert len(layer.params) == len(layer.get_params()) == 7
    assert len(Network(layer).state_dict()) == 7


def test_double_and_gradients():
    layer = convolutional(nonlinearity=nonlinearities.tanh, learn_init=True).double()
    params = dict(layer.named_parameters())

    def output(x, *values):
        given = dict(zip(params, values, strict=True))
        return torch.func.functional_call(layer, given, ([x],))

    x = torch.randn(1, 2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(output, (x, *params.values()))


def test_can_be_traced_as_one_graph():
    torch.compiler.reset()
    network, x = Network(deep(InputLayer((None, None, 4)))), torch.randn(3, 5, 4)
    traced = torch.compile(network, backend="eager", fullgraph=True)
    expected = network(x, deterministic=True)
    torch.testing.assert_close(traced(x, deterministic=True), expected)


def test_an_initial_state_from_a_layer():
    state = InputLayer((None, 2, 5, 6))
    incoming = InputLayer((None, None, 3, 5, 6))
    layer = convolutional(incoming, hid_init=state)
    assert layer.hid_init is state
    y = Network(layer)(torch.randn(PICTURES), torch.randn(2, 2, 5, 6))
    assert y.shape == (2, 4, 2, 5, 6)
    with pytest.raises(ValueError, match=r"of the state's shape \(None, 2, 5, 6\), got InputLayer"):
        convolutional(incoming, hid_init=InputLayer((None, 3, 5, 6)))
    value = np.zeros((1, 3, 5, 6))
    with pytest.raises(ValueError, match=r"'hid_init' must have shape \(1, 2, 5, 6\), got"):
        convolutional(incoming, hid_init=value)


class First(MergeLayer):
    def get_output_shape_for(self, input_shapes):
        return input_shapes[0]


def dense(inputs, units, batch=None):
    return DenseLayer(InputLayer((batch, inputs)), units)


@pytest.mark.parametrize(
    ("to_hidden", "hidden", "options", "error", "message"),
    [
        (3, dense(6, 6), {}, TypeError, "'c': input_to_hidden must be a layer, got 3"),
        (
            First([InputLayer((None, 4)), InputLayer((None, 4))]),
            dense(4, 4),
            {},
            ValueError,
            "input_to_hidden must have exactly one InputLayer, it has 2",
        ),
        (
            dense(4, 6),
            DenseLayer((None, 6), 6),
            {},
            ValueError,
            "hidden_to_hidden must have exactly one InputLayer, it has 0",
        ),
        (
            dense(4, 6, batch=7),
            dense(6, 6),
            {},
            ValueError,
            r"must be None or batch \* time = 3 \* 5, got an output of shape \(7, 6\)",
        ),
        (
            dense(4, 6, batch=3),
            dense(6, 6, batch=2),
            {"precompute_input": False},
            ValueError,
            r"must have the same batch, got \(3, 6\) and \(2, 6\)",
        ),
        (
            dense(4, 6),
            dense(6, 5),
            {},
            ValueError,
            r"the outputs .* same shape but for the batch, got \(None, 6\) and \(None, 5\)",
        ),
        (
            dense(4, 6),
            dense(5, 6),
            {},
            ValueError,
            r"the input of hidden_to_hidden must have the .* got \(None, 6\) and \(None, 5\)",
        ),
        (
            NonlinearityLayer(InputLayer((None, None))),
            NonlinearityLayer(InputLayer((None, None))),
            {},
            ValueError,
            r"hid_init must be a layer where .* not known .* of shape \(None, None\)",
        ),
    ],
)
def test_errors(to_hidden, hidden, options, error, message):
    with pytest.raises(error, match=message):
        CustomRecurrentLayer((3, 5, 4), to_hidden, hidden, name="c", **options)


def test_batches_that_fit():
    layer = CustomRecurrentLayer((3, 5, 4), dense(4, 6, batch=15), dense(6, 6, batch=3))
    assert layer([torch.randn(3, 5, 4)]).shape == (3, 5, 6)
    layer = CustomRecurrentLayer(
        (3, 5, 4), dense(4, 6, batch=3), dense(6, 6, batch=3), precompute_input=False
    )
    assert layer([torch.randn(3, 5, 4)]).shape == (3, 5, 6)
