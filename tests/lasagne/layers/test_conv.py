"""Convolutions: shapes, gradients, precisions and errors; the numbers are in test_golden."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne import nonlinearities
from lasagne.layers import Conv1DLayer, Conv2DLayer, InputLayer
from lasagne.layers.conv import conv_output_length


@st.composite
def convolutions(draw):
    """Draw a convolution whose output is not empty, and its input's shape."""
    n = draw(st.sampled_from([1, 2]))
    groups = draw(st.integers(1, 2))
    filters = draw(st.tuples(*[st.integers(1, 5)] * n))
    pads = [
        st.sampled_from(["valid", "full"]),
        st.integers(0, 3),
        st.tuples(*[st.integers(0, 3)] * n),
    ]
    if all(size % 2 for size in filters):
        pads.append(st.just("same"))
    pad = draw(st.one_of(pads))
    zeros = {"valid": 0, "same": 0, "full": 0}.get(pad, pad) if isinstance(pad, str) else pad
    zeros = zeros if isinstance(zeros, tuple) else (zeros,) * n
    sizes = [draw(st.integers(max(1, f - 2 * z), 9)) for f, z in zip(filters, zeros, strict=True)]
    kwargs = {
        "num_filters": groups * draw(st.integers(1, 3)),
        "filter_size": filters,
        "stride": draw(st.one_of(st.integers(1, 4), st.tuples(*[st.integers(1, 4)] * n))),
        "pad": pad,
        "num_groups": groups,
        "untie_biases": draw(st.booleans()),
        "flip_filters": draw(st.booleans()),
    }
    return [Conv1DLayer, Conv2DLayer][n - 1], (2, groups * draw(st.integers(1, 2)), *sizes), kwargs


@settings(deadline=None, max_examples=100)
@given(convolutions())
def test_declared_shape_is_the_real_one(case):
    cls, shape, kwargs = case
    layer = cls(InputLayer(shape), **kwargs)
    assert layer(torch.zeros(shape)).shape == layer.output_shape


def test_unknown_sizes_stay_unknown():
    layer = Conv2DLayer((None, 3, None, 10), 4, 3, pad="same", stride=(1, 2))
    assert layer.output_shape == (None, 4, None, 5)


@pytest.mark.parametrize(
    ("arguments", "length"),
    [((9, 4, 1, 0), 6), ((9, 4, 2, "full"), 6), ((9, 5, 2, "same"), 5), ((9, 9, 3, "valid"), 1)],
)
def test_conv_output_length(arguments, length):
    assert conv_output_length(*arguments) == length
    assert conv_output_length(None, *arguments[1:]) is None


@pytest.mark.parametrize("kwargs", [{}, {"num_groups": 2, "stride": 2}, {"untie_biases": True}])
def test_gradients(kwargs):
    layer = Conv2DLayer(
        (2, 2, 5, 4), 4, (3, 2), pad=1, nonlinearity=nonlinearities.tanh, **kwargs
    ).double()
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)

    def output(x, w, b):
        return torch.func.functional_call(layer, {"W": w, "b": b}, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.W, layer.b))


def test_convolution_is_flipped():
    """A filter of numbers slides mirrored: the impulse response is the filter itself."""
    weights = torch.arange(9.0).reshape(1, 1, 3, 3)
    impulse = torch.zeros(1, 1, 5, 5)
    impulse[0, 0, 2, 2] = 1
    layer = Conv2DLayer((1, 1, 5, 5), 1, 3, W=weights, nonlinearity=None)
    assert torch.equal(layer(impulse), torch.nn.functional.pad(weights, (0,) * 4)[..., :3, :3])
    mirrored = Conv2DLayer((1, 1, 5, 5), 1, 3, W=weights, nonlinearity=None, flip_filters=False)
    assert torch.equal(mirrored(impulse), weights.flip(2, 3))


def test_channels_last_and_bfloat16():
    layer = Conv2DLayer((4, 3, 9, 8), 5, 3, pad="same")
    x = torch.randn(4, 3, 9, 8)
    expected = layer(x)
    result = layer(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(result, expected)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.05)


def test_another_convolution():
    def convolution(*args, **kwargs):
        return 2 * torch.nn.functional.conv1d(*args, **kwargs)

    layer = Conv1DLayer((1, 1, 4), 1, 1, W=torch.ones(1, 1, 1), convolution=convolution)
    assert layer(torch.ones(1, 1, 4)).tolist() == [[[2, 2, 2, 2]]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"num_filters": 0},
            ValueError,
            "'c': num_filters must be an integer of at least 1, got 0",
        ),
        ({"num_filters": 2.5}, TypeError, "num_filters must be an integer .* got 2.5"),
        (
            {"filter_size": (3, 3, 3)},
            ValueError,
            r"filter_size must be .*tuple of 2, got \(3, 3, 3\)",
        ),
        ({"filter_size": "33"}, TypeError, "filter_size must be an integer .* got '33'"),
        ({"stride": 0}, ValueError, "stride must be an integer of at least 1 .* got 0"),
        ({"pad": -1}, ValueError, "pad must be an integer of at least 0 .* got -1"),
        ({"pad": "some"}, ValueError, "pad must be 'full', 'same', 'valid', .* got 'some'"),
        (
            {"filter_size": 2, "pad": "same"},
            ValueError,
            r"needs a filter_size that is odd, got \(2, 2\)",
        ),
        (
            {"num_groups": 2},
            ValueError,
            "num_groups must divide the 3 input channels and the 4 filt",
        ),
        ({"nonlinearity": "tanh"}, TypeError, "nonlinearity must be callable or None, got 'tanh'"),
        ({"filter_size": (3, 12)}, ValueError, "size 8 with 0 zeros .* than a filter of size 12"),
        (
            {"incoming": (None, 9, 8)},
            ValueError,
            r"\(batch, channels, height, width\), got \(None, 9",
        ),
        ({"incoming": (None, None, 9, 8)}, ValueError, "known channels"),
        ({"incoming": (1, 3, None, 8), "untie_biases": True}, ValueError, "sizes are known"),
    ],
)
def test_errors(arguments, error, message):
    given = {"incoming": (None, 3, 9, 8), "num_filters": 4, "filter_size": 3, "name": "c"}
    with pytest.raises(error, match=message):
        Conv2DLayer(**given | arguments)
