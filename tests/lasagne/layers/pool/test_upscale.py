"""Upscaling against NumPy's repetition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne.layers import Upscale1DLayer, Upscale2DLayer, Upscale3DLayer

LAYERS = {1: Upscale1DLayer, 2: Upscale2DLayer, 3: Upscale3DLayer}


@settings(deadline=None)
@given(st.data(), st.sampled_from([1, 2, 3]), st.sampled_from(["repeat", "dilate"]))
def test_by_hand(data, n, mode):
    shape = data.draw(st.tuples(*[st.integers(1, 5)] * (n + 2)))
    factors = data.draw(st.one_of(st.integers(1, 6), st.tuples(*[st.integers(1, 6)] * n)))
    x = torch.randn(shape, requires_grad=True)
    layer = LAYERS[n](shape, factors, mode)
    expected = x.detach().numpy()
    factors = (factors,) * n if isinstance(factors, int) else factors
    for axis, factor in enumerate(factors, 2):
        expected = expected.repeat(factor, axis)
        if mode == "dilate":
            places = np.arange(expected.shape[axis]) % factor == 0
            expected = expected * np.expand_dims(places, [i for i in range(n + 2) if i != axis])
    y = layer(x)
    assert layer.output_shape == y.shape
    np.testing.assert_array_equal(y.detach(), expected)
    y.sum().backward()
    copies = np.prod(factors) if mode == "repeat" else 1
    np.testing.assert_array_equal(x.grad, np.full(shape, copies))


@pytest.mark.parametrize("factor", [3, 47, 1000])
def test_large_factors_repeat_exactly(factor):
    x = torch.randn(1, 1, 97)
    assert torch.equal(Upscale1DLayer(x.shape, factor)(x), x.repeat_interleave(factor, 2))


def test_unknown_sizes_stay_unknown():
    assert Upscale2DLayer((None, 3, None, 4), (2, 3)).output_shape == (None, 3, None, 12)


@pytest.mark.parametrize("mode", ["repeat", "dilate"])
def test_gradients(mode):
    x = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Upscale2DLayer(x.shape, (2, 3), mode), x)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scale_factor": 0}, ValueError, "'u': scale_factor must be an integer of at least 1"),
        ({"scale_factor": 1.5}, TypeError, "scale_factor must be an integer .* got 1.5"),
        ({"scale_factor": (1, 2, 3)}, ValueError, r"tuple of 2, got \(1, 2, 3\)"),
        ({"mode": "zoom"}, ValueError, r"mode must be one of \('repeat', 'dilate'\), got 'zoom'"),
        ({"incoming": (1, 2, 3)}, ValueError, r"\(batch, channels, height, width\), got"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        Upscale2DLayer(**{"incoming": (None, 3, 9, 8), "scale_factor": 2, "name": "u"} | arguments)
