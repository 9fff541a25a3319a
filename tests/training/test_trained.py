"""A network made of a snapshot alone, against the trainer that wrote it."""

import dataclasses

import numpy as np
import pytest

from common.errors import CommandError
from datasets.container import open_dataset
from training.experiment import Experiment
from training.setup import prepare
from training.snapshots import Snapshot, load_snapshot, save_snapshot
from training.trained import Trained
from training.trainer import Stopped
from training.watch import GO_ON, INTERRUPTED

OPTIONS = {"num_epochs": 3, "precision": "float64", "device": "cpu", "learning_rate": 0.5}


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("batches", [0, 4, 19], ids=["whole", "first epoch", "second epoch"])
def test_the_weights_are_those_that_the_trainer_evaluates(digits, tmp_path, average, batches):
    """A whole training's best epoch, and one of 15 batches an epoch that was stopped within."""

    class Watch:
        looks = 0

        def look(self):
            self.looks += 1
            return INTERRUPTED if self.looks == batches else GO_ON

        def is_interrupted(self):
            return False

    experiment = Experiment(digits, "LasagneMnistExample", "num_units=8", **OPTIONS)
    trainer = prepare(dataclasses.replace(experiment, average_weights=average))
    try:
        list(trainer.epochs(Watch()))
    except Stopped:
        assert trainer.batch == batches % 15
    trained = Trained(trainer.save(tmp_path), device="cpu")
    expected = trainer.evaluate("testing")
    found = trained.evaluate(open_dataset(digits), "testing", "")
    assert found.loss == pytest.approx(expected.loss, rel=1e-12)
    assert np.array_equal(found.predictions, expected.predictions)
    np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, rtol=1e-6)
    assert trained.epoch == (trainer.best.epoch if trainer.best else 0)
    assert (trained.epoch == 0) == (batches == 4)


def test_what_is_computed_at_once(digits, tmp_path):
    options = OPTIONS | {"num_epochs": 1, "batch_size": 50, "micro_batch_size": 10}
    trainer = prepare(Experiment(digits, "SingleLayerMlp", **options))
    list(trainer.epochs())
    path = trainer.save(tmp_path)
    assert Trained(path).at_once == 10
    assert Trained(path, batch_size=33).at_once == 33
    losses = {Trained(path, batch_size=size).evaluate(open_dataset(digits), "testing", "").loss
              for size in (1, 33, 1000)}  # fmt: skip
    assert max(losses) == pytest.approx(min(losses), rel=1e-12)


def test_too_little_memory_is_one_sentence(digits, tmp_path, monkeypatch):
    trainer = prepare(Experiment(digits, "SingleLayerMlp", **OPTIONS | {"num_epochs": 1}))
    list(trainer.epochs())
    trained = Trained(trainer.save(tmp_path), device="cpu")

    def too_much(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr("training.trained.evaluate", too_much)
    with pytest.raises(CommandError, match="memory of cpu is not enough for 100 inputs at once"):
        trained.evaluate(open_dataset(digits), "testing", "")


def test_another_network_of_the_same_name_is_refused(digits, tmp_path):
    trainer = prepare(Experiment(digits, "SingleLayerMlp", **OPTIONS | {"num_epochs": 1}))
    list(trainer.epochs())
    path = trainer.save(tmp_path)
    snapshot = load_snapshot(path)
    labels = {"labels": snapshot.header["labels"][:9]}
    save_snapshot(Snapshot(snapshot.header | labels, snapshot.tensors), path)
    with pytest.raises(CommandError, match="is of another network of the same name"):
        Trained(path)
