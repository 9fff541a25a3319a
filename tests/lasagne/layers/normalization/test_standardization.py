"""Standardisation of each instance: the formula, names of axes, gradients, errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne.layers import StandardizationLayer

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.data())
def test_any_axes_against_the_formula(shape, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1).map(tuple))
    x = np.random.default_rng(0).normal(size=shape)
    layer = StandardizationLayer(shape, axes=axes, epsilon=0.01)
    assert layer.output_shape == shape
    deviation = np.sqrt(x.var(axis=axes, keepdims=True) + 0.01)
    expected = (x - x.mean(axis=axes, keepdims=True)) / deviation
    np.testing.assert_allclose(layer(torch.from_numpy(x)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("ndim", "axes", "expected"),
    [
        (2, "auto", (1,)),
        (4, "auto", (2, 3)),
        (4, "spatial", (2, 3)),
        (4, "features", (1, 2, 3)),
        (4, -1, (3,)),
    ],
)
def test_names_of_axes(ndim, axes, expected):
    assert StandardizationLayer((None, 3, 4, 5)[:ndim], axes=axes).axes == expected


@pytest.mark.parametrize("axes", ["spatial", "features", 1])
def test_gradients(axes):
    layer = StandardizationLayer((2, 3, 4), axes=axes)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("spatial", r"'s' needs at least one axis .* got axes='spatial' for .* \(2, 3\)"),
        ("all", "axes must be 'spatial', 'features', 'auto' or axes of .*, got 'all'"),
        (2, r"axes must be .* axes of an input of shape \(2, 3\), got 2"),
    ],
)
def test_errors(axes, message):
    with pytest.raises(ValueError, match=message):
        StandardizationLayer((2, 3), axes=axes, name="s")
