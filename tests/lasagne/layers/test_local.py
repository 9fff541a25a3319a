"""Locally connected layers against loops over positions; the golden numbers add to this."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne import init, nonlinearities
from lasagne.layers import Conv2DLayer, LocallyConnected2DLayer


def local_by_hand(x, layer):
    """Return for every position the sum over the window around it, times its own weights."""
    (height, width), (rows, columns) = x.shape[2:], layer.filter_size
    padded = torch.nn.functional.pad(x, (columns // 2,) * 2 + (rows // 2,) * 2)
    y = torch.zeros(len(x), layer.num_filters, height, width)
    for row, column in itertools.product(range(height), range(width)):
        window = padded[:, :, row : row + rows, column : column + columns]
        weights = layer.W[..., row, column]
        weights = weights.flip(-1, -2) if layer.flip_filters else weights
        equation = "bcij,cij->bc" if layer.channelwise else "bcij,fcij->bf"
        y[:, :, row, column] = torch.einsum(equation, window, weights)
    return y


@settings(deadline=None)
@given(
    st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 5)] * 2),
    st.tuples(*[st.sampled_from([1, 3, 5])] * 2),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_by_hand(shape, filter_size, channelwise, flip_filters, untie_biases):
    layer = LocallyConnected2DLayer(
        shape,
        shape[1] if channelwise else 2,
        filter_size,
        channelwise=channelwise,
        flip_filters=flip_filters,
        untie_biases=untie_biases,
        W=init.Normal(1),
        b=init.Constant(0.5),
        nonlinearity=None,
    )
    x = torch.randn(shape)
    assert layer(x).shape == layer.output_shape
    torch.testing.assert_close(layer(x), local_by_hand(x, layer) + 0.5)


def test_equal_weights_everywhere_make_a_convolution():
    conv = Conv2DLayer((None, 3, 6, 5), 4, (3, 5), pad="same", W=init.Normal(1))
    weights = conv.W.detach()[..., None, None].expand(-1, -1, -1, -1, 6, 5)
    layer = LocallyConnected2DLayer((None, 3, 6, 5), 4, (3, 5), W=weights.clone())
    x = torch.randn(2, 3, 6, 5)
    assert layer.W.shape == (4, 3, 3, 5, 6, 5)
    assert layer.output_shape == (None, 4, 6, 5)
    torch.testing.assert_close(layer(x), conv(x))


@pytest.mark.parametrize("channelwise", [False, True])
def test_gradients(channelwise):
    layer = LocallyConnected2DLayer(
        (2, 2, 3, 2), 2, 3, channelwise=channelwise, nonlinearity=nonlinearities.tanh
    ).double()
    x = torch.randn(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)

    def output(x, w, b):
        return torch.func.functional_call(layer, {"W": w, "b": b}, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.W, layer.b))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"stride": 2}, NotImplementedError, r"'l': stride must be 1, got \(2, 2\)"),
        ({"pad": 1}, NotImplementedError, r"pad must be 'same', got \(1, 1\)"),
        ({"pad": "full"}, NotImplementedError, "pad must be 'same', got 'full'"),
        ({"filter_size": 2}, ValueError, "pad='same' needs a filter_size that is odd"),
        ({"incoming": (1, 3, None, 8)}, ValueError, r"known but for the batch's, got \(1, 3, None"),
        (
            {"channelwise": True},
            ValueError,
            "must be the number of channels, 3, for channelwise=True, got 4",
        ),
    ],
)
def test_errors(arguments, error, message):
    given = {"incoming": (None, 3, 9, 8), "num_filters": 4, "filter_size": 3, "name": "l"}
    with pytest.raises(error, match=message):
        LocallyConnected2DLayer(**given | arguments)
