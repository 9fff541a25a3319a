"""Training and evaluation in-process, on the digits."""

import dataclasses
import itertools
import typing

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from common.errors import CommandError
from datasets.container import open_dataset
from tests.runs import TIMES
from training.chunks import ChunkStream
from training.endings import Diverged
from training.evaluation import log_probabilities
from training.experiment import Experiment, UpdateRule
from training.policies import ConstantRate, Decision
from training.setup import prepare
from training.step import Step

MLP = {"model_architecture": "SingleLayerMlp", "model_params": "num_units=16"}


@pytest.fixture
def experiment(digits):
    return Experiment(digits, **MLP, num_epochs=2, precision="float32", learning_rate=0.1)


def records(experiment, **options):
    trainer = prepare(dataclasses.replace(experiment, **options))
    times = dict.fromkeys(TIMES, 0.0)
    return [dataclasses.replace(record, **times) for record in trainer.epochs()], trainer


def weights(trainer):
    return torch.cat([value.flatten() for value in trainer.network.state_dict().values()])


def test_two_runs_with_the_same_options_give_the_same_numbers(experiment):
    first, one = records(experiment, model_architecture="LasagneMnistExample")
    second, two = records(experiment, model_architecture="LasagneMnistExample")
    assert first == second
    assert torch.equal(weights(one), weights(two))


def test_another_seed_gives_other_numbers(experiment):
    assert records(experiment)[0] != records(experiment, seed=1)[0]


def test_shuffling_changes_the_order_of_every_epoch(experiment, monkeypatch):
    orders = []
    batches = ChunkStream.batches

    def spied(self, order, size, first=0):
        orders.append(order)
        return batches(self, order, size, first)

    monkeypatch.setattr(ChunkStream, "batches", spied)
    trainer = prepare(experiment)
    list(trainer.epochs())
    natural = np.arange(len(trainer.dataset.subset("training")))
    training = [order for order in orders if len(order) == len(natural)]
    assert len(training) == 2
    assert all(np.array_equal(np.sort(order), natural) for order in training)
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations([natural, *training], 2))


def test_scores_that_are_close_are_told_apart_in_half_precision():
    logits = torch.tensor([[1.0, 1.0078125, 0.0]], dtype=torch.bfloat16)
    outputs = torch.softmax(logits, dim=1)
    outputs.logits = logits
    exact = torch.log_softmax(logits.double(), dim=1)
    assert torch.allclose(log_probabilities(outputs, 1).double(), exact, atol=1e-6)


@pytest.mark.parametrize("chunk_size", [100, 250, 300, 1432])
def test_the_chunk_size_changes_no_number(experiment, chunk_size):
    """Also one that is no multiple of the batch: a chunk holds whole batches."""
    whole, one = records(experiment, model_architecture="LasagneMnistExample")
    options = {"model_architecture": "LasagneMnistExample", "chunk_size": chunk_size}
    parts, two = records(experiment, **options)
    assert torch.equal(weights(one), weights(two))
    assert whole == parts


@pytest.mark.parametrize(
    ("batch_size", "chunk_size"), [(1, 0), (7, 0), (180, 0), (1000, 0), (7, 20), (50, 150)]
)
def test_evaluation_counts_every_instance_whatever_the_sizes(digits, batch_size, chunk_size):
    options = {"batch_size": batch_size, "precision": "float64", "num_epochs": 0}
    with np.errstate(all="raise"):
        trainer = prepare(Experiment(digits, **MLP, **options, chunk_size=chunk_size))
    evaluation = trainer.evaluate("validation")
    data = open_dataset(digits)
    training, validation = (
        data.subset(name).read(slice(None)).reshape(-1, 64) / 16
        for name in ("training", "validation")
    )
    hidden_w, hidden_b, out_w, out_b = (
        value.numpy() for value in trainer.network.state_dict().values()
    )
    hidden = np.maximum((validation - training.mean(0)) @ hidden_w + hidden_b, 0)
    scores = np.exp(hidden @ out_w + out_b)
    probabilities = scores / scores.sum(1, keepdims=True)
    labels = data.subset("validation").labels
    assert evaluation.loss == pytest.approx(log_loss(labels, probabilities, labels=range(10)))
    assert evaluation.accuracy == accuracy_score(labels, probabilities.argmax(1))
    assert np.array_equal(evaluation.predictions, probabilities.argmax(1))


def test_the_probabilities_of_an_instances_crops_are_summed(digits):
    crops = {"num_crops": 5, "crop_shape": (6, 6), "batch_size": 40}
    options = {"precision": "float64", "num_epochs": 1, "learning_rate": 0.1}
    trainer = prepare(Experiment(digits, "ConvNet", "lc0_num_filters=4", **options, **crops))
    list(trainer.epochs())
    evaluation = trainer.evaluate("testing")
    subset = trainer.dataset.subset("testing")
    inputs = trainer.preparation.for_evaluation(torch.from_numpy(subset.read(slice(None))))
    with torch.inference_mode():
        probabilities = trainer.network(inputs, deterministic=True).numpy()
    summed = probabilities.reshape(len(subset), 10, 10).sum(axis=1)
    assert np.array_equal(evaluation.predictions, summed.argmax(1))
    assert evaluation.loss == pytest.approx(log_loss(subset.labels, summed / 10, labels=range(10)))


def test_a_batch_counts_crops(digits, monkeypatch):
    crops = {"num_crops": 5, "crop_shape": (6, 6), "batch_size": 40}
    trainer = prepare(Experiment(digits, "ConvNet", "lc0_num_filters=2", num_epochs=1, **crops))
    sizes = []
    step = Step.__call__

    def spied(self, inputs, labels, size):
        sizes.append((len(inputs), len(labels), size))
        return step(self, inputs, labels, size)

    monkeypatch.setattr(Step, "__call__", spied)
    list(trainer.epochs())
    assert set(sizes[:-1]) == {(40, 40, 4)}
    instances = len(trainer.dataset.subset("training"))
    assert [sum(column) for column in zip(*sizes, strict=True)] == [instances * 10] * 2 + [
        instances
    ]


def test_the_training_loss_is_the_mean_over_all_instances(experiment):
    """With a rate too small to change anything it is the loss of the start weights."""
    (record,), trainer = records(experiment, learning_rate=1e-30, num_epochs=1, batch_size=1000)
    training = trainer.evaluate("training")
    assert record.training_loss == pytest.approx(training.loss, rel=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float32", "float64"])
def test_every_precision_learns(experiment, precision):
    run, trainer = records(experiment, precision=precision, num_epochs=6)
    assert run[-1].validation_accuracy > 0.85
    expected = torch.float64 if precision == "float64" else torch.float32
    assert {param.dtype for param in trainer.network.parameters()} == {expected}


@pytest.mark.parametrize(
    "rule",
    typing.get_args(UpdateRule),
)
def test_every_update_rule_learns(experiment, rule):
    rate = {"adadelta": 1.0, "sgd": 0.5, "momentum": 0.1, "adagrad": 0.1}.get(rule, 0.02)
    run, _ = records(experiment, update_func_name=rule, learning_rate=rate, num_epochs=5)
    assert run[-1].validation_accuracy > 0.8


def test_a_rate_that_is_too_high_diverges_with_status_3(experiment):
    trainer = prepare(dataclasses.replace(experiment, learning_rate=1e30, num_epochs=5))
    with pytest.raises(
        Diverged, match="the training diverged; give a lower --learning-rate"
    ) as got:
        list(trainer.epochs())
    assert got.value.status == 3


def test_the_adaptive_rate_restores_the_best_weights_and_converges(experiment):
    run, trainer = records(experiment, learning_rate=5e-9, adapt_learning_rate=True, num_epochs=50)
    assert len(run) == 1 + 4 + 4
    assert [record.learning_rate for record in run] == pytest.approx([5e-9] * 5 + [5e-10] * 4)
    assert trainer.stopped == "converged"
    assert len({record.validation_accuracy for record in run}) == 1
    assert trainer.best.loss == min(record.validation_loss for record in run)
    best = torch.cat([value.flatten() for value in trainer.best.weights.values()])
    assert torch.equal(weights(trainer), best)


def test_a_policy_may_change_the_rate_alone(experiment, monkeypatch):
    monkeypatch.setattr(ConstantRate, "after_epoch", lambda self, record, gained: Decision(1e-3))
    run, trainer = records(experiment)
    assert [record.learning_rate for record in run] == [0.1, 1e-3]
    assert trainer.step.optimizer.state


def forget(trainer):
    with torch.no_grad():
        for param in trainer.network.parameters():
            param.zero_()
    trainer.step.optimizer.param_groups[0]["lr"] = 1e-12


def test_testing_uses_the_best_weights_and_leaves_the_network_as_it_was(experiment):
    trainer = prepare(dataclasses.replace(experiment, update_func_name="sgd"))
    epochs = trainer.epochs()
    next(epochs)
    forget(trainer)
    next(epochs)
    assert trainer.best.epoch == 1
    last = weights(trainer)
    validation = trainer.evaluate("validation")
    assert validation.accuracy == trainer.best.accuracy
    assert torch.equal(weights(trainer), last)


def test_labels_to_keep(experiment):
    trainer = prepare(dataclasses.replace(experiment, labels_to_keep="7, 3"))
    assert trainer.dataset.label_names == ["3", "7"]
    assert trainer.network.output_layer.output_shape == (None, 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"labels_to_keep": "3,12"}, "Unknown label '12'"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0; give a number above 0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"input_scale": -1.0}, "--input-scale is -1.0"),
        ({"batch_size": 0}, "--batch-size is 0; give at least 1"),
        ({"num_epochs": -1}, "--num-epochs is -1"),
        ({"chunk_size": 50}, "fewer than one batch of 100; give at least 100"),
        ({"shuffle_run": 0}, r"--shuffle-run is 0; give at least 1\."),
        ({"lr_policy": "linear"}, "Unknown learning rate policy 'linear'"),
        ({"lr_policy": "step"}, "--lr-policy step needs the epochs after which"),
        ({"lr_steps": "2"}, "--lr-steps 2 is for --lr-policy step, but the policy is constant"),
        ({"warmup_epochs": -1.0}, "--warmup-epochs is -1.0; give at least 0"),
        ({"early_stopping": -1}, "--early-stopping is -1; give at least 0"),
        ({"max_minutes": -0.5}, "--max-minutes is -0.5; give at least 0"),
        ({"snapshot_minutes": float("nan")}, "--snapshot-minutes is nan; give at least 0"),
        ({"snapshot_every": -1}, "--snapshot-every is -1; give at least 0"),
        ({"keep_snapshots": -2}, "--keep-snapshots is -2; give at least 0"),
        ({"seed": -1}, "--seed is -1; give at least 0"),
        ({"num_crops": -1}, "--num-crops is -1; give 0 for none, or how many"),
        ({"random_mirror": True, "reshape_to": (64,)}, "--random-mirror needs pictures"),
        ({"device": "tpu"}, "There is no device 'tpu'; give auto, cpu, cuda"),
        ({"crop_shape": (9, 9), "num_crops": 1}, "is larger than the pictures"),
        (
            {"crop_shape": (6, 6), "num_crops": 3},
            "--batch-size 100 counts crops and must be a multiple of the 6 crops .* give 102",
        ),
        (
            {"update_func_kwargs": "beta1=0.9"},
            "nesterov_momentum has no parameter 'beta1'. It has: m",
        ),
        ({"update_func_kwargs": "momentum=high"}, "'momentum' is 'high'; give a number"),
        (
            {"update_func_kwargs": "momentum=-1"},
            "--update-func-kwargs: momentum must not be negative",
        ),
        ({"test_only": True}, "give --start-from-snapshot"),
        ({"model_architecture": "ConvNet", "reshape_to": (64,)}, r"--reshape-to '\(1, 8, 8\)'"),
    ],
)
def test_options_that_do_not_fit(experiment, options, sentence):
    with pytest.raises(CommandError, match=sentence):
        prepare(dataclasses.replace(experiment, **options))


def test_an_empty_testing_subset_is_named_before_training(tmp_path):
    from datasets.container import write_dataset

    arrays = {
        "training": (np.zeros((4, 3), np.float32), np.array([0, 1, 0, 1], np.int32)),
        "validation": (np.zeros((2, 3), np.float32), np.array([0, 1], np.int32)),
        "testing": (np.zeros((0, 3), np.float32), np.zeros(0, np.int32)),
    }
    path = tmp_path / "a.pkl.zip"
    labels = {"a": 0, "b": 1}
    write_dataset(path, arrays, labels, layout="flat", scale=1.0, picture_shape=None)
    with pytest.raises(CommandError, match="The testing subset of .* is empty"):
        prepare(Experiment(path, **MLP, test_at_end=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["auto", "float32", "float16"])
@pytest.mark.parametrize("chunk_size", [0, 300])
def test_a_gpu_learns_too(experiment, precision, chunk_size):
    run, _ = records(
        experiment, device="cuda", precision=precision, chunk_size=chunk_size, num_epochs=6
    )
    assert run[-1].validation_accuracy > 0.85
