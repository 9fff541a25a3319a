import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import dataset as dataset_module
from datasets.container import open_dataset, write_dataset
from datasets.dataset import Subset
from datasets.describe import describe, file_size, label_counts, statistics


@given(seed=st.integers(0, 99), size=st.integers(1, 50), block=st.sampled_from([1, 64, 2**20]))
def test_statistics_of_a_stream_are_those_of_the_whole(seed, size, block):
    values = np.random.default_rng(seed).normal(1000, 2, (size, 7)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_module, "BLOCK_BYTES", block)
        found = statistics(Subset(values, np.zeros(size, np.int32)))
    exact = values.astype(np.float64)
    assert found.mean == pytest.approx(exact.mean(), rel=1e-12)
    assert found.std == pytest.approx(exact.std(), rel=1e-9)
    assert (found.min, found.max) == (exact.min(), exact.max())


@pytest.mark.parametrize("block", [1, 60, 2**20])
def test_statistics_are_those_of_the_finite_values(block, monkeypatch):
    monkeypatch.setattr(dataset_module, "BLOCK_BYTES", block)
    values = np.random.default_rng(0).normal(3, 2, (50, 7)).astype(np.float32)
    values[4, 2], values[20, 1], values[20, 3] = np.nan, np.inf, -np.inf
    values[7] = np.nan
    found = statistics(Subset(values, np.zeros(50, np.int32)))
    finite = values[np.isfinite(values)].astype(np.float64)
    assert found.mean == pytest.approx(finite.mean(), rel=1e-12)
    assert found.std == pytest.approx(finite.std(), rel=1e-9)
    assert (found.min, found.max) == (finite.min(), finite.max())
    assert found.num_not_finite == 3


def test_nothing_finite_and_values_beyond_float64s_squares():
    nothing = statistics(Subset(np.full((2, 3), np.inf), np.zeros(2, np.int32)))
    assert np.isnan([nothing.mean, nothing.std, nothing.min, nothing.max]).all()
    assert nothing.num_not_finite == 2
    huge = statistics(Subset(np.array([[1e300, -1e300, 1e308, 1e308]]), np.zeros(1, np.int32)))
    assert (huge.min, huge.max, huge.num_not_finite) == (-1e300, 1e308, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308])
def test_describe_says_that_values_are_not_finite(tmp_path, bad):
    pictures = np.random.default_rng(0).random((6, 8, 8, 3))
    pictures[2, 3] = bad
    path = tmp_path / "x.pkl.zip"
    form = {"layout": "nhwc", "scale": 1, "picture_shape": (8, 8, 3)}
    write_dataset(path, {"training": (pictures, np.arange(6) % 2)}, {"a": 0, "b": 1}, **form)
    text = describe(open_dataset(path))
    line = "not finite 1 training instance holds NaN or infinite values, see validate_dataset"
    assert (line in text.splitlines()) == (not np.isfinite(bad))
    assert "mean nan" not in text
    assert describe(open_dataset(path)).count("grey       0 of 6 pictures") == 1


def test_label_counts(make_dataset):
    path, _ = make_dataset()
    assert label_counts(open_dataset(path)) == {
        "training": [14, 13, 13],
        "validation": [3, 3, 2],
        "testing": [3, 3, 2],
    }


def test_describe(make_dataset):
    path, subsets = make_dataset(created_by={"command": "create_datasets"})
    lines = describe(open_dataset(path)).splitlines()
    values = subsets["training"][0]
    assert lines[0] == f"file       {path} ({path.stat().st_size / 1000:.1f} kB)"
    assert "5x7x3 uint8, layout nhwc (instance x height x width x channel)" in lines[1]
    assert lines[2] == "pictures   7x5 pixels, RGB"
    assert lines[3] == "scale      255 stands for 1.0"
    assert f"mean {values.mean():.4g}, standard deviation {values.std():.4g}" in lines[4]
    assert lines[5] == "made by    create_datasets"
    assert lines[-4].split() == ["bee", "13", "3", "3", "19"]
    assert lines[-1].split() == ["total", "40", "8", "8", "56"]


def test_file_sizes():
    sizes = {999: "999 bytes", 1500: "1.5 kB", 2 * 10**6: "2.0 MB", 10**9: "1.0 GB"}
    assert {size: file_size(size) for size in sizes} == sizes
    assert file_size(3 * 10**15) == "3000.0 TB"
