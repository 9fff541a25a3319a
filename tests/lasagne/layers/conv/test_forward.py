"""Convolutions against sums over windows cut out one by one; precisions and errors."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne import init, nonlinearities
from lasagne.layers import Conv1DLayer, Conv2DLayer, Conv3DLayer, InputLayer

LAYERS = {1: Conv1DLayer, 2: Conv2DLayer, 3: Conv3DLayer}


def convolve_by_hand(x, weights, stride, pad, groups=1, flip=True):
    """Return the convolution of `x`, an array, with `pad` zeros on either side of each axis."""
    n = weights.ndim - 2
    if flip:
        weights = np.flip(weights, tuple(range(2, n + 2)))
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    axes = zip(x.shape[2:], weights.shape[2:], stride, strict=True)
    starts = [range(0, length - size + 1, step) for length, size, step in axes]
    y = np.zeros((len(x), len(weights), *map(len, starts)))
    for place in itertools.product(*(range(len(axis)) for axis in starts)):
        window = tuple(
            slice(axis[i], axis[i] + size)
            for axis, i, size in zip(starts, place, weights.shape[2:], strict=True)
        )
        parts = zip(np.split(x[:, :, *window], groups, 1), np.split(weights, groups), strict=True)
        products = [np.tensordot(part, w, (range(1, n + 2),) * 2) for part, w in parts]
        y[:, :, *place] = np.concatenate(products, 1)
    return y


@st.composite
def convolutions(draw):
    """Draw a convolution whose output is not empty, and its input's shape."""
    n = draw(st.sampled_from([1, 2, 3]))
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
    sizes = [draw(st.integers(max(1, f - 2 * z), 7)) for f, z in zip(filters, zeros, strict=True)]
    kwargs = {
        "num_filters": groups * draw(st.integers(1, 3)),
        "filter_size": filters,
        "stride": draw(st.tuples(*[st.integers(1, 4)] * n)),
        "pad": pad,
        "num_groups": groups,
        "untie_biases": draw(st.booleans()),
        "flip_filters": draw(st.booleans()),
    }
    return n, (2, groups * draw(st.integers(1, 2)), *sizes), kwargs


@settings(deadline=None, max_examples=150)
@given(convolutions(), st.integers(0, 99))
def test_convolution_by_hand(case, seed):
    n, shape, kwargs = case
    filters, pad = kwargs["filter_size"], kwargs["pad"]
    layer = LAYERS[n](
        InputLayer(shape), nonlinearity=None, b=init.Normal(1), W=init.Normal(1), **kwargs
    )
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    zeros = {"valid": [0] * n, "same": [f // 2 for f in filters], "full": [f - 1 for f in filters]}
    pad = zeros[pad] if isinstance(pad, str) else pad
    pad = (pad,) * n if isinstance(pad, int) else pad
    expected = convolve_by_hand(
        x,
        layer.W.detach().numpy(),
        kwargs["stride"],
        pad,
        kwargs["num_groups"],
        kwargs["flip_filters"],
    )
    biases = layer.b if kwargs["untie_biases"] else layer.b.view(-1, *[1] * n)
    expected += biases.detach().numpy()
    assert layer.output_shape == expected.shape
    np.testing.assert_allclose(layer(torch.tensor(x)).detach(), expected, atol=1e-4)


def test_unknown_sizes_stay_unknown():
    layer = Conv2DLayer((None, 3, None, 10), 4, 3, pad="same", stride=(1, 2))
    assert layer.output_shape == (None, 4, None, 5)


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


def test_three_axes_by_default_with_pytorchs_convolution():
    assert Conv3DLayer((1, 1, 4, 4, 4), 1, 3).convolution is torch.nn.functional.conv3d


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
