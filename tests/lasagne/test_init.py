"""Initialisers: moments and bounds against the formulas that Lasagne's numbers came with."""

import math
from pathlib import Path

import numpy as np
import pytest

from lasagne import init
from lasagne.random import set_rng
from tests.lasagne.golden import cases, load


@pytest.mark.parametrize("path", cases("init"))
def test_golden(path: Path):
    spec, stored = load(path)
    kwargs = {key: tuple(v) if isinstance(v, list) else v for key, v in spec["kwargs"].items()}
    sample = getattr(init, spec["initializer"])(**kwargs)(tuple(spec["shape"]))
    assert sample.dtype == np.float32
    assert sample.shape == tuple(spec["shape"])
    std, low, high = (float(stored[f"analytic_{key}"]) for key in ("std", "low", "high"))
    margin = 0.1 if spec["initializer"] == "Sparse" else 4 / math.sqrt(sample.size)
    assert abs(sample.mean(dtype=float) - stored["analytic_mean"]) <= margin * std + 1e-7
    assert sample.std(dtype=float) == pytest.approx(std, rel=margin, abs=1e-9)
    if not math.isnan(low):
        assert sample.min() >= np.float32(low)
        assert sample.max() <= np.float32(high)


@pytest.mark.parametrize("path", cases("init", "Sparse*"))
def test_sparse_columns(path: Path):
    spec, stored = load(path)
    sample = init.Sparse(**spec["kwargs"])(tuple(spec["shape"]))
    counts = (sample != 0).sum(axis=0)
    assert np.array_equal(counts, np.broadcast_to(stored["nonzero_per_column"], counts.shape))
    std = spec["kwargs"].get("std", 0.01)
    assert sample[sample != 0].std() == pytest.approx(std, rel=4 / math.sqrt(counts.sum()))
    assert len({tuple(np.flatnonzero(column)) for column in sample.T}) == sample.shape[1]


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 2, 2), (3, 4, 5, 2)])
@pytest.mark.parametrize(("gain", "factor"), [(1.0, 1.0), ("relu", 2.0), (0.5, 0.25)])
def test_orthogonal(shape: tuple[int, ...], gain: float | str, factor: float):
    """The Gram matrix of the shorter side is the identity times the squared gain."""
    flat = init.Orthogonal(gain)(shape).reshape(shape[0], -1).astype(np.float64)
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(gram, factor * np.eye(len(gram)), atol=1e-6)


def test_same_seed_same_sample():
    set_rng(np.random.RandomState(1))
    first = init.GlorotNormal().sample((4, 5))
    set_rng(np.random.RandomState(1))
    assert np.array_equal(first, init.GlorotNormal().sample((4, 5)))


def test_set_rng_refuses_a_seed():
    with pytest.raises(TypeError, match=r"new_rng must be a numpy\.random\.RandomState .*, got 3"):
        set_rng(3)


def test_errors():
    with pytest.raises(RuntimeError, match=r"must have at least 2 axes, got \(3,\)"):
        init.HeNormal()((3,))
    with pytest.raises(RuntimeError, match=r"must have at least 2 axes, got \(3,\)"):
        init.Orthogonal()((3,))
    with pytest.raises(RuntimeError, match=r"must have 2 axes, got \(3, 2, 1\)"):
        init.Sparse()((3, 2, 1))
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\], got 1\.5"):
        init.Sparse(sparsity=1.5)
    with pytest.raises(
        RuntimeError, match=r"with c01b=True the shape must have 4 axes, got \(3, 3\)"
    ):
        init.GlorotUniform(c01b=True)((3, 3))
    with pytest.raises(ValueError, match="gain must be a number or 'relu', got 'tanh'"):
        init.GlorotUniform(gain="tanh")
