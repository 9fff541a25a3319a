"""Spatial pyramids against cells cut out one by one, and Lasagne's numbers of columns."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne.layers import SpatialPyramidPoolingLayer
from tests.lasagne.golden import FOLDER

REDUCE = {"max": torch.amax, "average_inc_pad": torch.mean, "average_exc_pad": torch.mean}


def kaiming(size, n):
    return [slice(i * size // n, math.ceil((i + 1) * size / n)) for i in range(n)]


def fast(size, n):
    window, step = math.ceil(size / n), size // n
    return [slice(start, start + window) for start in range(0, size - window + 1, step)]


@settings(deadline=None)
@given(
    st.tuples(st.integers(5, 14), st.integers(5, 14)),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.sampled_from(sorted(REDUCE)),
    st.sampled_from([fast, kaiming]),
    st.booleans(),
)
def test_by_hand(sizes, pool_dims, mode, cut, known):
    x = torch.randn(2, 3, *sizes)
    shape = x.shape if known else (None, 3, None, None)
    layer = SpatialPyramidPoolingLayer(shape, pool_dims, mode, implementation=cut.__name__)
    cells = [
        REDUCE[mode](x[:, :, rows, columns], (2, 3))
        for n in pool_dims
        for rows in cut(sizes[0], n)
        for columns in cut(sizes[1], n)
    ]
    y = layer(x)
    torch.testing.assert_close(y, torch.stack(cells, 2))
    if known:
        assert layer.output_shape == y.shape
    else:
        assert layer.output_shape == (None, 3, sum(n * n for n in pool_dims))


@pytest.mark.parametrize("size", ["7x7", "11x10", "10x9"])
def test_columns_as_lasagne_makes_them(size):
    with np.load(FOLDER / "edges" / "edges.npz", allow_pickle=False) as stored:
        declared, actual = stored[f"spp_fast_{size}_declared_actual"].tolist()
    x = torch.zeros(1, 1, *map(int, size.split("x")))
    assert SpatialPyramidPoolingLayer((1, 1, None, None)).output_shape == tuple(declared)
    assert SpatialPyramidPoolingLayer(x.shape).output_shape == tuple(actual)
    assert SpatialPyramidPoolingLayer(x.shape)(x).shape == tuple(actual)


def test_kaiming_makes_one_size_of_all():
    layer = SpatialPyramidPoolingLayer((None, 3, None, None), implementation="kaiming")
    for sizes in [(2, 3), (7, 7), (40, 9)]:
        assert layer(torch.zeros(1, 3, *sizes)).shape == (1, 3, 21)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pool_dims": [2, 0]}, ValueError, "'s': pool_dims must be an integer of at least 1"),
        ({"pool_dims": [1.5]}, TypeError, "'s': pool_dims must be an integer .* got 1.5"),
        ({"pool_dims": []}, ValueError, r"pool_dims must have at least one level, got \[\]"),
        (
            {"pool_dims": [9]},
            ValueError,
            "larger than the input's sizes .* 9 for a size of 8",
        ),
        ({"mode": "sum"}, ValueError, r"mode must be one of \('max', .*, got 'sum'"),
        ({"implementation": "slow"}, ValueError, r"one of \('fast', 'kaiming'\), got 'slow'"),
        ({"incoming": (1, 2, 3)}, ValueError, r"\(batch, channels, height, width\), got"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        SpatialPyramidPoolingLayer(**{"incoming": (None, 3, 9, 8), "name": "s"} | arguments)
