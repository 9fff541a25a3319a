"""Recurrent layers' numbers, against NumPy loops and PyTorch's own layers, and their shapes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne import init, nonlinearities
from lasagne.layers import (
    Gate,
    GRULayer,
    InputLayer,
    LSTMLayer,
    Network,
    RecurrentLayer,
    get_output,
)

BATCH, TIME, FEATURES, UNITS = 3, 5, 4, 6
LAYERS = [RecurrentLayer, LSTMLayer, GRULayer]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recurrent_step(p, x, hid):
    return (np.maximum(0, x @ p["input_to_hidden.W"] + hid @ p["hidden_to_hidden.W"] + p["b"]),)


def lstm_step(p, x, cell, hid):
    def gate(name):
        return x @ p[f"W_in_to_{name}"] + hid @ p[f"W_hid_to_{name}"] + p[f"b_{name}"]

    def peephole(name):
        return p.get(f"W_cell_to_{name}", 0)

    ingate = sigmoid(gate("ingate") + peephole("ingate") * cell)
    forgetgate = sigmoid(gate("forgetgate") + peephole("forgetgate") * cell)
    cell = forgetgate * cell + ingate * np.tanh(gate("cell"))
    return cell, sigmoid(gate("outgate") + peephole("outgate") * cell) * np.tanh(cell)


def gru_step(p, x, hid):
    def product(kind, value, name):
        return value @ p[f"W_{kind}_to_{name}"]

    reset, update = (
        sigmoid(product("in", x, name) + product("hid", hid, name) + p[f"b_{name}"])
        for name in ("resetgate", "updategate")
    )
    new = product("in", x, "hidden_update") + p["b_hidden_update"]
    new = np.tanh(new + reset * product("hid", hid, "hidden_update"))
    return ((1 - update) * hid + update * new,)


STEPS = {RecurrentLayer: recurrent_step, LSTMLayer: lstm_step, GRULayer: gru_step}


def loop(layer, x, mask=None):
    """Return what the layer should return, one sequence after the other."""
    p = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    if "input_to_hidden.W" in p:
        p["b"] = p.get("input_to_hidden.b", 0)
    order = range(x.shape[1])[:: -1 if layer.backwards else 1]
    result = np.zeros((*x.shape[:2], layer.num_units))
    for i, sequence in enumerate(x):
        states = [p[name][0] for name in layer.STATES]
        for t in order:
            if mask is None or mask[i, t]:
                states = STEPS[type(layer)](p, sequence[t].ravel(), *states)
            result[i, t] = states[-1]
    return result[:, order[-1]] if layer.only_return_final else result


def with_random_parameters(layer):
    """Return the layer in double precision, nothing in it zero."""
    with torch.no_grad():
        for param in layer.get_params():
            param.normal_(std=0.5)
    return layer.double()


def data(*shape, requires_grad=False):
    return torch.randn(shape, dtype=torch.float64, requires_grad=requires_grad)


def prefix_mask(*lengths):
    return (torch.arange(TIME) < torch.tensor(lengths)[:, None]).double()


@settings(deadline=None, max_examples=60)
@given(
    cls=st.sampled_from(LAYERS),
    features=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    known=st.tuples(st.booleans(), st.booleans()),
    units=st.integers(1, 4),
    masked=st.booleans(),
    extra=st.sampled_from(["", "peepholes", "b"]),
    options=st.fixed_dictionaries(
        {
            name: st.booleans()
            for name in ("backwards", "learn_init", "precompute_input", "only_return_final")
        }
    ),
)
def test_equals_a_numpy_loop(cls, features, sizes, known, units, masked, extra, options):
    """And has the shape that it declares."""
    declared = tuple(size if known_ else None for size, known_ in zip(sizes, known, strict=True))
    options["unroll_scan"] = declared[1] is not None
    incoming, mask = InputLayer((*declared, *features)), InputLayer(declared)
    if extra == "peepholes" and cls is LSTMLayer:
        options["peepholes"] = False
    if extra == "b" and cls is RecurrentLayer:
        options["b"] = None
    if masked:
        options["mask_input"] = mask
    layer = with_random_parameters(cls(incoming, units, **options))
    inputs = {incoming: data(*sizes, *features), mask: (data(*sizes) > 0).double()}
    y = get_output(layer, inputs)
    expected = loop(layer, inputs[incoming].numpy(), inputs[mask].numpy() if masked else None)
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-12)
    assert len(layer.output_shape) == y.ndim
    assert all(d in (None, s) for d, s in zip(layer.output_shape, y.shape, strict=True))
    assert layer.output_shape[-1] == units


def gates(layer, kind, *names):
    return torch.cat([getattr(layer, f"{kind}_{name}") for name in names], dim=-1)


@pytest.mark.parametrize("cls", LAYERS)
def test_equals_pytorchs_layer(cls):
    layer = with_random_parameters(
        LSTMLayer((BATCH, TIME, FEATURES), UNITS, peepholes=False)
        if cls is LSTMLayer
        else cls((BATCH, TIME, FEATURES), UNITS, hid_init=init.Constant(0.3))
    )
    if cls is RecurrentLayer:
        other = torch.nn.RNN(FEATURES, UNITS, nonlinearity="relu", batch_first=True)
        values = [layer.W_in_to_hid.t(), layer.W_hid_to_hid.t(), layer.b]
    else:
        other, names = torch.nn.LSTM, ("ingate", "forgetgate", "cell", "outgate")
        if cls is GRULayer:
            other, names = torch.nn.GRU, ("resetgate", "updategate", "hidden_update")
        other = other(FEATURES, UNITS, batch_first=True)
        values = [gates(layer, kind, *names) for kind in ("W_in_to", "W_hid_to", "b")]
        values = [value.detach().t() if value.ndim == 2 else value.detach() for value in values]
        if cls is GRULayer:  # its update gate keeps where Lasagne's renews
            for value in values:
                value[UNITS : 2 * UNITS] *= -1
    with torch.no_grad():
        for name, value in zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"), values, strict=True):
            setattr(other, name, torch.nn.Parameter(value))
        other.bias_hh_l0.zero_()
    initial = [getattr(layer, name).expand(1, BATCH, UNITS) for name in layer.STATES[::-1]]
    x = data(BATCH, TIME, FEATURES)
    expected = other.double()(x, initial[0] if len(initial) == 1 else tuple(initial))[0]
    torch.testing.assert_close(layer([x]), expected)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("cls", LAYERS)
def test_a_mask_cuts_sequences_short(cls, backwards):
    options = {"backwards": backwards, "only_return_final": True}
    layer = with_random_parameters(
        cls((None, None, FEATURES), UNITS, mask_input=(None, None), **options)
    )
    x, lengths = data(BATCH, TIME, FEATURES), (5, 1, 3)
    y = layer([x, prefix_mask(*lengths)])
    everything = torch.ones(1, 1, dtype=torch.float64)
    for i, length in enumerate(lengths):
        alone = layer([x[i : i + 1, :length], everything.expand(1, length)])
        torch.testing.assert_close(y[i : i + 1], alone)


@pytest.mark.parametrize("cls", LAYERS)
def test_what_a_mask_hides_gets_no_gradient(cls):
    layer = with_random_parameters(cls((None, None, FEATURES), UNITS, mask_input=(None, None)))
    x = data(BATCH, TIME, FEATURES, requires_grad=True)
    layer([x, prefix_mask(5, 1, 3)]).sum().backward()
    assert not x.grad[1, 1:].any()
    assert not x.grad[2, 3:].any()


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("steps", [1, 3, TIME, 9])
@pytest.mark.parametrize("cls", LAYERS)
def test_gradient_steps_equal_a_graph_cut_by_hand(cls, steps, backwards):
    options = {"learn_init": True, "backwards": backwards, "gradient_steps": steps}
    layer = with_random_parameters(cls((None, TIME, FEATURES), UNITS, **options))
    x, weights = data(BATCH, TIME, FEATURES, requires_grad=True), data(BATCH, TIME, UNITS)
    leaves = [x, *layer.parameters()]
    loss = (layer([x]) * weights).sum()
    actual = torch.autograd.grad(loss, leaves, materialize_grads=True)

    sequence, step = layer.get_sequence_and_step(x)
    states = [getattr(layer, name).expand(BATCH, -1) for name in layer.STATES]
    loss = 0
    for i, t in enumerate(reversed(range(TIME)) if backwards else range(TIME)):
        if i == TIME - steps:
            loss, states = 0, [state.detach() for state in states] if i else states
        states = step(sequence[:, t], *states)
        loss = loss + (states[-1] * weights[:, t]).sum()
    expected = torch.autograd.grad(loss, leaves, materialize_grads=True)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("cls", LAYERS)
def test_gradient_steps_leave_the_initial_state_alone(cls):
    x = data(BATCH, TIME, FEATURES)
    for steps, expected in [(TIME - 1, False), (TIME, True), (-1, True)]:
        layer = with_random_parameters(
            cls(tuple(x.shape), UNITS, learn_init=True, gradient_steps=steps)
        )
        layer([x]).sum().backward()
        assert (layer.hid_init.grad is not None) == expected


@pytest.mark.parametrize("precompute_input", [False, True])
@pytest.mark.parametrize("cls", LAYERS)
def test_gradients(cls, precompute_input):
    """Of everything: input, parameters, initial states, also where a mask interrupts."""
    options = {"nonlinearity": nonlinearities.tanh} if cls is RecurrentLayer else {}
    layer = with_random_parameters(
        cls(
            (None, None, 2),
            3,
            learn_init=True,
            mask_input=(None, None),
            precompute_input=precompute_input,
            **options,
        )
    )
    params = dict(layer.named_parameters())
    mask = torch.tensor([[1, 0, 1], [1, 1, 0]])

    def output(x, *values):
        given = dict(zip(params, values, strict=True))
        return torch.func.functional_call(layer, given, ([x, mask],))

    x = data(2, 3, 2, requires_grad=True)
    assert torch.autograd.gradcheck(output, (x, *params.values()))


def test_gradients_are_clipped_at_every_step():
    """A linear recurrence of 1: without clipping the gradients would be 3, 2, 1."""
    ones = {"W_in_to_hid": init.Constant(1), "W_hid_to_hid": init.Constant(1)}
    for limit, expected in [(0, [3, 2, 1]), (0.5, [0.5, 0.5, 0.5]), (1.5, [1.5, 1.5, 1])]:
        layer = RecurrentLayer((1, 3, 1), 1, nonlinearity=None, grad_clipping=limit, **ones)
        x = torch.zeros(1, 3, 1, requires_grad=True)
        layer([x]).sum().backward()
        assert x.grad.flatten().tolist() == expected


@pytest.mark.parametrize("limit", [0.05, 1e6])
def test_gru_clips_the_input_in_place_of_its_products(limit):
    x = data(BATCH, TIME, FEATURES, requires_grad=True)
    layer = with_random_parameters(
        GRULayer((None, None, FEATURES), UNITS, grad_clipping=limit, precompute_input=False)
    )
    (layer([x]).sum() * 100).backward()
    assert (x.grad.abs().max() <= limit) if limit == 0.05 else (x.grad.abs().max() > 0.05)
    free = GRULayer((None, None, FEATURES), UNITS, precompute_input=False).double()
    free.load_state_dict(layer.state_dict())
    assert torch.equal(layer([x]), free([x]))


@pytest.mark.parametrize("cls", LAYERS)
def test_initial_states(cls):
    """As an initialiser, an array, a parameter and a layer."""
    value = np.linspace(-1, 1, UNITS, dtype=np.float32)[None]
    names = [name for name in ("hid_init", "cell_init") if name in cls.STATES]
    incoming, source = InputLayer((None, TIME, FEATURES)), InputLayer((None, UNITS))
    x, outputs = torch.randn(BATCH, TIME, FEATURES), []
    state = None
    for spec in (lambda shape: value, value, torch.nn.Parameter(torch.tensor(value)), source):
        layer = cls(incoming, UNITS, **dict.fromkeys(names, spec))
        if state is None:
            state = {k: v for k, v in layer.state_dict().items() if k not in names}
        layer.load_state_dict(state, strict=False)
        given = {incoming: x, source: torch.tensor(value).expand(BATCH, UNITS)}
        outputs.append(get_output(layer, given))
    assert layer.hid_init is source
    assert layer.hid_init_incoming_index == 1
    assert getattr(layer, "cell_init_incoming_index", 2) == 2
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0])


@pytest.mark.parametrize("cls", LAYERS)
def test_learned_initial_states(cls):
    layer = cls((None, TIME, FEATURES), UNITS)
    fixed = [getattr(layer, name) for name in cls.STATES]
    assert layer.get_params(trainable=False) == fixed
    assert not set(fixed) & set(layer.parameters())
    layer = cls((None, TIME, FEATURES), UNITS, learn_init=True)
    learned = [getattr(layer, name) for name in cls.STATES]
    assert layer.get_params(trainable=False) == []
    assert set(learned) <= set(layer.get_params(regularizable=False))
    layer([torch.randn(BATCH, TIME, FEATURES)]).sum().backward()
    assert all(state.grad.shape == (1, UNITS) for state in learned)


def test_all_inputs_in_lasagnes_order():
    incoming, mask = InputLayer((None, None, FEATURES)), InputLayer((None, None))
    hid, cell = InputLayer((None, UNITS)), InputLayer((None, UNITS))
    layer = LSTMLayer(incoming, UNITS, mask_input=mask, hid_init=hid, cell_init=cell)
    assert layer.input_layers == [incoming, mask, hid, cell]
    indices = layer.mask_incoming_index, layer.hid_init_incoming_index
    assert (*indices, layer.cell_init_incoming_index) == (1, 2, 3)
    network = Network(layer)
    shapes = [(2, 3, FEATURES), (2, 3), (2, UNITS), (2, UNITS)]
    assert network(*(torch.zeros(shape) for shape in shapes)).shape == (2, 3, UNITS)


def test_gates():
    gate = Gate(W_cell=None, b=init.Constant(2), nonlinearity=None)
    assert gate.W_cell is None
    assert gate.nonlinearity is nonlinearities.identity
    layer = LSTMLayer((None, TIME, FEATURES), UNITS, cell=gate)
    assert (layer.b_cell == 2).all()
    assert layer.nonlinearity_cell is nonlinearities.identity
    assert layer.nonlinearity_ingate is nonlinearities.sigmoid
    layer = GRULayer((None, TIME, FEATURES), UNITS, resetgate=gate)
    assert (layer.b_resetgate == 2).all()
    assert layer.nonlinearity_hid is nonlinearities.tanh
    assert layer.nonlinearity_resetgate is nonlinearities.identity
