"""The training loss against NumPy and SciPy."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from common.errors import CommandError
from lasagne.nonlinearities import softmax
from lasagne.objectives import categorical_crossentropy
from training.loss import check_smoothing, instance_losses

LABELS = torch.tensor([3, 0, 4, 4, 1, 2])


def logits(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = np.random.default_rng(0).normal(scale=4, size=(6, 5))
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def by_definition(values: torch.Tensor, smoothing: float) -> np.ndarray:
    """One instance and one label after the other."""
    scores, result = log_softmax(values.detach().double().numpy(), axis=1), []
    for row, label in zip(scores, LABELS.tolist(), strict=True):
        terms = [
            ((1 - smoothing) * (number == label) + smoothing / len(row)) * score
            for number, score in enumerate(row)
        ]
        result.append(-sum(terms))
    return np.array(result)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("is_plain", [False, True])
def test_the_definition(smoothing, is_plain):
    values = logits()
    outputs = torch.softmax(values, dim=1) if is_plain else softmax(values)
    losses = instance_losses(outputs, LABELS, smoothing)
    np.testing.assert_allclose(losses.detach().numpy(), by_definition(values, smoothing))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_its_gradient_is_the_difference_between_output_and_target(smoothing):
    values = logits()
    instance_losses(softmax(values), LABELS, smoothing).sum().backward()
    targets = np.full((6, 5), smoothing / 5)
    targets[np.arange(6), LABELS.numpy()] += 1 - smoothing
    expected = torch.softmax(values, dim=1).detach().numpy() - targets
    np.testing.assert_allclose(values.grad.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_without_smoothing_it_is_lasagnes_loss_bitwise(dtype):
    ours, theirs = logits(dtype), logits(dtype)
    losses = instance_losses(softmax(ours), LABELS, 0.0)
    expected = categorical_crossentropy(softmax(theirs), LABELS)
    assert torch.equal(losses, expected)
    losses.sum().backward()
    expected.sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_single(dtype):
    values = logits(dtype)
    losses = instance_losses(softmax(values), LABELS, 0.1)
    assert losses.dtype == torch.float32
    np.testing.assert_allclose(losses.detach().numpy(), by_definition(values, 0.1), rtol=1e-5)


def test_it_stays_finite_where_a_probability_underflows():
    values = torch.tensor([[0.0, 200.0]])
    losses = instance_losses(softmax(values), torch.tensor([0]), 0.5)
    assert losses.tolist() == [150.0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_no_instances_have_no_losses(smoothing):
    """As a process has where a batch is smaller than the number of processes."""
    losses = instance_losses(softmax(torch.zeros(0, 5)), LABELS[:0], smoothing)
    assert losses.shape == (0,)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_a_smoothing_outside_its_range_is_refused(smoothing):
    with pytest.raises(CommandError) as error:
        check_smoothing(smoothing)
    assert str(error.value) == (
        f"--label-smoothing is {smoothing}; give at least 0 and less than 1."
    )


def test_a_smoothing_within_its_range_is_accepted():
    check_smoothing(0.0)
    check_smoothing(0.999)
