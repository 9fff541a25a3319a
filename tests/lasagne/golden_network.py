"""A whole network with the numbers that the original computed for it."""

import json

import numpy as np
import pytest
import torch

from lasagne.layers import Layer, Network, get_all_layers, get_all_params, set_all_param_values
from lasagne.objectives import categorical_crossentropy
from tests.paths import GOLDEN

TOLERANCE = {
    torch.float32: {"output": 1e-5, "gradient": 1e-4, "parameter": 1e-5, "later_loss": 1e-4},
    torch.float64: {"output": 1e-9, "gradient": 1e-7, "parameter": 1e-9, "later_loss": 1e-9},
}
"""Float32: what the golden README asks for; float64: large gradients are stored as float32."""


def error(ours: torch.Tensor, stored: np.ndarray, floor: float = 0.0) -> float:
    difference = np.abs(ours.detach().numpy().astype(np.float64) - stored).max()
    return float(difference / (max(np.abs(stored).max(), floor) or 1.0))


class GoldenNetwork:
    """The numbers of one file of tests/golden/networks, and how to check a network with them."""

    def __init__(self, name: str) -> None:
        self.golden = np.load(GOLDEN / "networks" / f"{name}.npz", allow_pickle=False)
        self.spec = json.loads(str(self.golden["spec"]))

    def set(self, output: Layer, dtype: torch.dtype) -> None:
        """Give a network the start values."""
        count = len(self.golden["param_names"])
        set_all_param_values(output, [self.golden[f"p{i}"] for i in range(count)])
        self.output, self.network = output, Network(output).to(dtype)
        self.params = get_all_params(output, trainable=True)
        self.inputs = torch.from_numpy(self.golden["x"]).to(dtype)
        self.labels = torch.from_numpy(self.golden["t"]).long()
        self.tolerance = TOLERANCE[dtype]

    def loss(self, batch: int) -> torch.Tensor:
        softmax = self.network(self.inputs[batch], deterministic=True)
        return categorical_crossentropy(softmax, self.labels[batch]).mean()

    def check_layers_and_shapes(self) -> None:
        ours = [(type(one).__name__, one.output_shape[1:]) for one in get_all_layers(self.output)]
        expected = [(kind, tuple(shape[1:])) for kind, shape in self.spec["layers"]]
        dropout = ("DropoutLayer", "dropout")
        assert [o for o in ours if o[0] not in dropout] == [
            e for e in expected if e[0] not in dropout
        ]

    def check_outputs_loss_and_gradients(self) -> None:
        softmax = self.network(self.inputs[0], deterministic=True)
        assert error(softmax, self.golden["softmax"]) < self.tolerance["output"]
        loss = self.loss(0)
        assert error(loss, self.golden["loss"]) < self.tolerance["output"]
        loss.backward()
        stored = [self.golden[f"g{i}"] for i in range(len(self.params))]
        floor = 1e-3 * max(np.abs(gradient).max() for gradient in stored)
        for param, gradient in zip(self.params, stored, strict=True):
            assert error(param.grad, gradient, floor) < self.tolerance["gradient"]

    def check_three_steps(self, rule: torch.optim.Optimizer, trajectory: str) -> None:
        golden, tolerance = self.golden, self.tolerance
        for step in range(3):
            rule.zero_grad()
            loss = self.loss(step)
            loss.backward()
            assert error(loss, golden[f"{trajectory}_step_loss"][step]) < tolerance["later_loss"]
            rule.step()
            after = golden[f"{trajectory}_loss_batch0_after"][step]
            assert error(self.loss(0), after) < tolerance["later_loss"]
            for i, param in enumerate(self.params):
                key = f"{trajectory}_s{step + 1}"
                first = golden[f"{key}_p{i}_first"]
                # The start values give the scale where a single bias passes through zero.
                scale = np.abs(golden[f"p{i}"]).max()
                assert error(param.flatten()[:64], first, scale) < tolerance["parameter"]
                mean, deviation = golden[f"{key}_mean"][i], golden[f"{key}_std"][i]
                margin = tolerance["parameter"] * max(deviation, 0.1)
                assert abs(param.mean().item() - mean) < margin
                assert param.std(correction=0).item() == pytest.approx(deviation, rel=1e-4)
