"""The update rule of an experiment: groups by tag, against the original's numbers and NumPy."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lasagne
from common.errors import CommandError
from lasagne.layers import (
    BatchNormLayer,
    DenseLayer,
    InputLayer,
    Layer,
    Network,
    ParametricRectifierLayer,
    get_all_params,
    set_all_param_values,
)
from lasagne.nonlinearities import softmax
from tests.architectures.test_caffe_alexnet import caffe_alex_net
from tests.lasagne.golden_network import GoldenNetwork
from training.experiment import Experiment
from training.update_rule import optimizer_maker, restore_optimizer

RULES = ("sgd", "momentum", "nesterov_momentum", "adagrad", "rmsprop", "adadelta")
RULES += ("adam", "adamax", "amsgrad")
PLAIN: dict[str, Any] = {}
DIVIDED = {"weight_decay": 0.01, "bias_rate_multiplier": 2.0}
NAMES = ("W", "b", "beta", "gamma", "alpha", "W", "b")
DECAYED = ("W", "gamma")


def experiment(**options: Any) -> Experiment:
    return Experiment(Path("digits"), "SingleLayerMlp", **options)


def network() -> Layer:
    """Of all kinds of parameters, in float64, with the same start values each time."""
    layer: Layer = BatchNormLayer(DenseLayer(InputLayer((None, 3)), 4, nonlinearity=None))
    layer = DenseLayer(ParametricRectifierLayer(layer), 2, nonlinearity=softmax)
    rng = np.random.default_rng(0)
    values = [rng.normal(size=tuple(p.shape)) for p in get_all_params(layer, trainable=True)]
    Network(layer).double()
    set_all_param_values(layer, values, trainable=True)
    return layer


def set_gradients(params: list[torch.Tensor], step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(100 + step)
    gradients = [rng.normal(size=tuple(param.shape)) for param in params]
    for param, gradient in zip(params, gradients, strict=True):
        param.grad = torch.tensor(gradient)
    return gradients


def take_steps(optimizer: torch.optim.Optimizer, params: list[torch.Tensor], steps: range) -> None:
    for step in steps:
        set_gradients(params, step)
        optimizer.step()


@pytest.mark.parametrize(
    ("trajectory", "rule", "factor"),
    [
        ("momentum", {"update_func_name": "momentum", "update_func_kwargs": "momentum=0.9"}, 1),
        ("nesterov", {"update_func_name": "momentum", "update_func_kwargs": "momentum=0.81"}, 1.9),
        ("none", {"update_func_name": "sgd"}, 1),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_theano_alexnets_rules(dtype, trajectory, rule, factor):
    """Decay of the weights only and biases at twice the rate, against its own numbers.

    What it calls Nesterov's momentum is plain momentum with mu**2 at (1 + mu) times the rate.
    """
    golden = GoldenNetwork("theano_alexnet")
    golden.set(caffe_alex_net(golden), dtype)
    numbers = golden.spec["kwargs"]
    assert (numbers["learning_rate"], numbers["momentum"]) == (0.01, 0.9)
    divided = {"weight_decay": numbers["weight_decay"], "bias_rate_multiplier": 2.0}
    make = optimizer_maker(experiment(**rule, **divided), golden.output)
    golden.check_three_steps(make(factor * 0.01), trajectory)


def test_what_is_a_weight_and_what_is_a_bias():
    """By gradient descent in NumPy; gamma decays as Lasagne tags it, alpha has the biases' rate."""
    layer = network()
    params = get_all_params(layer, trainable=True)
    assert [param.shape for param in params] == [(3, 4), (4,), (4,), (4,), (4,), (4, 2), (2,)]
    expected = [param.detach().numpy().copy() for param in params]
    optimizer = optimizer_maker(experiment(update_func_name="sgd", **DIVIDED), layer)(0.1)
    for step in range(3):
        gradients = set_gradients(params, step)
        optimizer.step()
        for name, value, gradient in zip(NAMES, expected, gradients, strict=True):
            is_weight = name in DECAYED
            value -= 0.1 * (gradient + 0.01 * value) if is_weight else 0.1 * 2 * gradient
    for param, value in zip(params, expected, strict=True):
        np.testing.assert_allclose(param.detach().numpy(), value, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_without_these_options_it_is_lasagnes_rule_bitwise(rule):
    ours, theirs = network(), network()
    params = get_all_params(theirs, trainable=True)
    expected = getattr(lasagne.updates, rule)(None, params, 0.05)
    optimizer = optimizer_maker(experiment(update_func_name=rule), ours)(0.05)
    take_steps(expected, params, range(3))
    take_steps(optimizer, get_all_params(ours, trainable=True), range(3))
    assert optimizer.state_dict()["param_groups"] == expected.state_dict()["param_groups"]
    for one, other in zip(get_all_params(ours), get_all_params(theirs), strict=True):
        assert torch.equal(one, other)


def test_the_order_of_parameters_is_the_same_each_time():
    for options in (PLAIN, DIVIDED):
        orders = []
        for layer in (network(), network()):
            optimizer = optimizer_maker(experiment(**options), layer)(0.1)
            places = {param: i for i, param in enumerate(get_all_params(layer, trainable=True))}
            orders.append([[places[p] for p in g["params"]] for g in optimizer.param_groups])
        assert orders[0] == orders[1]
        assert orders[0] == ([[0, 3, 5], [1, 2, 4, 6]] if options else [[0, 1, 2, 3, 4, 5, 6]])


def test_a_parameter_that_layers_share_with_different_tags_is_in_one_group():
    below = DenseLayer(InputLayer((None, 2)), 2, b=None)
    layer = DenseLayer(below, 2, W=below.W)
    layer.params[layer.W].discard("regularizable")
    optimizer = optimizer_maker(experiment(**DIVIDED), layer)(0.1)
    weights, biases = (group["params"] for group in optimizer.param_groups)
    assert weights[0] is below.W
    assert len(weights) == len(biases) == 1


OTHERS = {
    "plain": PLAIN,
    "divided": DIVIDED,
    "other numbers": {"weight_decay": 0.3, "bias_rate_multiplier": 0.5},
    "still biases": {"bias_rate_multiplier": 0.0},
}


def one_by_one(layer: Layer, rule: str, options: dict[str, Any]) -> list[torch.optim.Optimizer]:
    """An optimizer for each parameter, so that no grouping can go wrong."""
    optimizers = []
    for name, param in zip(NAMES, get_all_params(layer, trainable=True), strict=True):
        decay = options.get("weight_decay", 0.0) if name in DECAYED else 0.0
        multiplier = 1.0 if name in DECAYED else options.get("bias_rate_multiplier", 1.0)
        group = {"params": [param], "weight_decay": decay, "rate_multiplier": multiplier}
        optimizers.append(getattr(lasagne.updates, rule)(None, [group], 0.1))
    return optimizers


@pytest.mark.parametrize("after", OTHERS)
@pytest.mark.parametrize("before", OTHERS)
@pytest.mark.parametrize("rule", RULES)
def test_a_restored_rule_goes_on_with_other_numbers_and_groups(rule, before, after):
    """As one whose numbers changed while it ran, with a group for every parameter."""
    layer, expected = network(), network()
    params, single = (
        get_all_params(layer, trainable=True),
        one_by_one(expected, rule, OTHERS[before]),
    )
    first = optimizer_maker(experiment(update_func_name=rule, **OTHERS[before]), layer)(0.1)
    take_steps(first, params, range(3))
    recorded = copy.deepcopy(first.state_dict())
    recorded["param_groups"] = json.loads(json.dumps(recorded["param_groups"]))
    chosen = experiment(update_func_name=rule, **OTHERS[after])
    second = optimizer_maker(chosen, layer)(0.02)
    restore_optimizer(second, layer, recorded)
    take_steps(second, params, range(3, 6))

    for step in range(6):
        set_gradients(get_all_params(expected, trainable=True), step)
        for optimizer, changed in zip(
            single, one_by_one(expected, rule, OTHERS[after]), strict=True
        ):
            if step == 3:
                (group,), (numbers,) = optimizer.param_groups, changed.param_groups
                names = ("weight_decay", "rate_multiplier")
                group |= {"lr": 0.02} | {name: numbers[name] for name in names}
            optimizer.step()
    for one, other in zip(params, get_all_params(expected, trainable=True), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [PLAIN, DIVIDED])
def test_restored_with_the_same_options_it_goes_on_bitwise(options):
    whole, cut = network(), network()
    chosen = experiment(**options)
    first = optimizer_maker(chosen, whole)(0.1)
    take_steps(first, get_all_params(whole, trainable=True), range(6))
    first = optimizer_maker(chosen, cut)(0.1)
    params = get_all_params(cut, trainable=True)
    take_steps(first, params, range(3))
    second = optimizer_maker(chosen, cut)(0.1)
    restore_optimizer(second, cut, copy.deepcopy(first.state_dict()))
    take_steps(second, params, range(3, 6))
    for one, other in zip(params, get_all_params(whole, trainable=True), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("options", [PLAIN, DIVIDED])
def test_made_again_it_starts_anew(options):
    layer = network()
    make = optimizer_maker(experiment(update_func_name="adam", **options), layer)
    first = make(0.1)
    take_steps(first, get_all_params(layer, trainable=True), range(3))
    second = make(0.01)
    assert not second.state
    assert all(group["lr"] == 0.01 and "t" not in group for group in second.param_groups)
    assert all(group["lr"] == 0.1 and group["t"] == 3 for group in first.param_groups)


def test_restored_before_the_first_step_it_starts():
    layer = network()
    options = [experiment(**one) for one in (PLAIN, DIVIDED)]
    first, second = (optimizer_maker(one, layer)(0.1) for one in options)
    restore_optimizer(second, layer, first.state_dict())
    take_steps(second, get_all_params(layer, trainable=True), range(1))
    assert len(second.state) == len(NAMES)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"weight_decay": -0.1}, "--weight-decay is -0.1; give at least 0."),
        ({"weight_decay": float("nan")}, "--weight-decay is nan; give at least 0."),
        ({"bias_rate_multiplier": -2.0}, "--bias-rate-multiplier is -2.0; give at least 0."),
        (
            {"update_func_name": "sgd", "update_func_kwargs": "momentum=0.9"},
            "--update-func-kwargs: sgd has no parameter 'momentum'. It has: none.",
        ),
        (
            {"update_func_kwargs": "momentum=high"},
            "--update-func-kwargs: 'momentum' is 'high'; give a number.",
        ),
        (
            {"update_func_kwargs": "momentum=-1"},
            "--update-func-kwargs: momentum must not be negative, got -1.",
        ),
    ],
)
def test_numbers_that_are_not_accepted_are_told(options, sentence):
    with pytest.raises(CommandError) as error:
        optimizer_maker(experiment(**options), network())(0.1)
    assert str(error.value) == sentence
