"""The update rule of an experiment: weight decay of weights, another rate of biases."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

import lasagne
from common.errors import CommandError
from common.params import parse_params
from lasagne.layers import Layer, get_all_params
from training.experiment import Experiment


def optimizer_maker(experiment: Experiment, output_layer: Layer) -> Callable[[float], Optimizer]:
    """Returns a function that starts the update rule anew, at a given rate.

    Weights are the trainable parameters that Lasagne tags `regularizable` (W, but also BatchNorm's
    gamma): they have the weight decay. Biases are the other trainable ones (b and beta; also alpha,
    a recurrent layer's first state and the like): they have the multiplied rate. They are two
    groups where one of these numbers is not the default, else one.

    Raises CommandError where a number or a parameter of the rule is not accepted.
    """
    decay, multiplier = experiment.weight_decay, experiment.bias_rate_multiplier
    for option, value in {"--weight-decay": decay, "--bias-rate-multiplier": multiplier}.items():
        if not (math.isfinite(value) and value >= 0):
            raise CommandError(f"{option} is {value}; give at least 0.")
    rule = getattr(lasagne.updates, experiment.update_func_name)
    kwargs = _rule_kwargs(experiment, rule)
    params = get_all_params(output_layer, trainable=True)
    weights, biases = _weights_and_biases(output_layer)

    def make(rate: float) -> Optimizer:
        groups: Any = params
        if decay != 0 or multiplier != 1:
            groups = [
                {"params": weights, "weight_decay": decay},
                {"params": biases, "rate_multiplier": multiplier},
            ]
        try:
            optimizer: Optimizer = rule(None, groups, rate, **kwargs)
        except ValueError as error:
            raise CommandError(f"--update-func-kwargs: {error}.") from error
        return optimizer

    return make


def restore_optimizer(optimizer: Optimizer, output_layer: Layer, recorded: dict[str, Any]) -> None:
    """Takes up the state of a rule; the optimizer keeps its own numbers: rate, momentum, decay.

    Parameters
    ----------
    optimizer : Optimizer
        Of `optimizer_maker`.
    output_layer : Layer
        Of the optimizer's network.
    recorded : dict
        A state dict of the same rule for the same network, with the same groups or others.
    """
    kept = _by_param(recorded, output_layer)
    state = optimizer.state_dict()
    state["state"] = {}
    for group, entry in zip(optimizer.param_groups, state["param_groups"], strict=True):
        numbers = [kept[param][1] for param in group["params"]]
        for name in {name for each in numbers for name in each} - {"params", *optimizer.defaults}:
            entry[name] = max(each.get(name, 0) for each in numbers)
        for index, param in zip(entry["params"], group["params"], strict=True):
            state["state"][index] = _at_rate(*kept[param], entry.get("buffer_lr"))
    optimizer.load_state_dict(state)


def _rule_kwargs(experiment: Experiment, rule: Callable[..., Optimizer]) -> dict[str, Any]:
    kwargs = parse_params(experiment.update_func_kwargs)
    accepted = list(inspect.signature(rule).parameters)[3:]
    for name, value in kwargs.items():
        if name not in accepted:
            raise CommandError(
                f"--update-func-kwargs: {experiment.update_func_name} has no parameter '{name}'. "
                f"It has: {', '.join(accepted) or 'none'}."
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CommandError(f"--update-func-kwargs: '{name}' is {value!r}; give a number.")
    return kwargs


def _weights_and_biases(output_layer: Layer) -> tuple[list[Tensor], list[Tensor]]:
    weights = get_all_params(output_layer, trainable=True, regularizable=True)
    tagged = set(weights)  # a parameter that layers share may have both tags
    params = get_all_params(output_layer, trainable=True)
    return weights, [param for param in params if param not in tagged]


def _by_param(
    recorded: dict[str, Any], output_layer: Layer
) -> dict[Tensor, tuple[dict[str, Any], dict[str, Any]]]:
    """Returns what was recorded for each parameter: its buffers, and the numbers of its group."""
    groups = recorded["param_groups"]
    divided = [get_all_params(output_layer, trainable=True)]
    if len(groups) > 1:
        divided = list(_weights_and_biases(output_layer))
    return {
        param: (recorded["state"].get(index, {}), group)
        for group, params in zip(groups, divided, strict=True)
        for index, param in zip(group["params"], params, strict=True)
    }


def _at_rate(
    buffers: dict[str, Any], numbers: dict[str, Any], rate: float | None
) -> dict[str, Any]:
    """Returns buffers for a group that keeps its momenta at `rate` (`lasagne.optimizers`)."""
    if "momentum_buffer" not in buffers or not rate or numbers["buffer_lr"] == rate:
        return buffers
    return buffers | {"momentum_buffer": buffers["momentum_buffer"] * (numbers["buffer_lr"] / rate)}
