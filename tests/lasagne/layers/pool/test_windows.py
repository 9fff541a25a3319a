"""Pooling: shapes and values against windows cut out one by one, and errors."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne.layers import (
    MaxPool1DLayer,
    MaxPool2DLayer,
    MaxPool3DLayer,
    Pool1DLayer,
    Pool2DLayer,
    Pool3DLayer,
)

LAYERS = {1: Pool1DLayer, 2: Pool2DLayer, 3: Pool3DLayer}

REDUCE = {
    "max": lambda window, size: window.max(),
    "sum": lambda window, size: window.sum(),
    "average_exc_pad": lambda window, size: window.mean(),
    "average_inc_pad": lambda window, size: window.sum() / size,
}


def windows(length, size, stride, pad, ignore_border):
    """Return each window's bounds within the data, and its length within data and padding."""
    result, start = [], -pad
    while True:
        end = start + size
        if end > length + pad and (ignore_border or start >= length):
            break
        inside = slice(max(start, 0), min(end, length))
        result.append((inside, min(end, length + pad) - start))
        if end >= length + pad and not ignore_border and stride < size:
            break
        start += stride
    return result


def pool_by_hand(x, size, stride, pad, ignore_border, mode):
    axes = [
        windows(*axis, ignore_border) for axis in zip(x.shape[2:], size, stride, pad, strict=True)
    ]
    pooled = [
        [
            REDUCE[mode](plane[tuple(part for part, _ in place)], math.prod(n for _, n in place))
            for place in itertools.product(*axes)
        ]
        for plane in x.flatten(0, 1)
    ]
    return torch.tensor(pooled).reshape(*x.shape[:2], *map(len, axes))


@st.composite
def pools(draw):
    n = draw(st.sampled_from([1, 2, 3]))
    ignore_border = draw(st.booleans())
    mode = draw(st.sampled_from(sorted(REDUCE)))
    size = draw(st.tuples(*[st.integers(1, 5)] * n))
    pad = (0,) * n
    if ignore_border:
        pad = tuple(draw(st.integers(0, s - 1)) for s in size)
    smallest = [max(1, s - 2 * p) if ignore_border else 1 for s, p in zip(size, pad, strict=True)]
    shape = (2, 2, *(draw(st.integers(low, 10 - n)) for low in smallest))
    stride = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 6)] * n)))
    return n, shape, (size, stride, pad, ignore_border, mode)


@settings(deadline=None, max_examples=300)
@given(pools(), st.integers(0, 99))
def test_pooling_by_hand(case, seed):
    n, shape, (size, stride, pad, ignore_border, mode) = case
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) - 3
    layer = LAYERS[n](shape, size, stride, pad, ignore_border, mode)
    expected = pool_by_hand(x, size, stride or size, pad, ignore_border, mode)
    assert layer.output_shape == expected.shape
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("maximum", "pool"),
    [
        (MaxPool1DLayer, Pool1DLayer),
        (MaxPool2DLayer, Pool2DLayer),
        (MaxPool3DLayer, Pool3DLayer),
    ],
)
def test_max_pool_is_the_pool_of_maxima(maximum, pool):
    x = torch.randn(1, 2, *[6] * pool.n)
    layer = maximum(x.shape, 3, 2, 1, name="m")
    assert isinstance(layer, pool)
    assert torch.equal(layer(x), pool(x.shape, 3, 2, 1, mode="max")(x))


def test_unknown_sizes_stay_unknown():
    assert MaxPool2DLayer((None, 3, None, 9), 2).output_shape == (None, 3, None, 4)
    assert MaxPool1DLayer((None, 3, 9), 2, ignore_border=False).output_shape == (None, 3, 5)


def test_padding_never_wins():
    x = torch.full((1, 1, 2, 2), -5.0)
    for pad in (1, 2):
        assert (MaxPool2DLayer(x.shape, 3, 1, pad)(x) == -5).all()


def test_channels_last():
    x = torch.randn(2, 3, 9, 8)
    layer = MaxPool2DLayer(x.shape, 3, 2)
    result = layer(x.contiguous(memory_format=torch.channels_last))
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(result, layer(x))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pool_size": 0}, ValueError, "'p': pool_size must be an integer of at least 1 .* got 0"),
        ({"pool_size": 2.0}, TypeError, "pool_size must be an integer .* got 2.0"),
        ({"stride": (1, 2, 3)}, ValueError, r"stride must be .* tuple of 2, got \(1, 2, 3\)"),
        ({"pad": 2}, ValueError, r"smaller than pool_size \(2, 2\), got \(2, 2\)"),
        ({"pad": 1, "ignore_border": False}, ValueError, "pad must be 0 for ignore_border=False"),
        ({"mode": "median"}, ValueError, r"mode must be one of \('max', .* got 'median'"),
        ({"pool_size": 9}, ValueError, "input of size 8 .* smaller than a pool of size 9"),
        ({"incoming": (None, 3, 8)}, ValueError, r"\(batch, channels, height, width\), got"),
    ],
)
def test_errors(arguments, error, message):
    given = {"incoming": (None, 3, 9, 8), "pool_size": 2, "name": "p"}
    with pytest.raises(error, match=message):
        Pool2DLayer(**given | arguments)


def test_a_window_larger_than_the_input_without_border():
    x = torch.tensor([[[1.0, 4.0]]])
    assert Pool1DLayer(x.shape, 5, 1, ignore_border=False, mode="sum")(x).item() == 5
    assert not math.isinf(MaxPool1DLayer(x.shape, 5, 1, ignore_border=False)(x).item())
