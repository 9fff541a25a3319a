"""Layers that change the shape: shapes, values against NumPy's, errors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lasagne.layers import (
    DimshuffleLayer,
    FlattenLayer,
    PadLayer,
    ReshapeLayer,
    SliceLayer,
    dimshuffle,
    flatten,
    pad,
    reshape,
)

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


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


@given(SHAPES, st.data())
def test_dimshuffle(shape, data):
    kept = [axis for axis, size in enumerate(shape) if size > 1 or data.draw(st.booleans())]
    pattern = data.draw(st.permutations([*kept, *["x"] * data.draw(st.integers(0, 2))]))
    x = torch.arange(math.prod(shape)).reshape(shape)
    layer = dimshuffle(shape, pattern)
    y = layer(x)
    dropped = tuple(axis for axis in range(len(shape)) if axis not in kept)
    order = [sorted(kept).index(item) for item in pattern if item != "x"]
    added = tuple(i for i, item in enumerate(pattern) if item == "x")
    assert y.shape == layer.output_shape
    expected = np.expand_dims(x.numpy().squeeze(dropped).transpose(order), added)
    np.testing.assert_array_equal(y, expected)
    assert y.data_ptr() == x.data_ptr()


def test_dimshuffle_unknown_sizes():
    layer = DimshuffleLayer((None, 3, None), (1, "x", 2))
    assert layer.output_shape == (3, 1, None)
    assert layer(torch.zeros(1, 3, 5)).shape == (3, 1, 5)
    with pytest.raises(ValueError, match=r"must be of size 1, got .* of shape \(2, 3, 5\)"):
        layer(torch.zeros(2, 3, 5))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ((0, 1, 3), r"'x' and axes of the input's shape \(2, 3, 1\), got \(0, 1, 3\)"),
        ((0, -1), r"'x' and axes of the input's shape .* got \(0, -1\)"),
        ((0, "y"), "'d': pattern must be made of 'x' and axes"),
        ((0, 1.5), "'d': pattern must be made of 'x' and axes"),
        ((0, 1, 1), r"must not repeat an axis, got \(0, 1, 1\)"),
        ((0, 2), r"leaves out must be of size 1, got \(0, 2\) for an input of shape \(2, 3, 1\)"),
    ],
)
def test_dimshuffle_errors(pattern, message):
    with pytest.raises(ValueError, match=message):
        DimshuffleLayer((2, 3, 1), pattern, name="d")


@given(SHAPES, st.data())
def test_pad(shape, data):
    batch_ndim = data.draw(st.integers(0, len(shape)))
    number = st.integers(0, 3)
    widths = st.lists(
        st.one_of(number, st.tuples(number, number)), max_size=len(shape) - batch_ndim
    )
    width = data.draw(st.one_of(number, widths))
    x = torch.arange(float(math.prod(shape))).reshape(shape)
    layer = pad(shape, width, val=-0.5, batch_ndim=batch_ndim)
    padded = len(shape) - batch_ndim
    pairs = [width] * padded if isinstance(width, int) else width + [0] * (padded - len(width))
    pairs = [(pair, pair) if isinstance(pair, int) else pair for pair in pairs]
    expected = np.pad(x, [(0, 0)] * batch_ndim + pairs, constant_values=-0.5)
    assert layer.output_shape == expected.shape
    np.testing.assert_array_equal(layer(x), expected)


def test_pad_unknown_sizes():
    layer = PadLayer((None, 3, None, 5), (1, (2, 0)))
    assert layer.output_shape == (None, 3, None, 7)
    assert layer(torch.zeros(2, 3, 4, 5)).shape == (2, 3, 6, 7)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"width": -1}, ValueError, "'p': width must be an integer of at least 0 .* got -1"),
        ({"width": 1.5}, TypeError, "width must be an integer of at least 0 .* got 1.5"),
        ({"width": [1, (1, 2, 3)]}, ValueError, r"or a tuple of 2, got \(1, 2, 3\)"),
        ({"width": [1, 1, 1]}, ValueError, r"at most 2 items .* batch_ndim=2, got \[1, 1, 1\]"),
        ({"batch_ndim": -1}, ValueError, "batch_ndim must be an integer of at least 0, got -1"),
    ],
)
def test_pad_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        PadLayer(**{"incoming": (None, 3, 4, 5), "width": 1, "name": "p"} | arguments)


@given(SHAPES, st.data())
def test_slice(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = shape[axis]
    indices = data.draw(st.one_of(st.integers(-size, size - 1), st.slices(size)))
    x = torch.arange(math.prod(shape)).reshape(shape)
    layer = SliceLayer(shape, indices, axis)
    expected = x.numpy()[(slice(None),) * (axis % len(shape)) + (indices,)]
    assert layer.output_shape == expected.shape
    np.testing.assert_array_equal(layer(x), expected)


@pytest.mark.parametrize("step", [None, 2, -1, -3])
@pytest.mark.parametrize("stop", [None, -10, -2, 0, 3, 10])
@pytest.mark.parametrize("start", [None, -10, -2, 0, 3, 10])
def test_slices_that_reach_past_the_ends(start, stop, step):
    x, part = torch.arange(5), slice(start, stop, step)
    assert SliceLayer((5,), part)(x).tolist() == x.tolist()[part]
    assert SliceLayer((5,), part).output_shape == (len(x.tolist()[part]),)


def test_slice_unknown_sizes():
    assert SliceLayer((None, 3, None), slice(None, 5)).output_shape == (None, 3, None)
    layer = SliceLayer((None, 3, None), -1)
    assert layer.output_shape == (None, 3)
    assert layer(torch.arange(24).reshape(2, 3, 4)).tolist() == [[3, 7, 11], [15, 19, 23]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"indices": "1"}, TypeError, "'s': indices must be an integer or a slice, got '1'"),
        ({"indices": 3}, ValueError, r"within axis 1 of the input's shape \(None, 3\), got 3"),
        ({"indices": -4}, ValueError, r"within axis 1 of the input's shape \(None, 3\), got -4"),
        ({"axis": 2}, ValueError, r"axis must be one of the input's shape \(None, 3\), got 2"),
        ({"axis": "0"}, TypeError, "axis must be an integer of at least -2, got '0'"),
    ],
)
def test_slice_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        SliceLayer(**{"incoming": (None, 3), "indices": 0, "name": "s"} | arguments)
