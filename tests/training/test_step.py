"""The update of a batch, against the same written out for one network."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from common.errors import CommandError
from training.devices import Compute
from training.distributed import ALONE
from training.experiment import Experiment
from training.setup import prepare
from training.step import Step

LEAST = 1e-12


@pytest.fixture
def experiment(digits):
    """Five batches an epoch, the last one smaller; no dropout."""
    return Experiment(
        digits,
        "SingleLayerMlp",
        "num_units=16",
        num_epochs=2,
        batch_size=300,
        shuffle=False,
        learning_rate=0.1,
        precision="float64",
        device="cpu",
    )


def by_hand(experiment, trainer):
    """Trains as the options say.

    Returns the weights, their averages, the epochs' training losses, and how many gradients were
    clipped.

    Nesterov's momentum as Lasagne has it: http://lasagne.readthedocs.io/en/v0.2.dev1/modules/updates.html
    """
    subset = trainer.dataset.subset("training")
    x = torch.from_numpy(subset.read(slice(None)).reshape(-1, 64) / 16)
    labels = torch.from_numpy(subset.labels.astype(np.int64))
    x = x - x.mean(0)
    weights = [one.detach().clone().requires_grad_() for one in trainer.network.parameters()]
    averages, losses, count = [one.detach().clone() for one in weights], [], 0
    clipped = 0
    velocities = [torch.zeros_like(one) for one in weights]
    rate, size = experiment.learning_rate, experiment.batch_size
    for _ in range(experiment.num_epochs):
        losses.append(0.0)
        for start in range(0, len(x), size):
            W, b, V, c = weights
            scores = torch.relu(x[start : start + size] @ W + b) @ V + c
            right = labels[start : start + size]
            loss = cross_entropy(scores, right, label_smoothing=experiment.label_smoothing)
            losses[-1] += loss.item() * len(right) / len(x)
            gradients = torch.autograd.grad(loss, weights)
            norm = sum(one.square().sum() for one in gradients).sqrt()
            most = experiment.clip_gradient_norm or float("inf")
            clipped += bool(norm > most)
            with torch.no_grad():
                for one, gradient, velocity in zip(weights, gradients, velocities, strict=True):
                    gradient = gradient * min(1.0, most / (norm + 1e-6))
                    own = rate
                    if one.ndim == 2:
                        gradient = gradient + experiment.weight_decay * one
                    else:
                        own = rate * experiment.bias_rate_multiplier
                    velocity *= 0.9
                    velocity -= own * gradient
                    one += 0.9 * velocity - own * gradient
                decay = min(experiment.average_weights, (1 + count) / (10 + count))
                for average, one in zip(averages, weights, strict=True):
                    average += (1 - decay) * (one - average)
            count += 1
    return weights, averages, losses, clipped


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.2},
        {"weight_decay": 0.05},
        {"clip_gradient_norm": 0.33},
        {"clip_gradient_norm": 1e6},
        {"average_weights": 0.9},
        {"bias_rate_multiplier": 2.0},
        {
            "label_smoothing": 0.1,
            "weight_decay": 0.01,
            "clip_gradient_norm": 0.5,
            "average_weights": 0.3,
            "bias_rate_multiplier": 2.0,
            "micro_batch_size": 7,
            "chunk_size": 650,
        },
    ],
    ids=str,
)
def test_training_does_what_is_written_out_here(experiment, options):
    experiment = dataclasses.replace(experiment, **options)
    trainer = prepare(experiment)
    weights, averages, losses, clipped = by_hand(experiment, trainer)
    records = list(trainer.epochs())
    for one, expected in zip(trainer.network.parameters(), weights, strict=True):
        torch.testing.assert_close(one, expected, rtol=LEAST, atol=LEAST)
    assert [record.training_loss for record in records] == pytest.approx(losses, rel=LEAST)
    assert experiment.clip_gradient_norm != 0.33 or 0 < clipped < 10
    if experiment.average_weights:
        kept = [trainer.best.weights[name] for name, _ in trainer.network.named_parameters()]
        assert trainer.best.epoch == experiment.num_epochs
        for one, expected in zip(kept, averages, strict=True):
            torch.testing.assert_close(one, expected, rtol=LEAST, atol=LEAST)


@pytest.mark.parametrize("part", [1, 7, 50, 299, 300, 301, 10_000])
def test_the_gradients_of_parts_add_up(experiment, part):
    """With 7 inputs at once, a batch of 300 is 43 parts of 7 or 6, one of 233 is 34."""
    trainers = [
        prepare(dataclasses.replace(experiment, num_epochs=1, micro_batch_size=size))
        for size in (None, part)
    ]
    (whole,), (parts,) = (list(trainer.epochs()) for trainer in trainers)
    assert parts.training_loss == pytest.approx(whole.training_loss, rel=LEAST)
    for one, other in zip(*(trainer.step.parameters for trainer in trainers), strict=True):
        torch.testing.assert_close(one, other, rtol=LEAST, atol=LEAST)


def test_no_part_is_larger_than_asked_for(experiment):
    """Also where an instance has several views."""
    options = {"micro_batch_size": 7, "num_crops": 3, "crop_shape": (6, 6), "num_epochs": 1}
    trainer, sizes = prepare(dataclasses.replace(experiment, **options)), []
    trainer.network.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    list(trainer.epochs())
    assert max(sizes) == 7
    validation = -(-179 // (7 // 6))
    assert len(sizes) == 28 * -(-300 // 7) + -(-(1433 * 6 - 28 * 300) // 7) + validation


def step_of(weight, **options):
    optimizer = torch.optim.SGD([weight], lr=1.0)
    compute = Compute(torch.device("cpu"), "float64")
    return Step(
        lambda x: torch.softmax(x * weight, 1), [weight], optimizer, compute, ALONE, **options
    )


def test_the_weights_stay_where_the_loss_is_not_finite():
    """So that the layer can be found that it comes from."""
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    inputs = torch.tensor([[1.0, float("nan")], [0.0, 1.0]], dtype=torch.float64)
    loss = step_of(weight)(inputs, torch.tensor([0, 1]), 2)
    assert loss.isnan()
    assert weight.item() == 1.0


def test_an_empty_part_of_a_batch_changes_nothing_by_itself():
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    inputs, labels = torch.zeros(0, 2, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)
    assert step_of(weight)(inputs, labels, 1).item() == 0
    assert weight.item() == 1.0


def test_float16_scales_its_gradients_up_and_takes_back_what_overflows(digits):
    experiment = Experiment(
        digits, "SingleLayerMlp", num_epochs=1, precision="float16", device="cpu"
    )
    trainer = prepare(experiment)
    trainer.step.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    before = [one.detach().clone() for one in trainer.step.parameters]
    inputs = torch.rand(100, 1, 8, 8)
    trainer.step(inputs, torch.arange(100) % 10, 100)
    assert all(map(torch.equal, before, trainer.step.parameters))
    assert trainer.step.scaler.get_scale() < 2.0**60


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"micro_batch_size": 0}, r"--micro-batch-size is 0; give at least 1\."),
        ({"label_smoothing": 1.0}, "--label-smoothing is 1.0; give at least 0 and less than 1"),
        ({"label_smoothing": float("nan")}, "--label-smoothing is nan"),
        ({"clip_gradient_norm": -1.0}, "--clip-gradient-norm is -1.0; give at least 0"),
        ({"average_weights": 1.0}, "--average-weights is 1.0; give more than 0 and less than 1"),
        ({"weight_decay": -0.1}, "--weight-decay is -0.1; give at least 0"),
        ({"bias_rate_multiplier": float("inf")}, "--bias-rate-multiplier is inf"),
    ],
)
def test_numbers_that_make_no_step(experiment, options, sentence):
    with pytest.raises(CommandError, match=sentence):
        prepare(dataclasses.replace(experiment, **options))
