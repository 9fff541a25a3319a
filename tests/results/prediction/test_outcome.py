"""The table of predictions."""

import csv
from pathlib import Path

import numpy as np

from results.prediction.outcome import GivenFile, Predicted, write_table


def table(path: Path, num_labels: int) -> tuple[np.ndarray, dict[str, str]]:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(num_labels))
    predicted = Predicted(GivenFile(Path("a.jpg"), "a.jpg"), probabilities)
    write_table(path, [predicted], [f"label {number}" for number in range(num_labels)])
    with path.open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    return probabilities, row


def test_few_labels_have_a_column_each(tmp_path):
    probabilities, row = table(tmp_path / "few.csv", 50)
    assert len(row) == 2 + 50
    for number, value in enumerate(probabilities):
        np.testing.assert_allclose(float(row[f"probability_label {number}"]), value, rtol=1e-5)


def test_of_many_labels_the_most_probable_stand_there(tmp_path):
    probabilities, row = table(tmp_path / "many.csv", 1000)
    assert len(row) == 2 + 2 * 10
    best = sorted(range(1000), key=lambda number: -probabilities[number])
    assert row["prediction"] == row["label_1"] == f"label {best[0]}"
    for rank, number in enumerate(best[:10], start=1):
        assert row[f"label_{rank}"] == f"label {number}"
        value = float(row[f"probability_{rank}"])
        np.testing.assert_allclose(value, probabilities[number], rtol=1e-5)
