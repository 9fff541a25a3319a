"""Merging and cropping: shapes, values by hand, errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne.layers import (
    ConcatLayer,
    ElemwiseMergeLayer,
    ElemwiseSumLayer,
    InputLayer,
    autocrop,
    autocrop_array_shapes,
    concat,
    get_output,
)

MODES = [None, "lower", "center", "upper"]


def part(mode, length, size):
    start = {"lower": 0, "center": (length - size) // 2, "upper": length - size}[mode]
    return slice(start, start + size)


def crop_by_hand(arrays, cropping):
    cropped = []
    for array in arrays:
        for axis, mode in enumerate(cropping):
            if mode is not None:
                size = min(other.shape[axis] for other in arrays)
                index = part(mode, array.shape[axis], size)
                array = array[(slice(None),) * axis + (index,)]
        cropped.append(array)
    return cropped


@st.composite
def croppings(draw):
    """Draw what to crop, and shapes that are the same where nothing is cropped."""
    cropping = draw(st.lists(st.sampled_from(MODES), min_size=1, max_size=4))
    common = draw(st.tuples(*[st.integers(1, 5)] * 4))
    shapes = [
        tuple(
            common[axis] if mode is None else draw(st.integers(1, 5))
            for axis, mode in enumerate(cropping + [None] * (4 - len(cropping)))
        )
        for _ in range(draw(st.integers(1, 3)))
    ]
    return cropping, shapes


@settings(deadline=None)
@given(croppings())
def test_autocrop_by_hand(case):
    cropping, shapes = case
    arrays = [np.random.default_rng(0).normal(size=shape) for shape in shapes]
    expected = crop_by_hand(arrays, cropping)
    cropped = autocrop([torch.tensor(array) for array in arrays], cropping)
    assert autocrop_array_shapes(shapes, cropping) == [array.shape for array in expected]
    for actual, wanted in zip(cropped, expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


@settings(deadline=None)
@given(croppings(), st.integers(0, 3), st.data())
def test_concat(case, axis, data):
    cropping, shapes = case
    shapes = [list(shape) for shape in shapes]
    for shape in shapes:
        shape[axis] = data.draw(st.integers(1, 4))
    arrays = [np.random.default_rng(0).normal(size=shape) for shape in shapes]
    layer = ConcatLayer([tuple(shape) for shape in shapes], axis - 4, cropping)
    own = [None if i == axis else mode for i, mode in enumerate(cropping)]
    expected = np.concatenate(crop_by_hand(arrays, own), axis)
    assert layer.output_shape == expected.shape
    np.testing.assert_array_equal(layer([torch.tensor(array) for array in arrays]), expected)


@settings(deadline=None)
@given(croppings(), st.data())
def test_elementwise(case, data):
    cropping, shapes = case
    arrays = [np.random.default_rng(i).normal(size=shape) for i, shape in enumerate(shapes)]
    inputs = [torch.tensor(array) for array in arrays]
    cropped = crop_by_hand(arrays, cropping)
    layer = ElemwiseMergeLayer(shapes, torch.maximum, cropping)
    assert layer.output_shape == cropped[0].shape
    np.testing.assert_array_equal(layer(inputs), np.maximum.reduce(cropped))
    coeffs = [data.draw(st.sampled_from([1, 2, -0.5, np.float32(0.25)])) for _ in arrays]
    layer = ElemwiseSumLayer(shapes, coeffs, cropping)
    assert layer.output_shape == cropped[0].shape
    weighted = sum(array * coeff for array, coeff in zip(cropped, coeffs, strict=True))
    np.testing.assert_allclose(layer(inputs), weighted, atol=1e-12)


def test_one_coefficient_is_for_all():
    x = torch.tensor([[1.0, 2.0]])
    assert ElemwiseSumLayer([x.shape] * 3, 0.5)([x, x, x]).tolist() == [[1.5, 3]]
    assert ElemwiseSumLayer([x.shape] * 3, coeffs=(1, 1, 2))([x, x, x]).tolist() == [[4, 8]]
    assert ElemwiseSumLayer([x.shape])([x]) is x


def test_in_a_graph():
    left, right = InputLayer((None, 2)), InputLayer((None, 3))
    x = {left: torch.ones(4, 2), right: torch.zeros(4, 3)}
    assert get_output(concat([left, right]), x).tolist() == [[1, 1, 0, 0, 0]] * 4


@pytest.mark.parametrize(
    ("shapes", "cropping", "expected"),
    [
        ([(None, 3), (2, 4)], None, [(None, 3), (2, 4)]),
        ([(None, 3), (2, 4)], [None, "lower"], [(None, 3), (2, 3)]),
        ([(None, 3), (2, 4)], ["lower"], [(None, 3), (None, 4)]),
    ],
)
def test_cropping_unknown_sizes(shapes, cropping, expected):
    assert autocrop_array_shapes(shapes, cropping) == expected


def test_unknown_sizes_are_filled_in_from_other_inputs():
    shapes = [(None, 3, None), (2, 3, None)]
    assert ElemwiseSumLayer(shapes).output_shape == (2, 3, None)
    assert ConcatLayer(shapes).output_shape == (2, 6, None)
    assert ConcatLayer([(None, 3, 4), (2, None, 4)]).output_shape == (2, None, 4)
    assert concat is ConcatLayer


def test_cropping_unknown_sizes_at_run_time():
    layer = ElemwiseSumLayer([(1, None), (1, 3)], cropping=[None, "upper"])
    assert layer.output_shape == (1, None)
    assert layer([torch.arange(4.0)[None], torch.zeros(1, 3)]).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("shapes", "cropping", "message"),
    [
        ([(1, 2), (1, 2, 3)], ["lower"], r"as many axes as each other, .* got shapes \[\(1, 2\), "),
        ([(1, 2)], ["lower"] * 3, r"at least as many as cropping \['lower', 'lower', 'lower'\]"),
        ([(1, 2)], ["bad"], r"None, 'lower', 'center' and 'upper', got \['bad'\]"),
    ],
)
def test_cropping_errors(shapes, cropping, message):
    with pytest.raises(ValueError, match=message):
        autocrop_array_shapes(shapes, cropping)
    with pytest.raises(ValueError, match=message):
        autocrop([torch.zeros(shape) for shape in shapes], cropping)
    with pytest.raises(ValueError, match=f"'m': .*{message}"):
        ElemwiseSumLayer(shapes, cropping=cropping, name="m")


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: ConcatLayer([], name="m"), ValueError, "'m' needs at least one input"),
        (
            lambda: ConcatLayer([(1, 2, 3), (1, 2, 4)]),
            ValueError,
            r"of the same shape but for axis 1, got \[\(1, 2, 3\), \(1, 2, 4\)\]",
        ),
        (lambda: ConcatLayer([(1, 2), (1, 2, 3)]), ValueError, "same shape but for axis 1, got"),
        (
            lambda: ConcatLayer([(1, 2), (1, 2)], 2),
            ValueError,
            r"axis must be one of the input's shape \(1, 2\), got 2",
        ),
        (lambda: ConcatLayer([(1, 2)], 1.5), TypeError, "axis must be an integer .* got 1.5"),
        (
            lambda: ElemwiseMergeLayer([(1, 2), (1, 1)], torch.add),
            ValueError,
            r"of the same shape, got \[\(1, 2\), \(1, 1\)\]",
        ),
        (
            lambda: ElemwiseMergeLayer([(1, 2)], "add", name="m"),
            TypeError,
            "'m': merge_function must be callable, got 'add'",
        ),
        (
            lambda: ElemwiseSumLayer([(1, 2)] * 3, [1, 2], name="m"),
            ValueError,
            r"'m': coeffs must be .* each of the 3 inputs, got \[1, 2\]",
        ),
    ],
)
def test_errors(build, error, message):
    with pytest.raises(error, match=message):
        build()
