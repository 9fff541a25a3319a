"""Pooling: shapes and values against windows cut out one by one, and errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne.layers import MaxPool1DLayer, MaxPool2DLayer, Pool1DLayer, Pool2DLayer

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
    rows, columns = (
        windows(*axis, ignore_border) for axis in zip(x.shape[2:], size, stride, pad, strict=True)
    )
    pooled = [
        [REDUCE[mode](plane[r, c], height * width) for r, height in rows for c, width in columns]
        for plane in x.flatten(0, 1)
    ]
    return torch.tensor(pooled).reshape(*x.shape[:2], len(rows), len(columns))


@st.composite
def pools(draw):
    ignore_border = draw(st.booleans())
    mode = draw(st.sampled_from(sorted(REDUCE)))
    size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    pad = (0, 0)
    if ignore_border:
        limits = [s // 2 if mode == "average_exc_pad" else s - 1 for s in size]
        pad = tuple(draw(st.integers(0, limit)) for limit in limits)
    smallest = [max(1, s - 2 * p) if ignore_border else 1 for s, p in zip(size, pad, strict=True)]
    shape = (2, 2, *(draw(st.integers(low, 9)) for low in smallest))
    stride = draw(st.one_of(st.none(), st.tuples(st.integers(1, 6), st.integers(1, 6))))
    return shape, (size, stride, pad, ignore_border, mode)


@settings(deadline=None, max_examples=200)
@given(pools(), st.integers(0, 99))
def test_pooling_by_hand(case, seed):
    shape, (size, stride, pad, ignore_border, mode) = case
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) - 3
    layer = Pool2DLayer(shape, size, stride, pad, ignore_border, mode)
    expected = pool_by_hand(x, size, stride or size, pad, ignore_border, mode)
    assert layer.output_shape == expected.shape
    torch.testing.assert_close(layer(x), expected)


@settings(deadline=None, max_examples=50)
@given(pools())
def test_one_axis_is_two_with_one_of_size_one(case):
    (batch, channels, length, _), (size, stride, pad, ignore_border, mode) = case
    stride = None if stride is None else stride[0]
    x = torch.randn(batch, channels, length)
    layer = Pool1DLayer(x.shape, size[0], stride, pad[0], ignore_border, mode)
    step = (stride or size[0], 1)
    wanted = pool_by_hand(x[..., None], (size[0], 1), step, (pad[0], 0), ignore_border, mode)
    assert layer.output_shape == wanted.shape[:3]
    torch.testing.assert_close(layer(x), wanted.squeeze(3))


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
        ({"pad": 2}, ValueError, r"smaller than pool_size \(2, 2\) .* got \(2, 2\)"),
        (
            {"pool_size": 3, "pad": 2, "mode": "average_exc_pad"},
            ValueError,
            r"at most half of pool_size \(3, 3\)",
        ),
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
