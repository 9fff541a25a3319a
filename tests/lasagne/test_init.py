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
    margin = 4 / math.sqrt(sample.size)
    assert abs(sample.mean(dtype=float) - stored["analytic_mean"]) <= margin * std + 1e-7
    assert sample.std(dtype=float) == pytest.approx(std, rel=margin, abs=1e-9)
    if not math.isnan(low):
        assert sample.min() >= np.float32(low)
        assert sample.max() <= np.float32(high)


def test_same_seed_same_sample():
    set_rng(np.random.RandomState(1))
    first = init.GlorotNormal().sample((4, 5))
    set_rng(np.random.RandomState(1))
    assert np.array_equal(first, init.GlorotNormal().sample((4, 5)))


def test_set_rng_refuses_a_seed():
    with pytest.raises(TypeError, match=r"new_rng must be a numpy\.random\.RandomState .*, got 3"):
        set_rng(3)


def test_errors():
    with pytest.raises(ValueError, match=r"must have at least 2 axes, got \(3,\)"):
        init.HeNormal()((3,))
    with pytest.raises(
        ValueError, match=r"with c01b=True the shape must have 4 axes, got \(3, 3\)"
    ):
        init.GlorotUniform(c01b=True)((3, 3))
    with pytest.raises(ValueError, match="gain must be a number or 'relu', got 'tanh'"):
        init.GlorotUniform(gain="tanh")
