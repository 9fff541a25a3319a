"""Flattening and reshaping: shapes and errors; the values are in test_golden."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lasagne.layers import FlattenLayer, ReshapeLayer, flatten, reshape


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_flatten(shape, data):
    outdim = data.draw(st.integers(1, len(shape)))
    x = torch.arange(math.prod(shape)).reshape(shape)
    layer = flatten(tuple(shape), outdim)
    y = layer(x)
    assert y.shape == layer.output_shape
    assert y.ndim == outdim
    assert torch.equal(y.flatten(), x.flatten())


def test_flatten_unknown_sizes():
    assert FlattenLayer((None, 3, 4)).output_shape == (None, 12)
    assert FlattenLayer((2, 3, None)).output_shape == (2, None)


def test_flatten_errors():
    with pytest.raises(ValueError, match="outdim must be an integer of at least 1, got 0"):
        FlattenLayer((2, 3), 0)
    with pytest.raises(ValueError, match=r"at most the number of axes .* \(2, 3\), got 3"):
        FlattenLayer((2, 3), 3)


@pytest.mark.parametrize(
    ("input_shape", "shape", "expected"),
    [
        ((16, 10), (2, 8, 10), (2, 8, 10)),
        ((16, 10), (-1,), (160,)),
        ((None, 10), ([0], 5, -1), (None, 5, 2)),
        ((None, 10), (-1, 5), (None, 5)),
        ((None, 3, 10), ([1], [0], -1), (3, None, 10)),
        ((None, None, 10), ([1], [0], -1), (None, None, 10)),
        ((None, 10), ([0], [0], -1), (None, None, None)),
    ],
)
def test_reshape(input_shape, shape, expected):
    assert ReshapeLayer(input_shape, shape).output_shape == expected


def test_reshape_resolves_references_at_run_time():
    assert reshape((None, 6), ([0], 2, -1))(torch.zeros(5, 6)).shape == (5, 2, 3)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((0, 5), r"positive integers, -1 and references .* got \(0, 5\)"),
        ((-2, 5), "positive integers, -1 and references"),
        (("x", 5), "positive integers, -1 and references"),
        (([0, 1], 5), "positive integers, -1 and references"),
        ((-1, -1), "more than one -1"),
        (([2], 5), "refers to an axis which an input of shape .* does not have"),
        ((4, 5), r"an input of shape \(2, 6\) cannot have the shape \(4, 5\): their sizes differ"),
        ((5, -1), "their sizes differ"),
    ],
)
def test_reshape_errors(shape, message):
    with pytest.raises(ValueError, match=message):
        ReshapeLayer((2, 6), shape)
