import numpy as np
from sklearn.datasets import load_digits

from datasets.container import open_dataset
from datasets.digits import write_digits


def test_the_digits_are_complete_and_stratified(tmp_path):
    write_digits(tmp_path / "digits.pkl.zip")
    dataset = open_dataset(tmp_path / "digits.pkl.zip")
    assert (dataset.layout, dataset.scale, dataset.picture_shape) == ("nhwc", 16, (8, 8, 1))
    stored = []
    for subset in dataset.subsets.values():
        rows = subset.read(slice(None)).reshape(-1, 64).tolist()
        stored += [(label, row) for label, row in zip(subset.labels.tolist(), rows, strict=True)]
    digits = load_digits()
    expected = zip(digits.target.tolist(), digits.data.astype(int).tolist(), strict=True)
    assert sorted(stored) == sorted(expected)
    counts = [np.bincount(subset.labels, minlength=10) for subset in dataset.subsets.values()]
    shares = np.array(counts) / np.bincount(digits.target)
    assert np.abs(shares - [[0.8], [0.1], [0.1]]).max() < 0.01
