"""Dense layers: shapes, gradients, errors; the numbers are in test_golden."""

import pytest
import torch

from lasagne import nonlinearities
from lasagne.layers import DenseLayer, NonlinearityLayer


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


def test_nonlinearity_layer():
    x = torch.tensor([[-1.0, 2.0]])
    assert NonlinearityLayer(x.shape)(x).tolist() == [[0, 2]]
    assert NonlinearityLayer(x.shape, None)(x) is x
    with pytest.raises(TypeError, match="nonlinearity must be callable or None, got 'relu'"):
        NonlinearityLayer(x.shape, "relu")
