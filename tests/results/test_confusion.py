"""The confusion matrix against scikit-learn's, and its picture as a person finds it."""

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix as of_scikit_learn

from results.confusion import confusion_matrix, confusion_picture


def test_counts_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 6, (2, 300))
    labels[labels == 2] = 3  # a label without instances
    expected = of_scikit_learn(labels, predictions, labels=range(6))
    assert np.array_equal(confusion_matrix(labels, predictions, 6), expected)


def assert_nothing_is_cut_off(picture: np.ndarray) -> None:
    sides = [picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]]
    assert all((side == 255).all() for side in sides)


@pytest.mark.parametrize("count", [2, 40])
def test_the_picture_is_darkest_on_the_diagonal_of_what_is_right(count, tmp_path):
    names = [f"label {number}" for number in range(count)]
    confusion_picture(np.eye(count, dtype=int) * 9, names, "title", tmp_path / "x.png")
    picture = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(int)
    dark_blue = np.argwhere((picture[..., 2] > 90) & (picture[..., 0] < 30))
    assert len(dark_blue) > picture.shape[0]
    assert_nothing_is_cut_off(picture)


def test_names_are_no_formulas_and_unknown_letters_no_warnings(tmp_path):
    names = ["A$AP $", "ジャズ", "_hidden", "x" * 60]
    title = "LasagneMnistExample on $x_1$-ジ-of-a-rather-long-name.rgb.pkl.zip, testing"
    confusion_picture(np.ones((4, 4), int), names, title, tmp_path / "x.png")
    assert_nothing_is_cut_off(np.asarray(Image.open(tmp_path / "x.png").convert("RGB")))
