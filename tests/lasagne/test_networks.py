"""MIRdl's and theano_alexnet's networks against the originals' numbers."""

from typing import Any

import pytest
import torch

from lasagne.layers import (
    ConcatLayer,
    Conv2DLayer,
    DenseLayer,
    DropoutLayer,
    InputLayer,
    Layer,
    LocalResponseNormalization2DLayer,
    MaxPool2DLayer,
    get_all_params,
    get_output,
    set_all_param_values,
)
from lasagne.nonlinearities import softmax
from lasagne.updates import momentum, nesterov_momentum, sgd
from lasagne.weights import load_param_values
from tests.lasagne.golden_network import GoldenNetwork
from tests.lasagne.test_weights import write_theano_alexnet


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def net(incoming: Layer, filters: int, widths: list[int], rows: int) -> Layer:
    branches = [Conv2DLayer(incoming, filters, (1, width)) for width in widths]
    return ConcatLayer([MaxPool2DLayer(one, (rows, one.output_shape[3])) for one in branches])


def mirdl(name: str, spec: dict[str, Any], own_inputs: bool) -> Layer:
    kwargs, shape = spec["kwargs"], (None, *spec["input_shape"][1:])
    shared = InputLayer(shape)
    nets = [
        net(
            InputLayer(shape) if own_inputs else shared,
            kwargs[f"{kind}_filters"],
            kwargs[f"{kind}_widths"],
            kwargs["pool_rows"],
        )
        for kind in "op"
        if f"{kind.upper()}Net" in name
    ]
    layer = nets[0] if len(nets) == 1 else ConcatLayer(nets)
    return DenseLayer(DropoutLayer(layer), spec["num_classes"], nonlinearity=softmax)


@pytest.mark.parametrize("name", ["ONet", "PNet", "ONetPNet"])
def test_mirdl(name: str, dtype: torch.dtype):
    golden = GoldenNetwork(name)
    golden.set(mirdl(name, golden.spec, own_inputs=False), dtype)
    golden.check_layers_and_shapes()
    golden.check_outputs_loss_and_gradients()
    rule = nesterov_momentum(None, golden.params, 0.01, 0.9)
    golden.check_three_steps(rule, "nesterov")


def test_mirdl_with_an_input_layer_for_each_net(dtype: torch.dtype):
    golden = GoldenNetwork("ONetPNet")
    golden.set(mirdl("ONetPNet", golden.spec, own_inputs=True), dtype)
    golden.check_outputs_loss_and_gradients()


def alexnet(spec: dict[str, Any]) -> Layer:
    """The order of theano_alexnet's layers: convolution, rectifier, pool, normalization."""
    filters = [size // spec["kwargs"]["filter_divisor"] for size in (96, 256, 384, 384, 256)]
    layer: Layer = InputLayer((None, *spec["input_shape"][1:]))
    layer = Conv2DLayer(layer, filters[0], 11, stride=4)
    layer = LocalResponseNormalization2DLayer(MaxPool2DLayer(layer, 3, stride=2))
    layer = Conv2DLayer(layer, filters[1], 5, pad=2, num_groups=2)
    layer = LocalResponseNormalization2DLayer(MaxPool2DLayer(layer, 3, stride=2))
    layer = Conv2DLayer(layer, filters[2], 3, pad=1)
    layer = Conv2DLayer(layer, filters[3], 3, pad=1, num_groups=2)
    layer = Conv2DLayer(layer, filters[4], 3, pad=1, num_groups=2)
    layer = MaxPool2DLayer(layer, 3, stride=2)
    for _ in range(2):
        layer = DropoutLayer(DenseLayer(layer, spec["kwargs"]["fc_units"]), rescale=False)
    return DenseLayer(layer, spec["num_classes"], nonlinearity=softmax)


@pytest.mark.parametrize("trajectory", ["momentum", "nesterov", "none"])
def test_theano_alexnet(trajectory: str, dtype: torch.dtype):
    """Biases at twice the rate, weight decay of weights only, and its own Nesterov momentum."""
    golden = GoldenNetwork("theano_alexnet")
    golden.set(alexnet(golden.spec), dtype)
    golden.check_layers_and_shapes()
    golden.check_outputs_loss_and_gradients()
    numbers = golden.spec["kwargs"]
    rate, mu = numbers["learning_rate"], numbers["momentum"]
    weights = get_all_params(golden.output, trainable=True, regularizable=True)
    biases = get_all_params(golden.output, trainable=True, regularizable=False)
    groups = [
        {"params": weights, "weight_decay": numbers["weight_decay"]},
        {"params": biases, "rate_multiplier": 2},
    ]
    rule = {
        "momentum": lambda: momentum(None, groups, rate, mu),
        "nesterov": lambda: momentum(None, groups, (1 + mu) * rate, mu**2),
        "none": lambda: sgd(None, groups, rate),
    }[trajectory]()
    golden.check_three_steps(rule, trajectory)


def test_theano_alexnets_files(tmp_path):
    """Its weights, as it stored them, give its outputs."""
    golden = GoldenNetwork("theano_alexnet")
    params = [golden.golden[f"p{i}"] for i in range(16)]
    write_theano_alexnet(tmp_path, params, epoch=65)
    network = alexnet(golden.spec)
    set_all_param_values(network, load_param_values(tmp_path))
    x = golden.golden["x"][0]
    y = get_output(network, x, deterministic=True)
    torch.testing.assert_close(
        y.double(), torch.tensor(golden.golden["softmax"]), rtol=1e-5, atol=1e-6
    )


def test_theano_alexnets_dropout(tmp_path):
    """Its activations were halved in testing: as the guide says, the weights above are, here."""
    golden = GoldenNetwork("theano_alexnet")
    values = [golden.golden[f"p{i}"] for i in range(16)]
    network = alexnet(golden.spec)
    x = torch.tensor(golden.golden["x"][0])
    set_all_param_values(network, values)
    first_dense = network.input_layer.input_layer.input_layer.input_layer
    hidden = get_output(first_dense, x, deterministic=True)
    for i in (12, 14):
        hidden = 0.5 * hidden @ torch.tensor(values[i]) + torch.tensor(values[i + 1])
        hidden = torch.relu(hidden) if i == 12 else torch.softmax(hidden, 1)
        values[i] = values[i] / 2
    set_all_param_values(network, values)
    torch.testing.assert_close(get_output(network, x, deterministic=True), hidden)
