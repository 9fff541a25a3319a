"""Penalties against Lasagne's numbers, on values and on a network."""

import pytest
import torch

from lasagne import regularization
from lasagne.layers import BatchNormLayer, DenseLayer, InputLayer, set_all_param_values
from lasagne.regularization import (
    apply_penalty,
    regularize_layer_params,
    regularize_layer_params_weighted,
    regularize_network_params,
)
from tests.lasagne.golden import cases, error, load

SPEC, STORED = load(cases("updates", "regularization")[0].values[0])


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_golden_values(name: str):
    x = torch.tensor(STORED["x"], dtype=torch.float64, requires_grad=True)
    value = getattr(regularization, name)(x)
    value.backward()
    assert error(value, STORED[f"{name}_value"]) < 1e-12
    assert error(x.grad, STORED[f"{name}_grad"]) < 1e-12


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_golden_network(name: str):
    a = DenseLayer(InputLayer((None, 6)), 5)
    b = BatchNormLayer(a)
    c = DenseLayer(b, 3)
    set_all_param_values(c, [STORED[f"p{i}"] for i in range(8)])
    penalty = getattr(regularization, name)
    coefficients = {"A": a, "C": c}
    weighted = {coefficients[key]: value for key, value in SPEC["weighted_coefficients"].items()}
    for result, key in [
        (regularize_network_params(c, penalty), "network"),
        (regularize_network_params(c, penalty, tags={"trainable": True}), "network_trainable"),
        (regularize_layer_params([a, c], penalty), "layers_AC"),
        (regularize_layer_params(b, penalty), "layer_B"),
        (regularize_layer_params_weighted(weighted, penalty), "weighted"),
    ]:
        assert error(result, STORED[f"{key}_{name}"]) < 1e-6, key


def test_apply_penalty_passes_arguments_on():
    tensors = [torch.tensor([1.0, -2.0]), torch.tensor([3.0])]

    def scaled(x, factor):
        return factor * x.abs().sum()

    assert apply_penalty(tensors, scaled, factor=2).item() == 12
    assert apply_penalty(tensors[0], scaled, factor=2).item() == 6
    assert apply_penalty([], scaled, factor=2) == 0
