"""Dense layers: shapes, gradients, errors; the numbers are in test_golden."""

import pytest
import torch

from lasagne import init, nonlinearities
from lasagne.layers import DenseLayer, NINLayer


@pytest.mark.parametrize(
    ("shape", "leading", "expected"),
    [
        ((None, 4), 1, (None, 5)),
        ((None, 4, 3), 1, (None, 5)),
        ((2, 4, 3), 2, (2, 4, 5)),
        ((None, 4, 3), -1, (None, 4, 5)),
        ((4, 3), 0, (5,)),
    ],
)
def test_declared_shape_is_the_real_one(shape, leading, expected):
    layer = DenseLayer(shape, 5, num_leading_axes=leading)
    assert layer.output_shape == expected
    x = torch.zeros([6 if size is None else size for size in shape])
    assert layer(x).shape == tuple(6 if size is None else size for size in expected)


@pytest.mark.parametrize("shape", [(3, 4), (3, 2, 4)])
def test_gradients(shape):
    layer = DenseLayer(shape, 5, num_leading_axes=-1, nonlinearity=nonlinearities.tanh).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def output(x, w, b):
        return torch.func.functional_call(layer, {"W": w, "b": b}, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.W, layer.b))


def test_channels_last_input_is_flattened_in_logical_order():
    x = torch.randn(2, 3, 4, 5)
    layer = DenseLayer(x.shape, 6)
    torch.testing.assert_close(layer(x.contiguous(memory_format=torch.channels_last)), layer(x))


def test_bfloat16():
    layer = DenseLayer((4, 8), 3)
    x = torch.randn(4, 8)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), layer(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_units": 0}, ValueError, "'d': num_units must be an integer of at least 1, got 0"),
        ({"num_units": "3"}, TypeError, "num_units must be an integer of at least 1, got '3'"),
        ({"num_leading_axes": 2}, ValueError, "must leave an axis of the input to multiply, got 2"),
        (
            {"num_leading_axes": -3},
            ValueError,
            "num_leading_axes must be an integer of at least -2",
        ),
        ({"nonlinearity": 3}, TypeError, "nonlinearity must be callable or None, got 3"),
        ({"incoming": (3, None)}, ValueError, r"sizes are known .* got \(3, None\)"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        DenseLayer(**{"incoming": (None, 4), "num_units": 3, "name": "d"} | arguments)


@pytest.mark.parametrize("untie_biases", [False, True])
@pytest.mark.parametrize(
    "shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 1, 2), (2, 3, 1, 2, 2, 3)]
)
def test_network_in_network_by_hand(shape, untie_biases):
    layer = NINLayer(shape, 6, untie_biases, b=init.Normal(1), nonlinearity=nonlinearities.tanh)
    x = torch.randn(shape)
    assert layer.W.shape == (3, 6)
    assert layer.b.shape == (6, *(shape[2:] if untie_biases else ()))
    expected = torch.einsum("bc...,cu->bu...", x, layer.W)
    biases = layer.b if untie_biases else layer.b.view(6, *[1] * (len(shape) - 2))
    assert layer.output_shape == layer(x).shape
    torch.testing.assert_close(layer(x), torch.tanh(expected + biases))


def test_network_in_network_unknown_sizes_and_no_biases():
    layer = NINLayer((None, 3, None, 5), 6, b=None)
    assert layer.output_shape == (None, 6, None, 5)
    assert layer(torch.zeros(2, 3, 4, 5)).shape == (2, 6, 4, 5)
    assert layer.get_params() == [layer.W]
    x = torch.randn(2, 3, 4, 5)
    channels_last = layer(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(channels_last, layer(x))


@pytest.mark.parametrize("untie_biases", [False, True])
def test_network_in_network_gradients(untie_biases):
    layer = NINLayer((2, 3, 2, 2), 4, untie_biases, nonlinearity=nonlinearities.tanh).double()
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)

    def output(x, w, b):
        return torch.func.functional_call(layer, {"W": w, "b": b}, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.W, layer.b))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_units": 0}, ValueError, "'n': num_units must be an integer of at least 1, got 0"),
        ({"incoming": (2, None, 4)}, ValueError, r"with known channels, got \(2, None, 4\)"),
        ({"incoming": (2,)}, ValueError, r"\(batch, channels, ...\) with known .* got \(2,\)"),
        ({"untie_biases": True}, ValueError, r"needs an input whose sizes are known, got"),
        ({"nonlinearity": 3}, TypeError, "nonlinearity must be callable or None, got 3"),
    ],
)
def test_network_in_network_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        NINLayer(**{"incoming": (2, 3, None), "num_units": 4, "name": "n"} | arguments)
