"""A training that is stopped after any batch goes on as if it had not been, bit for bit."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.runs import snapshots
from training.endings import Diverged, Stopped
from training.experiment import Experiment, UpdateRule
from training.setup import prepare
from training.snapshots import load_snapshot, resume
from training.state import capture
from training.watch import GO_ON, INTERRUPTED, SAVE

MLP = {"model_architecture": "LasagneMnistExample", "model_params": "num_units=12"}
NETWORK = """
from lasagne.layers import *
from lasagne.nonlinearities import softmax


def mine(incoming, num_classes):
    layer = batch_norm(Conv2DLayer(incoming, 4, 3))
    return DenseLayer(dropout(layer, 0.1), num_classes, nonlinearity=softmax)
"""


class After:
    """A watch that saves after some batches and stops after others, counted from its start."""

    def __init__(self, stops=(), saves=(), save=lambda: None):
        self.batches, self.stops, self.saves, self.save = 0, stops, saves, save

    def look(self):
        self.batches += 1
        if self.batches in self.stops:
            return INTERRUPTED
        return SAVE if self.batches in self.saves else GO_ON

    def is_interrupted(self):
        return False


class InValidation(After):
    """Stops after the first batch of the validation."""

    def is_interrupted(self):
        return True


@pytest.fixture
def experiment(digits):
    return Experiment(
        digits, **MLP, num_epochs=4, batch_size=300, precision="float32", device="cpu"
    )


def train(trainer, watch=None):
    """Trains on; returns the records without what a clock measures, and whether it was stopped."""
    times = dict.fromkeys(
        ("seconds", "images_per_second", "waiting_seconds", "copying_seconds"), 0.0
    )
    records = []
    try:
        for record in trainer.epochs(watch):
            records.append(dataclasses.replace(record, **times))
    except Stopped:
        return records, True
    return records, False


def in_pieces(experiment, stops, folder, **options):
    """Trains, stopped after so many batches each time; returns all records and the last trainer."""
    trainer, records = prepare(experiment), []
    for batches in stops:
        some, stopped = train(trainer, After([batches]))
        records += some
        assert stopped
        trainer = prepare(resume(trainer.save(folder), **options))
    some, stopped = train(trainer)
    assert not stopped
    return records + some, trainer


def assert_same(one, other):
    """Asserts that two trainers' states are the same, bit for bit."""
    first, second = capture(one), capture(other)
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name
    unlike = {"experiment"}
    for key in first.header.keys() - unlike:
        assert first.header[key] == second.header[key], key


RULES = [
    {"update_func_name": rule, "lr_policy": "cosine", "warmup_epochs": 1.5}
    for rule in typing.get_args(UpdateRule)
]
OPTIONS = [
    {"average_weights": 0.9, "label_smoothing": 0.1, "clip_gradient_norm": 1.0},
    {"average_weights": 0.9, "adapt_learning_rate": True, "learning_rate": 1e-7, "num_epochs": 7},
    {"lr_policy": "step", "lr_steps": "1,3", "weight_decay": 0.1, "bias_rate_multiplier": 2.0},
    {"lr_policy": "auto", "learning_rate": 1e-9, "num_epochs": 8},
    {"lr_policy": "mirdl", "warmup_epochs": 3.5},
    {"early_stopping": 2, "learning_rate": 1e-9, "num_epochs": 9},
    {"precision": "float16", "learning_rate": 0.1},
    {"precision": "bfloat16"},
    {"micro_batch_size": 70},
    {"chunk_size": 450},
    {"chunk_size": 600, "shuffle_run": 7},
    {"shuffle": False},
    {"batch_size": 1000},
    {"num_crops": 3, "crop_shape": (5, 6), "divide_by_std": True, "normalise_per": "channel"},
    {"num_crops": 1, "crop_shape": (6, 6), "random_mirror": True, "evaluation_crops": "ten"},
    {"random_mirror": True, "crop_mirror_per": "batch"},
    {"model_architecture": "net.py:mine", "model_params": "", "average_weights": 0.5},
]


@pytest.mark.parametrize("options", RULES + OPTIONS, ids=str)
def test_wherever_it_is_stopped_it_goes_on_bit_for_bit(experiment, options, tmp_path):
    Path("net.py").write_text(NETWORK)
    experiment = dataclasses.replace(experiment, **options)
    trainer = prepare(experiment)
    expected, _ = train(trainer)
    batches = -(-1433 // (experiment.batch_size // trainer.preparation.training_views))
    stops = (batches - 1, 1, 2 * batches - 1, batches + 1)
    records, other = in_pieces(experiment, stops[: 2 if len(expected) < 4 else 4], tmp_path)
    assert records == expected
    assert trainer.stopped == other.stopped
    assert_same(trainer, other)


def test_the_best_weights_come_back_where_they_are_an_average(experiment, tmp_path):
    """They are others than the network's, also after the best epoch itself."""
    experiment = dataclasses.replace(experiment, average_weights=0.9, num_epochs=1)
    trainer = prepare(experiment)
    train(trainer)
    tested = trainer.evaluate("validation")
    assert tested.loss == trainer.best.loss
    again = prepare(resume(trainer.save(tmp_path)))
    assert again.evaluate("validation").loss == tested.loss


def test_snapshots_on_the_way_change_nothing(experiment, tmp_path):
    expected, _ = train(one := prepare(experiment))
    other = prepare(experiment)
    records, _ = train(other, After((), range(1, 100, 2), lambda: other.save(tmp_path)))
    assert records == expected
    assert_same(one, other)
    assert snapshots(tmp_path) == ["0-1", "0-3", "0-5", "1-2", "1-4", "2-1", "2-3", "2-5", "3-2",
                                   "3-4"]  # fmt: skip


def test_a_number_of_epochs_that_is_raised_gives_what_it_would_have_given(experiment, tmp_path):
    expected, _ = train(one := prepare(dataclasses.replace(experiment, num_epochs=5)))
    trainer = prepare(dataclasses.replace(experiment, num_epochs=2))
    records, _ = train(trainer)
    other = prepare(resume(trainer.save(tmp_path), num_epochs=5))
    assert records + train(other)[0] == expected
    assert_same(one, other)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, True),
        ({"learning_rate": 0.5, "chunk_size": 400}, True),
        ({"micro_batch_size": 50, "num_epochs": 9}, True),
        ({"batch_size": 200}, False),
        ({"seed": 1}, False),
        ({"shuffle": False}, False),
        ({"shuffle_run": 3}, False),
    ],
)
def test_an_epoch_in_another_order_starts_anew(experiment, tmp_path, options, kept):
    trainer = prepare(experiment)
    train(trainer, After([8]))
    assert (trainer.epoch, trainer.batch) == (1, 3)
    again = prepare(resume(trainer.save(tmp_path), **options))
    assert (again.epoch, again.batch) == (1, 3 if kept else 0)
    assert again.progress.loss == (trainer.progress.loss if kept else 0)
    with torch.no_grad():
        for one, other in zip(trainer.step.parameters, again.step.parameters, strict=True):
            assert torch.equal(one, other)


def test_an_epoch_of_a_smaller_dataset_starts_anew(experiment, tmp_path):
    from datasets.container import open_dataset, write_dataset

    trainer = prepare(experiment)
    train(trainer, After([4]))
    path, dataset = trainer.save(tmp_path), open_dataset(experiment.dataset_path)
    arrays = {
        name: (np.array(subset.read(slice(0, 800))), subset.labels[:800])
        for name, subset in dataset.subsets.items()
    }
    labels = {name: number for number, name in enumerate(dataset.label_names)}
    small = tmp_path / "small.pkl.zip"
    write_dataset(
        small, arrays, labels, layout=dataset.layout, scale=dataset.scale, picture_shape=None
    )
    again = prepare(resume(path, dataset_path=small, num_epochs=1))
    assert (again.epoch, again.batch) == (0, 0)
    ((record,), _) = train(again)
    assert record.training_loss > 1


@pytest.mark.parametrize(
    ("rate", "decay", "least"),
    [(0.01, 400.0, 8), (1e300, 0.0, 0)],
    ids=["in ten batches", "at once"],
)
def test_snapshots_hold_only_numbers_where_weights_explode(
    experiment, tmp_path, rate, decay, least
):
    """A rate times a decay of 4 makes weights three times as large in every batch."""
    options = {"update_func_name": "sgd", "learning_rate": rate, "weight_decay": decay}
    trainer = prepare(dataclasses.replace(experiment, **options, batch_size=100))
    watch = After((), range(100), lambda: trainer.save(tmp_path))
    with pytest.raises(Diverged, match="the training diverged"):
        list(trainer.epochs(watch))
    paths = [*tmp_path.glob("*.safetensors")]
    assert len(paths) >= least
    for path in paths:
        for name, tensor in load_snapshot(path).tensors.items():
            assert tensor.isfinite().all(), (path, name)


def test_a_signal_ends_the_validation_too_and_nothing_of_the_epoch_is_lost(experiment, tmp_path):
    trainer = prepare(experiment)
    train(trainer, InValidation())
    assert (trainer.epoch, trainer.batch) == (0, 5)
    again = prepare(resume(trainer.save(tmp_path)))
    assert train(again)[0] == train(prepare(experiment))[0]


def test_what_is_the_best_stays_the_best_where_an_epoch_begins_anew(experiment, tmp_path):
    trainer = prepare(experiment)
    train(trainer, After([8]))
    best = trainer.best
    again = prepare(resume(trainer.save(tmp_path / "one"), batch_size=200))
    assert again.begins_anew and again.batch == 0
    snapshot = load_snapshot(again.save(tmp_path / "two"))
    assert snapshot.header["best"]["epoch"] == best.epoch
    for name, tensor in snapshot.best_weights.items():
        assert torch.equal(tensor, best.weights[name])
