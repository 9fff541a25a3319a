"""Objectives against Lasagne's numbers, and the fusion of softmax and cross-entropy."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lasagne import nonlinearities, objectives
from lasagne.objectives import (
    aggregate,
    binary_hinge_loss,
    categorical_accuracy,
    categorical_crossentropy,
    huber_loss,
    multiclass_hinge_loss,
)
from tests.lasagne.golden import cases, error, load


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-9)])
@pytest.mark.parametrize("path", [case for case in cases("objectives") if case.id != "aggregate"])
def test_golden(path: Path, dtype: torch.dtype, tolerance: float):
    spec, stored = load(path)
    predictions = torch.tensor(stored["predictions"], dtype=dtype, requires_grad=True)
    targets = torch.tensor(stored["targets"])
    if targets.is_floating_point():
        targets = targets.to(dtype)
    loss = getattr(objectives, spec["function"])(predictions, targets, **spec["kwargs"])
    if loss.dtype == torch.bool:
        assert np.array_equal(loss.numpy(), stored["loss"])
        return
    assert error(loss, stored["loss"]) < tolerance
    loss.mean().backward()
    assert error(predictions.grad, stored["gpred"]) < tolerance


@pytest.mark.parametrize(
    ("key", "loss", "weights", "mode"),
    [
        ("mean", "loss", None, "mean"),
        ("mean_weighted", "loss", "weights", "mean"),
        ("sum", "loss", None, "sum"),
        ("sum_weighted", "loss", "weights", "sum"),
        ("normalized_sum_weighted", "loss", "weights", "normalized_sum"),
        ("normalized_sum_mask", "loss", "mask", "normalized_sum"),
        ("normalized_sum_2d", "loss2d", "weights2d", "normalized_sum"),
        ("mean_2d_weighted", "loss2d", "weights2d", "mean"),
    ],
)
def test_aggregate(key: str, loss: str, weights: str | None, mode: str):
    _, stored = load(cases("objectives", "aggregate")[0].values[0])
    factors = None if weights is None else torch.tensor(stored[weights])
    result = aggregate(torch.tensor(stored[loss]), factors, mode)
    assert error(result, stored[key]) < 2e-6


def test_aggregate_errors():
    with pytest.raises(ValueError, match=r"mode must be 'mean', .*, got 'median'"):
        aggregate(torch.ones(2), mode="median")
    with pytest.raises(ValueError, match="weights must be given for mode='normalized_sum'"):
        aggregate(torch.ones(2), mode="normalized_sum")


@pytest.mark.parametrize("one_hot", [False, True])
def test_crossentropy_of_softmax_stays_finite(one_hot: bool):
    """The values are those of Theano's fused operation."""
    logits = torch.tensor([[1000.0, 0.0], [3.0, -2.0]], requires_grad=True)
    targets = torch.tensor([[0.0, 1.0], [0.0, 1.0]]) if one_hot else torch.tensor([1, 1])
    loss = categorical_crossentropy(nonlinearities.softmax(logits), targets)
    assert loss.tolist() == pytest.approx([1000, 5.00671535])
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient.flatten().tolist() == pytest.approx([1, -1, 0.99330715, -0.99330715])


def test_crossentropy_of_half_precision_logits_is_float32():
    logits = torch.tensor([[3.0, -2.0]], dtype=torch.bfloat16)
    loss = categorical_crossentropy(nonlinearities.softmax(logits), torch.tensor([1]))
    assert loss.item() == pytest.approx(5 + math.log1p(math.exp(-5)), rel=1e-6)


def test_crossentropy_of_given_probabilities_is_their_logarithm():
    probabilities = torch.tensor([[0.0, 1.0], [0.25, 0.75]])
    loss = categorical_crossentropy(probabilities, torch.tensor([0, 0]))
    assert loss.tolist() == [math.inf, pytest.approx(math.log(4))]


def test_scaled_softmax_is_not_taken_for_softmax():
    halved = nonlinearities.softmax(torch.zeros(1, 2)) * 0.5
    loss = categorical_crossentropy(halved, torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(4))


def test_accuracy_breaks_ties_as_lasagne():
    """argmax takes the first of the tied classes, argsort's last k take the last."""
    p = torch.tensor([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.3, 0.3, 0.3]])
    labels = torch.tensor([0, 1, 2, 2])
    assert categorical_accuracy(p, labels).tolist() == [True, False, False, False]
    assert categorical_accuracy(p, labels, top_k=2).tolist() == [True] * 4
    assert categorical_accuracy(p[3:], torch.tensor([0]), top_k=2).tolist() == [False]


def test_top_k_accuracy_never_counts_nan_as_correct():
    p = torch.full((2, 6), torch.nan)
    assert not categorical_accuracy(p, torch.tensor([0, 5]), top_k=5).any()


def test_targets_of_the_wrong_rank():
    with pytest.raises(TypeError, match=r"targets must have shape \(4,\) .* got \(4, 1, 1\)"):
        categorical_crossentropy(torch.ones(4, 3), torch.ones(4, 1, 1))
    with pytest.raises(TypeError, match=r"targets must have shape \(4,\) .* got \(\)"):
        categorical_accuracy(torch.ones(4, 3), torch.tensor(1))
    with pytest.raises(TypeError, match=r"targets must have shape \(4,\) .* got \(4, 1, 1\)"):
        multiclass_hinge_loss(torch.ones(4, 3), torch.ones(4, 1, 1))


def test_hinge_loss_must_be_told_what_its_predictions_are():
    with pytest.raises(FutureWarning, match="needs log_odds=True if the predictions are log-odds"):
        binary_hinge_loss(torch.ones(2), torch.ones(2))


@pytest.mark.parametrize("one_hot", [False, True])
def test_multiclass_hinge_loss_by_a_loop(one_hot: bool):
    scores, labels = torch.randn(20, 5), torch.randint(5, (20,))
    targets = torch.eye(5)[labels] if one_hot else labels
    expected = []
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        wrong = max(score for i, score in enumerate(row) if i != label)
        expected.append(max(0, wrong - row[label] + 0.7))
    assert multiclass_hinge_loss(scores, targets, 0.7).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("delta", [0.5, 1, 2.5])
def test_huber_loss_is_torchs(delta: float):
    a, b = torch.randn(30, 2), torch.randn(30, 2)
    expected = torch.nn.functional.huber_loss(a, b, reduction="none", delta=delta)
    torch.testing.assert_close(huber_loss(a, b, delta), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_integer_targets_may_be_unsigned(dtype: torch.dtype):
    x, t = torch.tensor([-2.0, 2.0]), torch.tensor([0, 1]).to(dtype)
    assert binary_hinge_loss(x, t, log_odds=True).tolist() == [0, 0]
    p = torch.tensor([0.25, 0.25])
    expected = [-math.log(0.75), -math.log(0.25)]
    assert objectives.binary_crossentropy(p, t).tolist() == pytest.approx(expected)


def test_targets_may_be_numbers_or_arrays():
    p = torch.tensor([[0.25], [0.5]])
    assert objectives.binary_crossentropy(p, 1).flatten().tolist() == pytest.approx(
        [-math.log(0.25), -math.log(0.5)]
    )
    assert objectives.squared_error(p, np.array([0.25, 1.5])).tolist() == [[0], [1]]
    assert categorical_accuracy(np.eye(3), np.array([0, 1, 0])).tolist() == [True, True, False]
    assert categorical_crossentropy(torch.ones(2, 1), np.array([0, 0])).tolist() == [0, 0]


@pytest.mark.parametrize("x", [20.0, -20.0, 200.0])
def test_crossentropy_of_sigmoid_stays_finite(x: float):
    """log(1 + exp(x)) for a target of 0, with the sigmoid as its gradient, as Theano's."""
    value = torch.tensor([x], requires_grad=True)
    loss = objectives.binary_crossentropy(nonlinearities.sigmoid(value), torch.zeros(1))
    assert loss.item() == pytest.approx(max(x, 0) + math.log1p(math.exp(-abs(x))), abs=1e-8)
    (gradient,) = torch.autograd.grad(loss.sum(), value)
    assert gradient.item() == pytest.approx(1 / (1 + math.exp(-x)), abs=1e-8)


def test_probabilities_changed_in_place_are_taken_as_they_are():
    with torch.no_grad():
        p = nonlinearities.softmax(torch.tensor([[0.0, 5.0]]))
        p.clamp_(0.1, 0.9)
    assert categorical_crossentropy(p, torch.tensor([0])).item() == pytest.approx(-math.log(0.1))


def test_labels_must_be_classes():
    p = nonlinearities.softmax(torch.zeros(2, 3))
    with pytest.raises(IndexError):
        categorical_crossentropy(p, torch.tensor([-100, 0]))
    for labels in (torch.tensor([0.0, 1.7]), torch.tensor([True, False])):
        with pytest.raises(TypeError, match="labels must be integers, got torch"):
            categorical_crossentropy(p, labels)


def test_inner_layers_do_not_keep_their_preactivation():
    from lasagne.layers import DenseLayer, InputLayer, Network, NonlinearityLayer

    seen = []
    hidden = DenseLayer(InputLayer((None, 2)), 3, nonlinearity=nonlinearities.sigmoid)
    hidden.register_forward_hook(lambda layer, args, output: seen.append(output))
    output = NonlinearityLayer(hidden, nonlinearities.sigmoid)
    y = Network(output)(torch.ones(1, 2))
    assert hasattr(y, "log_odds")
    assert not hasattr(seen[0], "log_odds")
