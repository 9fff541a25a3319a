"""What is written and said of an evaluation."""

import csv

import numpy as np
import pytest

from results import testing
from results.scores import Scores
from training.setup import prepare
from training.snapshots import resume


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.reader(file))


def test_predictions_of_instances_and_of_recordings(tmp_path):
    labels, probabilities = np.array([1, 0]), np.array([[0.25, 0.75], [0.125, 0.875]])
    testing.write_predictions(
        tmp_path / "x.csv", ["0", 'a,"b"'], Scores(labels, probabilities), ["j", "m"]
    )
    assert rows_of(tmp_path / "x.csv") == [
        ["name", "label", "prediction", "probability", "label_probability"],
        ["0", "m", "m", "0.75", "0.75"],
        ['a,"b"', "j", "m", "0.875", "0.125"],
    ]
    of_recordings = Scores(labels, probabilities, np.array([0, 1]), np.array([7, 8]), labels)
    testing.write_predictions(tmp_path / "x.csv", ["x", "y"], of_recordings, ["j", "m"])
    assert [row[5:] for row in rows_of(tmp_path / "x.csv")] == [
        ["vote", "patches"], ["j", "7"], ["m", "8"]
    ]  # fmt: skip


@pytest.mark.parametrize("network", ["picture_network", "recording_network"])
def test_the_trainers_evaluation_is_told_and_written(network, request, tmp_path):
    trainer = prepare(resume(request.getfixturevalue(network)[0]))
    tested = testing.evaluated(trainer)
    subset = trainer.dataset.subset("testing")
    right = tested.evaluation.predictions == subset.labels
    assert tested.results["testing_accuracy"] == right.mean()
    assert tested.results["testing_epoch"] == trainer.best.epoch
    assert f"testing loss {tested.evaluation.loss:.4f} (weights of epoch" in str(tested)
    if network == "picture_network":
        assert tested.names == [str(row) for row in range(6)]
        assert str(tested).startswith(f"testing accuracy {right.mean():.2%}, ")
    else:
        assert tested.names == [
            trainer.dataset.source.names[one] for one in np.unique(subset.recordings)
        ]
        assert str(tested).endswith(testing.testing_line("testing", tested.results))
        assert f"of their patches {right.mean():.2%}" in str(tested)
    tested.write(tmp_path, "title")
    rows = rows_of(tmp_path / "predictions.csv")
    assert [row[0] for row in rows[1:]] == tested.names
    assert (tmp_path / "confusion-matrix.png").stat().st_size > 1000
