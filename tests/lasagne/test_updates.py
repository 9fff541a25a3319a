"""Update rules against Lasagne's numbers, and what an optimizer must do besides."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lasagne import optimizers, updates
from tests.lasagne.golden import cases, error, load

RULES = {
    "sgd": {"learning_rate": 0.1},
    "momentum": {"learning_rate": 0.1},
    "nesterov_momentum": {"learning_rate": 0.1},
    "adagrad": {},
    "rmsprop": {},
    "adadelta": {},
    "adam": {},
    "adamax": {},
    "amsgrad": {},
}
RULE_CASES = [case for case in cases("updates") if case.id.rpartition("_")[0] in RULES]
PRECISIONS = [(torch.float32, 5e-6), (torch.float64, 1e-9)]


def start(stored: dict, dtype: torch.dtype) -> list[nn.Parameter]:
    return [nn.Parameter(torch.tensor(stored[key], dtype=dtype)) for key in ("p0", "p1")]


def gradients(stored: dict, step: int, dtype: torch.dtype) -> list[torch.Tensor]:
    return [torch.tensor(stored[key][step], dtype=dtype) for key in ("g0", "g1")]


def check(params: list[nn.Parameter], stored: dict, step: int, tolerance: float) -> None:
    for i, param in enumerate(params):
        assert error(param, stored[f"p{i}_after"][step]) < tolerance


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("path", RULE_CASES)
def test_golden(
    path: Path, dtype: torch.dtype, tolerance: float, fused: bool, monkeypatch: pytest.MonkeyPatch
):
    if not fused:
        monkeypatch.setattr(optimizers.rules, "_have_fused_kernel", lambda params: False)
    spec, stored = load(path)
    params = start(stored, dtype)
    optimizer = getattr(updates, spec["function"])(None, params, **spec["kwargs"])
    for step in range(6):
        for param, grad in zip(params, gradients(stored, step, dtype), strict=True):
            param.grad = grad
        optimizer.step()
        check(params, stored, step, tolerance)


@pytest.mark.parametrize("path", cases("updates", "*_alt"))
def test_resumes_with_equal_numbers(path: Path):
    """After a round trip of the state in the middle; the buffers come back laid out anew."""
    spec, stored = load(path)
    params = [nn.Parameter(p.detach().t().contiguous().t()) for p in start(stored, torch.float32)]
    optimizer = getattr(updates, spec["function"])(None, params, **spec["kwargs"])
    for step in range(6):
        for param, grad in zip(params, gradients(stored, step, torch.float32), strict=True):
            param.grad = grad
        optimizer.step()
        check(params, stored, step, 5e-6)
        if step == 2:
            state = copy.deepcopy(optimizer.state_dict())
            for buffers in state["state"].values():
                buffers.update({key: value.contiguous() for key, value in buffers.items()})
            optimizer = getattr(updates, spec["function"])(None, params, learning_rate=9.0)
            optimizer.load_state_dict(state)


def velocity_by_definition(rule: str, rates: list[float], mu: float) -> tuple[list, np.ndarray]:
    """Restate Lasagne's momentum rules in NumPy: the velocity contains the rate."""
    rng = np.random.RandomState(3)
    p, v = rng.randn(7), np.zeros(7)
    history, grads = [p], rng.randn(len(rates), 7)
    for lr, g in zip(rates, grads, strict=True):
        v = mu * v - lr * g
        p = p + (v if rule == "momentum" else mu * v - lr * g)
        history.append(p)
    return history, grads


@pytest.mark.parametrize("rule", ["momentum", "nesterov_momentum"])
@pytest.mark.parametrize(
    "rates", [[0.1, 0.1, 0.01, 0.0, 0.0, 0.2, 1e-9, 0.3], [0.0, 0.0, 0.1, 0.0, 0.1]]
)
@pytest.mark.parametrize("mu", [0.9, 0.0])
def test_velocity_contains_the_rate(rule: str, rates: list[float], mu: float):
    history, grads = velocity_by_definition(rule, rates, mu)
    param = nn.Parameter(torch.tensor(history[0]))
    optimizer = getattr(updates, rule)(None, [param], rates[0], mu)
    for lr, grad, expected in zip(rates, grads, history[1:], strict=True):
        optimizer.param_groups[0]["lr"] = lr
        param.grad = torch.tensor(grad)
        optimizer.step()
        assert error(param, expected) < 1e-9


def test_velocity_of_a_parameter_without_gradient_is_rescaled_too():
    """A step that skips a parameter while the rate changes must not change its velocity."""
    param, other = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = updates.momentum(None, [param, other], 0.1, 0.5)
    for lr, grad in [(0.1, 1.0), (0.01, None), (0.01, 0.0)]:
        optimizer.param_groups[0]["lr"] = lr
        param.grad = None if grad is None else torch.tensor([grad])
        other.grad = torch.ones(1)
        optimizer.step()
    assert param.item() == pytest.approx(-0.1 - 0.05)


@pytest.mark.parametrize("rule", RULES)
def test_a_gradient_in_another_memory_layout(rule: str):
    """PyTorch's fused kernels read memory in a row; a transposed gradient must not be misread."""
    values = torch.arange(12.0).reshape(4, 3) - 5
    grads = [torch.randn(4, 3, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    results = []
    for transposed in (False, True):
        param = nn.Parameter(values.clone())
        optimizer = getattr(updates, rule)(None, [param], **RULES[rule])
        for grad in grads:
            param.grad = grad.t().contiguous().t() if transposed else grad.clone()
            optimizer.step()
        results.append(param.detach())
    assert torch.equal(*results)


@pytest.mark.parametrize("rule", RULES)
def test_parameter_without_gradient_is_left_alone(rule: str):
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = getattr(updates, rule)(None, [used, unused], **RULES[rule])
    used.grad = torch.ones(2)
    optimizer.step()
    assert unused.tolist() == [1, 1]
    assert (used < 1).all()


@pytest.mark.parametrize("rule", RULES)
def test_returns_a_torch_optimizer_named_after_the_rule(rule: str):
    optimizer = getattr(updates, rule)(None, [nn.Parameter(torch.ones(2))], **RULES[rule])
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert type(optimizer).__name__.lower() == rule.replace("_", "")


def test_scheduler_and_groups():
    """Biases at twice the rate, halved every step."""
    w, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = updates.sgd(None, [{"params": [w]}, {"params": [b], "lr": 0.2}], 0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for _ in range(2):
        w.grad = b.grad = torch.ones(1)
        optimizer.step()
        scheduler.step()
    assert (w.item(), b.item()) == pytest.approx((-0.15, -0.3))


def test_a_loss_or_gradients_may_be_given():
    w = nn.Parameter(torch.tensor([1.0, -2.0]))
    updates.sgd(w.square().sum(), [w], 0.25).step()
    assert w.tolist() == [0.5, -1.0]
    updates.sgd([torch.ones(2)], [w], 0.5).step()
    assert w.tolist() == [0.0, -1.5]


def test_errors():
    w = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="one gradient for each of the 1 parameters, got 2"):
        updates.sgd([torch.ones(2), torch.ones(2)], [w], 0.1)
    with pytest.raises(ValueError, match=r"gradient 0 must have .* shape \(2,\), got \(3,\)"):
        updates.sgd([torch.ones(3)], [w], 0.1)
    with pytest.raises(ValueError, match=r"the loss must be a scalar, got shape \(2,\)"):
        updates.adam(w * 2, [w])
    with pytest.raises(ValueError, match="learning_rate must not be negative, got -1"):
        updates.sgd(None, [w], -1)
    with pytest.raises(ValueError, match="momentum must not be negative, got nan"):
        updates.momentum(None, [w], 0.1, float("nan"))
    with pytest.raises(ValueError, match="beta2 must be less than 1, got 1"):
        updates.adam(None, [w], beta2=1)


def test_closure():
    w = nn.Parameter(torch.ones(1))
    optimizer = updates.sgd(None, [w], 0.5)

    def closure():
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1
    assert w.item() == 0


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_rate_multiplier_and_weight_decay(rule: str, fused: bool, monkeypatch: pytest.MonkeyPatch):
    """They equal another rate, and a gradient to which the decay was added by hand."""
    if not fused:
        monkeypatch.setattr(optimizers.rules, "_have_fused_kernel", lambda params: False)
    kwargs = {"learning_rate": 0.1} | RULES[rule]
    start_value = torch.randn(5, dtype=torch.float64)
    param, twin = nn.Parameter(start_value.clone()), nn.Parameter(start_value.clone())
    group = {"params": [param], "rate_multiplier": 2, "weight_decay": 0.3}
    optimizer = getattr(updates, rule)(None, [group], **kwargs)
    plain = getattr(updates, rule)(None, [twin], **kwargs | {"learning_rate": 0.2})
    for _ in range(3):
        grad = torch.randn(5, dtype=torch.float64)
        param.grad, twin.grad = grad, grad + 0.3 * twin.detach()
        optimizer.step()
        plain.step()
        torch.testing.assert_close(param, twin, rtol=1e-12, atol=1e-12)
        assert torch.equal(param.grad, grad)


def test_groups_of_older_states_get_defaults():
    w = nn.Parameter(torch.ones(1))
    optimizer = updates.sgd(None, [w], 0.5)
    state = optimizer.state_dict()
    for name in optimizers.LasagneOptimizer.group_defaults:
        del state["param_groups"][0][name]
    optimizer.load_state_dict(state)
    w.grad = torch.ones(1)
    optimizer.step()
    assert w.item() == 0.5


def test_numbers_of_a_group_must_not_be_negative():
    group = {"params": [nn.Parameter(torch.ones(1))], "weight_decay": -0.1}
    with pytest.raises(
        ValueError, match=r"weight_decay of a group must not be negative, got -0\.1"
    ):
        updates.sgd(None, [group], 0.1)


@pytest.mark.parametrize("rule", RULES)
def test_a_parameter_with_gaps_in_memory(rule: str):
    """What lies between its values must stay as it is."""
    memory, twin = torch.ones(4, 8), nn.Parameter(torch.ones(4, 4))
    param = nn.Parameter(memory[:, :4])
    grad = torch.randn(4, 4)
    for each in (param, twin):
        optimizer = getattr(updates, rule)(None, [each], **RULES[rule])
        for _ in range(2):
            each.grad = grad.clone()
            optimizer.step()
    torch.testing.assert_close(param, twin)
    assert (memory[:, 4:] == 1).all()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"rate_multipler": 2}, r"no entry 'rate_multipler' \(did you mean 'rate_multiplier'\?\)"),
        ({"learning_rate": 2}, r"no entry 'learning_rate' \(did you mean 'lr'\?\)"),
    ],
)
def test_misspelt_entries_of_a_group(entry: dict, message: str):
    with pytest.raises(ValueError, match=message):
        updates.sgd(None, [{"params": [nn.Parameter(torch.ones(1))], **entry}], 0.1)


def test_there_is_no_dictionary_of_updates():
    w = nn.Parameter(torch.ones(1))
    optimizer = updates.sgd(None, [w], 0.1)
    with pytest.raises(TypeError, match="returns an optimizer, not a dictionary of updates"):
        optimizer[w] = w
    with pytest.raises(TypeError, match="returns an optimizer, not a dictionary of updates"):
        optimizer[w]
