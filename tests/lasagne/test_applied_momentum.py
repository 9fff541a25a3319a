"""Momentum on top of other rules against Lasagne's numbers."""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from lasagne import updates
from tests.lasagne.golden import cases, load
from tests.lasagne.test_updates import PRECISIONS, check, gradients, start


def optimizer_of(spec: dict, params: list[nn.Parameter]) -> torch.optim.Optimizer:
    base = getattr(updates, spec["base"]["function"])(None, params, **spec["base"]["kwargs"])
    moved = [params[i] for i in spec["on_params"]]
    return getattr(updates, spec["function"])(base, moved, **spec["kwargs"])


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("path", cases("updates", "apply_*"))
def test_golden(path: Path, dtype: torch.dtype, tolerance: float, resumed: bool):
    spec, stored = load(path)
    params = start(stored, dtype)
    optimizer = optimizer_of(spec, params)
    for step in range(6):
        if resumed and step == 3:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = optimizer_of(spec, params)
            optimizer.load_state_dict(state)
        for param, grad in zip(params, gradients(stored, step, dtype), strict=True):
            param.grad = grad
        optimizer.step()
        check(params, stored, step, tolerance)


@pytest.mark.parametrize(
    ("apply", "rule"),
    [("apply_momentum", "momentum"), ("apply_nesterov_momentum", "nesterov_momentum")],
)
def test_on_gradient_descent_it_is_the_rule_itself(apply: str, rule: str):
    """Also where a parameter has no gradient for a while, and the rate changes."""
    first = [nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(2)]
    second = [nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(2)]
    optimizer = getattr(updates, apply)(updates.sgd(None, first, 0.1), momentum=0.8)
    expected = getattr(updates, rule)(None, second, 0.1, momentum=0.8)
    for step in range(5):
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            grad = torch.randn(3, dtype=torch.float64)
            a.grad = b.grad = None if i and step == 2 else grad
        for each in (optimizer, expected):
            each.param_groups[0]["lr"] = 0.1 / (step + 1)
            each.step()
        for a, b in zip(first, second, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("change", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(change):
    w = nn.Parameter(torch.ones(2))
    optimizer = updates.apply_momentum(updates.sgd(None, [w], 0.1))
    w.grad = torch.ones(2)
    optimizer.step()
    twin = change(optimizer)
    (copied,) = twin.param_groups[0]["params"]
    copied.grad = torch.ones(2)
    twin.step()
    optimizer.step()
    assert torch.equal(copied, w)


def test_closure():
    w = nn.Parameter(torch.ones(1))
    optimizer = updates.apply_momentum(updates.sgd(None, [w], 0.5), momentum=0.5)

    def closure():
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1
    assert w.item() == 0
    optimizer.step(closure)
    assert w.item() == -0.5


def test_errors():
    w, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    with pytest.raises(TypeError, match="momentum is applied to an optimizer, .* got dict"):
        updates.apply_momentum({w: w})
    with pytest.raises(ValueError, match="momentum must not be negative, got -1"):
        updates.apply_nesterov_momentum(updates.sgd(None, [w], 0.1), momentum=-1)
    with pytest.raises(ValueError, match="params must be among the parameters of the optimizer"):
        updates.apply_momentum(updates.sgd(None, [w], 0.1), [other])


def test_momentum_on_momentum():
    """Each keeps a velocity of its own."""
    w, v1, v2, expected = nn.Parameter(torch.ones(1).double()), 0.0, 0.0, 1.0
    inner = updates.apply_momentum(updates.sgd(None, [w], 0.1), momentum=0.5)
    optimizer = updates.apply_nesterov_momentum(inner, momentum=0.9)
    for _ in range(3):
        w.grad = w.detach().clone()
        v1 = 0.5 * v1 - 0.1 * expected
        v2 = 0.9 * v2 + v1
        expected = expected + v1 + 0.9 * v2
        optimizer.step()
    assert w.item() == pytest.approx(expected)


def test_a_group_added_later_gathers_momentum_too():
    w, z = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = updates.apply_momentum(updates.sgd(None, [w], 0.1), momentum=0.5)
    optimizer.add_param_group({"params": [z]})
    for _ in range(2):
        w.grad, z.grad = torch.ones(1), torch.ones(1)
        optimizer.step()
    assert w.item() == z.item() == pytest.approx(-0.25)
