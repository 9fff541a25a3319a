"""Recurrent layers as modules of a network: arguments, copies, tracing, precision, errors."""

import copy
import pickle

import numpy as np
import pytest
import torch

from lasagne import layers
from lasagne.layers import (
    DenseLayer,
    Gate,
    GRULayer,
    InputLayer,
    LSTMLayer,
    Network,
    RecurrentLayer,
)

LAYERS = [RecurrentLayer, LSTMLayer, GRULayer]
OPTIONS = [
    {},
    {"mask_input": InputLayer((None, None))},
    {"grad_clipping": 0.1},
    {"gradient_steps": 2},
    {"backwards": True, "learn_init": True},
    {"precompute_input": False, "only_return_final": True},
]

#: PyTorch's tracer makes an object of its class for autograd functions, which warns.
TRACING = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def make(cls, options):
    """Return a network of a recurrent layer, and inputs for it."""
    network = Network(cls(InputLayer((None, None, 4)), 6, name="r", **options))
    mask = (torch.arange(5) < torch.tensor([5, 1, 3])[:, None]).float()
    return network, [torch.randn(3, 5, 4), mask][: len(network.input_layers)]


def gradients(network, y):
    return torch.autograd.grad(y.float().sum(), list(network.parameters()))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("cls", LAYERS)
class TestNetwork:
    @pytest.mark.parametrize("change", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_copies(self, cls, options, change):
        network, inputs = make(cls, options)
        expected = network(*inputs)
        twin = change(network)
        assert list(twin.state_dict()) == list(network.state_dict())
        assert torch.equal(twin(*inputs), expected)
        with torch.no_grad():
            for value in twin.state_dict().values():
                value.fill_(0.5)
        assert torch.equal(network(*inputs), expected)
        assert not torch.equal(twin(*inputs), expected)

    def test_state_dict_round_trip(self, cls, options):
        network, inputs = make(cls, options)
        other, _ = make(cls, options)
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(*inputs), network(*inputs))

    def test_parameters_are_all_there_in_lasagnes_order(self, cls, options):
        network, _ = make(cls, options)
        state = network.state_dict(keep_vars=True)
        params = layers.get_all_params(network.output_layer)
        assert {id(p) for p in state.values()} == {id(p) for p in params}
        trainable = layers.get_all_params(network.output_layer, trainable=True)
        assert [id(p) for p in network.parameters()] == [id(p) for p in trainable]
        assert [id(p) for p in network.output_layer.params] == [id(p) for p in params]

    @TRACING
    def test_can_be_traced_as_one_graph(self, cls, options):
        torch.compiler.reset()
        network, inputs = make(cls, options)
        expected = network(*inputs)
        actual = torch.compile(network, backend="eager", fullgraph=True)(*inputs)
        torch.testing.assert_close(actual, expected)
        torch.testing.assert_close(gradients(network, actual), gradients(network, expected))

    def test_bfloat16(self, cls, options):
        network, inputs = make(cls, options)
        expected = network(*inputs)
        with torch.autocast("cpu", torch.bfloat16):
            actual = network(*inputs)
        torch.testing.assert_close(actual.float(), expected, atol=0.02, rtol=0.05)
        assert all(grad.dtype == torch.float32 for grad in gradients(network, actual))

    def test_double(self, cls, options):
        network, inputs = make(cls, options)
        expected = network(*inputs)
        actual = network.double()(*(value.double() for value in inputs))
        assert actual.dtype == torch.float64
        torch.testing.assert_close(actual.float(), expected)


@pytest.mark.parametrize("cls", LAYERS)
def test_values_round_trip(cls):
    layer = cls(InputLayer((None, 5, 4)), 6)
    values = [np.full(value.shape, i) for i, value in enumerate(layers.get_all_param_values(layer))]
    layers.set_all_param_values(layer, values)
    for value, wanted in zip(layers.get_all_param_values(layer), values, strict=True):
        assert (value == wanted).all()
    assert all((param == i).all() for i, param in enumerate(layer.get_params()))


def test_recurrent_layers_parameters():
    layer = RecurrentLayer(InputLayer((None, 5, 4)), 6, name="r")
    own = [layer.hid_init, layer.W_in_to_hid, layer.b, layer.W_hid_to_hid]
    assert [id(p) for p in layer.get_params()] == [id(p) for p in own]
    assert layer.get_params(regularizable=True) == [layer.W_in_to_hid, layer.W_hid_to_hid]
    assert layer.input_to_hidden.name == "r.input_to_hidden"
    keys = ["r.hid_init", "r.input_to_hidden.W", "r.input_to_hidden.b", "r.hidden_to_hidden.W"]
    assert list(Network(layer).state_dict()) == keys
    layer.params[layer.W_in_to_hid].remove("trainable")
    assert layer.get_params(trainable=True) == [layer.b, layer.W_hid_to_hid]
    assert RecurrentLayer((None, 5, 4), 6, b=None).b is None


def test_shared_parameters():
    """A layer reading forwards and one backwards, with the same weights."""
    incoming = InputLayer((None, 5, 4))
    first = RecurrentLayer(incoming, 6)
    second = RecurrentLayer(
        incoming, 6, first.W_in_to_hid, first.W_hid_to_hid, first.b, backwards=True
    )
    x = torch.randn(3, 5, 4)
    torch.testing.assert_close(second([x.flip(1)]).flip(1), first([x]))
    assert len(layers.get_all_params([first, second], trainable=True)) == 3


@pytest.mark.parametrize("cls", LAYERS)
def test_learns_to_tell_the_first_entry(cls):
    """A few steps in which the loss falls: gradients reach through all of the sequence."""
    layer = cls(InputLayer((None, 6, 1)), 8, only_return_final=True, grad_clipping=10)
    network = Network(DenseLayer(layer, 1, nonlinearity=None))
    with torch.no_grad():
        for param in network.parameters():
            param.normal_(std=0.5)
    x = torch.randn(32, 6, 1)
    optimizer, losses = torch.optim.Adam(network.parameters(), 0.02), []
    for _ in range(150):
        loss = (network(x) - x[:, 0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_units": 0}, ValueError, "'r': num_units must be an integer of at least 1, got 0"),
        ({"incoming": 3}, TypeError, "'r': incoming must be a layer or a tuple .* got 3"),
        ({"incoming": (3,)}, ValueError, r"'r' needs .* shape \(batch, time, ...\), got \(3,\)"),
        ({"incoming": (3, 5)}, ValueError, r"shape \(batch, time, features\), .* got \(3, 5\)"),
        ({"incoming": (3, 5, None)}, ValueError, r"known number of features, got \(3, 5, None\)"),
        (
            {"gradient_steps": 2, "unroll_scan": True},
            ValueError,
            "gradient_steps must be -1 when unroll_scan is true, got 2",
        ),
        (
            {"incoming": (3, None, 4), "unroll_scan": True},
            ValueError,
            r"length must be known when unroll_scan is true, got .* \(3, None, 4\)",
        ),
        ({"gradient_steps": 0}, ValueError, "gradient_steps, where not -1, must be .* got 0"),
        ({"gradient_steps": 1.5}, TypeError, "gradient_steps, where not -1, must be .* got 1.5"),
        ({"grad_clipping": -1}, ValueError, "grad_clipping must be a positive number, .* got -1"),
        ({"grad_clipping": "a"}, TypeError, "grad_clipping must be a positive number, .* got 'a'"),
        (
            {"mask_input": (3, 5, 1)},
            ValueError,
            r"mask_input must have the shape \(batch, time\) = \(3, 5\), got \(3, 5, 1\)",
        ),
        ({"mask_input": "a"}, TypeError, "incoming must be a layer or a tuple .* got 'a'"),
        (
            {"hid_init": InputLayer((3, 7))},
            ValueError,
            r"hid_init must be a layer of the state's shape \(3, 6\), got InputLayer .* \(3, 7\)",
        ),
        ({"hid_init": np.zeros(6)}, ValueError, r"'hid_init' must have shape \(1, 6\), got \(6,\)"),
        ({"num_unit": 3}, TypeError, "'num_unit'"),
    ],
)
def test_errors(cls, arguments, error, message):
    with pytest.raises(error, match=message):
        cls(**{"incoming": (3, 5, 4), "num_units": 6, "name": "r"} | arguments)


@pytest.mark.parametrize(
    ("cls", "arguments", "error", "message"),
    [
        (LSTMLayer, {"ingate": None}, TypeError, "LSTMLayer: ingate must be a Gate, got None"),
        (GRULayer, {"hidden_update": 3}, TypeError, "hidden_update must be a Gate, got 3"),
        (LSTMLayer, {"nonlinearity": 3}, TypeError, "nonlinearity must be callable or None, got 3"),
        (RecurrentLayer, {"nonlinearity": 3}, TypeError, "nonlinearity must be callable or None"),
        (
            LSTMLayer,
            {"outgate": Gate(W_cell=None)},
            ValueError,
            "outgate must have a W_cell, or peepholes must be False, got None",
        ),
        (LSTMLayer, {"cell_init": InputLayer((3, 5))}, ValueError, "cell_init must be a layer of"),
        (GRULayer, {"updategate": Gate(b="b")}, TypeError, "'b_updategate' must be given as an"),
        (
            GRULayer,
            {"resetgate": Gate(W_in=np.zeros((6, 4)))},
            ValueError,
            r"'W_in_to_resetgate' must have shape \(4, 6\), got \(6, 4\)",
        ),
    ],
)
def test_errors_of_single_layers(cls, arguments, error, message):
    with pytest.raises(error, match=message):
        cls((3, 5, 4), 6, **arguments)


def test_errors_of_gates_and_empty_sequences():
    with pytest.raises(TypeError, match="Gate: nonlinearity must be callable or None, got 'tanh'"):
        Gate(nonlinearity="tanh")
    with pytest.raises(ValueError, match=r"needs a time step at least, got .* \(3, 0, 4\)"):
        GRULayer((None, None, 4), 6)([torch.zeros(3, 0, 4)])


def test_falsy_grad_clipping_is_none():
    x = torch.randn(3, 5, 4)
    for nothing in (None, False, 0.0):
        assert RecurrentLayer((3, 5, 4), 6, grad_clipping=nothing)([x]).shape == (3, 5, 6)
    assert RecurrentLayer((3, 5, 4), 6, grad_clipping=np.float32(1))([x]).shape == (3, 5, 6)
