"""Mean and variance of a subset, against fractions and against NumPy on all of it at once."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datasets import dataset
from datasets.dataset import Subset
from datasets.mean import DeviationSum, MeanSum, SquareSum, subset_mean, subset_moments

SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, max_side=6)


def subset(values: np.ndarray, rows: np.ndarray | None = None) -> Subset:
    return Subset(values, np.zeros(len(values) if rows is None else len(rows), np.int32), rows)


def exact(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    columns = [[Fraction(v.item()) for v in column] for column in values.reshape(len(values), -1).T]
    means = [sum(column) / len(column) for column in columns]
    variances = [
        sum((value - mean) ** 2 for value in column) / len(column)
        for column, mean in zip(columns, means, strict=True)
    ]
    return tuple(
        np.array([float(number) for number in numbers]).reshape(values.shape[1:])
        for numbers in (means, variances)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
@given(data=st.data())
def test_moments_of_small_integers_are_exact(dtype, data):
    values = data.draw(hnp.arrays(dtype, SHAPES))
    moments = subset_moments(subset(values))
    for found, expected in zip(moments, exact(values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=0)
    assert np.array_equal(moments.mean, subset_mean(subset(values)))


@given(
    values=hnp.arrays(np.float32, SHAPES, elements=st.floats(-1000, 1000, width=32)),
    offset=st.sampled_from([0, 1e6]),
)
def test_moments_of_floats(values, offset):
    values = values.astype(np.float64) + offset
    found, (mean, variance) = subset_moments(subset(values)), exact(values)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64])
def test_blocks_and_rows_in_use_are_merged(dtype, monkeypatch):
    values = np.random.default_rng(0).integers(0, 256, (100, 3, 5)).astype(dtype)
    rows = np.array([99, 3, 3, *range(20, 90)])
    monkeypatch.setattr(dataset, "BLOCK_BYTES", 200)
    found = subset_moments(subset(values, rows))
    used = values[rows].astype(np.float64)
    np.testing.assert_allclose(found.mean, used.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.variance, used.var(axis=0), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64])
def test_what_never_changes_has_no_variance(dtype, monkeypatch):
    monkeypatch.setattr(dataset, "BLOCK_BYTES", 64)
    values = np.full((1000, 2), 0.1 if np.dtype(dtype).kind == "f" else 7, dtype)
    assert np.array_equal(subset_moments(subset(values)).variance, [0, 0])


def test_a_small_spread_of_large_numbers_is_kept():
    total = DeviationSum((1,), np.dtype(float))
    for start in range(0, 1000, 10):
        total.add(1e9 + np.arange(start, start + 10)[:, None] % 2)
    assert total.variance == pytest.approx(0.25, rel=1e-12)


def test_many_pictures_do_not_overflow():
    count = 3_000_000_000  # white pictures, as if they had been added one by one
    total = SquareSum((1,), np.dtype(np.uint8))
    total.add(np.array([[255], [254]], np.uint8))
    total._total, total._squares = total._total * (count // 2), total._squares * (count // 2)
    total._count = count
    assert total.mean == 254.5
    assert total.variance == 0.25


def test_a_mean_is_that_of_all_blocks():
    total = MeanSum((2,), np.dtype(np.uint8))
    total.add(np.array([[1, 2], [3, 4]], np.uint8))
    total.add(np.array([[5, 255]], np.uint8))
    assert np.array_equal(total.mean, [3, 87])
