"""Every architecture against the original's own numbers (tests/golden/networks)."""

import json

import numpy as np
import pytest
import torch

import lasagne
from architectures.registry import build
from lasagne.layers import Network, get_all_layers, get_all_params, set_all_param_values
from lasagne.objectives import categorical_crossentropy
from tests.paths import GOLDEN

NAMES = sorted(file.stem for file in (GOLDEN / "networks").glob("*.npz"))
ORIGINAL_PARAMS = {"LasagneMnistConvExample": {"max_pools": False}}
TOLERANCE = {
    torch.float32: {"output": 1e-5, "gradient": 1e-4, "parameter": 1e-5, "later_loss": 1e-4},
    torch.float64: {"output": 1e-9, "gradient": 1e-7, "parameter": 1e-9, "later_loss": 1e-9},
}
"""Float32: what the golden README asks for; float64: large gradients are stored as float32."""


class Case:
    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.golden = np.load(GOLDEN / "networks" / f"{name}.npz", allow_pickle=False)
        spec = json.loads(str(self.golden["spec"]))
        params = spec["kwargs"] | ORIGINAL_PARAMS.get(name, {})
        self.layers = spec["layers"]
        self.output = build(name, tuple(spec["input_shape"][1:]), spec["num_classes"], params)
        count = len(self.golden["param_names"])
        set_all_param_values(self.output, [self.golden[f"p{i}"] for i in range(count)])
        self.network = Network(self.output).to(dtype)
        self.params = get_all_params(self.output, trainable=True)
        self.inputs = torch.from_numpy(self.golden["x"]).to(dtype)
        self.labels = torch.from_numpy(self.golden["t"]).long()
        self.tolerance = TOLERANCE[dtype]

    def loss(self, batch: int) -> torch.Tensor:
        softmax = self.network(self.inputs[batch], deterministic=True)
        return categorical_crossentropy(softmax, self.labels[batch]).mean()


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=NAMES)
def case(request, dtype):
    return Case(request.param, dtype)


def error(ours: torch.Tensor, stored: np.ndarray, floor: float = 0.0) -> float:
    difference = np.abs(ours.detach().numpy().astype(np.float64) - stored).max()
    return float(difference / (max(np.abs(stored).max(), floor) or 1.0))


def test_every_architecture_of_the_original_is_here():
    assert {"SingleLayerMlp", "LasagneMnistExample", "ConvNet", "VggNet", "AlexNet"} < set(NAMES)


def test_layers_and_shapes(case):
    layers = get_all_layers(case.output)
    kinds = [type(layer).__name__ for layer in layers]
    shapes = [list(layer.output_shape[1:]) for layer in layers]
    expected = [(kind, shape[1:]) for kind, shape in case.layers]
    without = [pair for pair in expected if pair[0] != "DropoutLayer"]
    ours = [
        pair
        for pair in zip(kinds, shapes, strict=True)
        if pair[0] not in ("DropoutLayer", "dropout")
    ]
    assert ours == without


def test_outputs_loss_and_gradients(case):
    softmax = case.network(case.inputs[0], deterministic=True)
    assert error(softmax, case.golden["softmax"]) < case.tolerance["output"]
    loss = case.loss(0)
    assert error(loss, case.golden["loss"]) < case.tolerance["output"]
    loss.backward()
    stored = [case.golden[f"g{i}"] for i in range(len(case.params))]
    floor = 1e-3 * max(np.abs(gradient).max() for gradient in stored)
    for param, gradient in zip(case.params, stored, strict=True):
        assert error(param.grad, gradient, floor) < case.tolerance["gradient"]


def test_three_update_steps(case):
    golden = case.golden
    rule = lasagne.updates.nesterov_momentum(None, case.params, 0.01, momentum=0.9)
    for step in range(3):
        rule.zero_grad()
        loss = case.loss(step)
        loss.backward()
        stored_loss = golden["nesterov_step_loss"][step]
        assert error(loss, stored_loss) < case.tolerance["later_loss"]
        rule.step()
        after = case.loss(0)
        assert (
            error(after, golden["nesterov_loss_batch0_after"][step]) < case.tolerance["later_loss"]
        )
        for i, param in enumerate(case.params):
            first = golden[f"nesterov_s{step + 1}_p{i}_first"]
            assert error(param.flatten()[:64], first) < case.tolerance["parameter"]
            mean, deviation = (
                golden[f"nesterov_s{step + 1}_{name}"][i] for name in ("mean", "std")
            )
            assert abs(param.mean().item() - mean) < case.tolerance["parameter"] * max(
                deviation, 0.1
            )
            assert param.std(correction=0).item() == pytest.approx(deviation, rel=1e-4)
