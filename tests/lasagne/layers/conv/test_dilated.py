"""Dilated convolutions are correlations with zeros between the filters' weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne import init, nonlinearities
from lasagne.layers import Conv2DLayer, DilatedConv2DLayer

PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(deadline=None)
@given(PAIR, PAIR, st.tuples(st.integers(7, 10), st.integers(7, 10)), st.booleans())
def test_equals_a_convolution_with_zeros_put_in(filters, dilation, sizes, untie_biases):
    shape = (2, 3, *sizes)
    kwargs = {"b": init.Normal(1), "untie_biases": untie_biases}
    layer = DilatedConv2DLayer(shape, 4, filters, dilation, **kwargs)
    spans = [(f - 1) * d + 1 for f, d in zip(filters, dilation, strict=True)]
    spread = torch.zeros(4, 3, *spans)
    spread[:, :, :: dilation[0], :: dilation[1]] = layer.W.detach().transpose(0, 1)
    kwargs["b"] = layer.b
    expected = Conv2DLayer(shape, 4, spans, W=spread, flip_filters=False, **kwargs)
    x = torch.randn(shape)
    assert layer(x).shape == layer.output_shape
    torch.testing.assert_close(layer(x), expected(x))


def test_shapes():
    layer = DilatedConv2DLayer((None, 3, None, 9), 4, 3, dilation=2, pad="valid", num_groups=1)
    assert layer.output_shape == (None, 4, None, 5)
    assert layer.W.shape == (3, 4, 3, 3)


def test_gradients():
    layer = DilatedConv2DLayer(
        (2, 2, 5, 4), 3, 2, (3, 2), nonlinearity=nonlinearities.tanh
    ).double()
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)

    def output(x, w, b):
        return torch.func.functional_call(layer, {"W": w, "b": b}, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.W, layer.b))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pad": 1}, NotImplementedError, r"'d': pad must be 0 or 'valid', got \(1, 1\); a PadLay"),
        ({"pad": "same"}, NotImplementedError, "pad must be 0 or 'valid', got 'same'"),
        ({"flip_filters": True}, NotImplementedError, "flip_filters must be False, got True"),
        ({"dilation": 0}, ValueError, "'d': dilation must be an integer of at least 1 .* got 0"),
        ({"dilation": 1.5}, TypeError, "dilation must be an integer .* got 1.5"),
        ({"dilation": 4}, ValueError, "'d': .* size 8 with 0 zeros .* than a filter of size 9"),
    ],
)
def test_errors(arguments, error, message):
    given = {"incoming": (None, 3, 9, 8), "num_filters": 4, "filter_size": 3, "name": "d"}
    with pytest.raises(error, match=message):
        DilatedConv2DLayer(**given | arguments)
