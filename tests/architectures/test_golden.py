"""Every architecture against the original's own numbers (tests/golden/networks)."""

import pytest
import torch

from architectures.registry import build
from lasagne.updates import nesterov_momentum
from tests.lasagne.golden_network import GoldenNetwork

#: Each with the parameters that make it the original.
ARCHITECTURES = {
    "SingleLayerMlp": {},
    "LasagneMnistExample": {},
    "ConvNet": {},
    "LasagneMnistConvExample": {"max_pools": False},
    "AlexNet": {},
    "VggNet": {},
    "ONet": {},
    "PNet": {},
    "ONetPNet": {},
}
NAMES = {"ONet": "oNetOne", "PNet": "pNetOne", "ONetPNet": "oNetpNet"}
"""Where the golden file has another name."""
OURS = {
    "o_filters": "onet_filters",
    "o_widths": "onet_frames",
    "p_filters": "pnet_filters",
    "p_widths": "pnet_frames",
    "pool_rows": "pool_bands",
}


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def _tuple(value):
    return tuple(value) if isinstance(value, list) else value


@pytest.fixture(params=ARCHITECTURES)
def case(request, dtype):
    found = GoldenNetwork(request.param)
    spec = found.spec
    params = {OURS.get(name, name): _tuple(value) for name, value in spec["kwargs"].items()}
    params |= ARCHITECTURES[request.param]
    shape = tuple(spec["input_shape"][1:])
    name = NAMES.get(request.param, request.param)
    found.set(build(name, shape, spec["num_classes"], params), dtype)
    return found


def test_layers_and_shapes(case):
    case.check_layers_and_shapes()


def test_outputs_loss_and_gradients(case):
    case.check_outputs_loss_and_gradients()


def test_three_update_steps(case):
    case.check_three_steps(nesterov_momentum(None, case.params, 0.01, 0.9), "nesterov")
